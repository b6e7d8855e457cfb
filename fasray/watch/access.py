"""Who may look: on the loopback address everybody on this machine, from anywhere else whoever has the token."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "fasray_watch"
LOGIN = "/login"
_OPEN = (LOGIN, "/page/")
"""Paths, or beginnings of paths, that show nothing of a run."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def is_loopback(host: str) -> bool:
    """Return whether an address of this machine can be reached from this machine alone.

    >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "example.org")]
    [True, True, True, False, False]
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Access:
    """Lets requests through that may see the runs, and sets the headers of all answers.

    With a token, a request needs it as ``Authorization: Bearer``, or the cookie that the login page gives for it.
    Without one, a request must name the loopback address as its host, so that a page of another site, whose name may
    be made to mean this machine, learns nothing.

    Args:
        app: what is served.
        token: that a request must have; empty for none.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token
        self._session = secrets.token_urlsafe(32)

    def login(self, token: str) -> Response | None:
        """Return the answer that gives a browser its cookie; None if the token is another."""
        if not _same(token, self._token):
            return None
        answer = RedirectResponse("/", status_code=303)
        answer.set_cookie(COOKIE, self._session, httponly=True, samesite="strict")
        return answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refused = self._refusal(Headers(scope=scope), scope["path"])
        await (refused or self._app)(scope, receive, send_with_headers)

    def _refusal(self, headers: Headers, path: str) -> Response | None:
        if not self._token:
            host = headers.get("host", "")
            name = host if host.endswith("]") else host.rpartition(":")[0] or host
            if is_loopback(name.strip("[]")):
                return None
            return PlainTextResponse(
                "this page is served for this machine alone; open it as http://127.0.0.1", status_code=421
            )
        if path.startswith(_OPEN):
            return None
        kind, _, given = headers.get("authorization", "").partition(" ")
        if (kind.lower() == "bearer" and _same(given, self._token)) or _same(_cookie(headers), self._session):
            return None
        if path == "/":
            return RedirectResponse(LOGIN, status_code=303)
        return PlainTextResponse("a token is needed", status_code=401, headers={"WWW-Authenticate": "Bearer"})


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _same(one: str, other: str) -> bool:
    """Compare in a time that says nothing of where two texts differ."""
    return hmac.compare_digest(one.encode(), other.encode())
