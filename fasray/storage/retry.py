"""Which failures of a store are retried, for how long, and what is logged meanwhile.

Transient failures (no connection, a server that is overloaded or starting) are retried with growing pauses for
``FASRAY_STORE_PATIENCE`` seconds; all others are raised at once.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time

from fasray.errors import SpecError

log = logging.getLogger(__name__)

VARIABLE = "FASRAY_STORE_PATIENCE"
DEFAULT_SECONDS = 300.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
_SECONDS_BEFORE_WARNING = 2.0
_TRANSIENT_CODES = frozenset(
    {
        "InternalError", "OperationAborted", "RequestTimeout", "RequestTimeoutException", "ServiceUnavailable",
        "SlowDown", "Throttling", "ThrottlingException", "TooManyRequests", "ConditionalRequestConflict",
        "IncompleteBody", "BadDigest",
    }
)  # fmt: skip


def total_seconds() -> float:
    """Return for how many seconds a request is retried.

    Raises:
        SpecError: the variable is not a number of seconds.
    """
    text = os.environ.get(VARIABLE, "")
    try:
        seconds = float(text) if text else DEFAULT_SECONDS
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise SpecError(f"{text!r} is not a number of seconds", where=VARIABLE, remedy="set it to 300, or leave it out")
    return seconds


def is_transient(error: BaseException) -> bool:
    """Return whether a failure may pass by itself."""
    from aiohttp import ClientError as ConnectionBroken
    from botocore.exceptions import ClientError, HTTPClientError
    from botocore.exceptions import ConnectionError as NotConnected
    from botocore.parsers import ResponseParserError
    from urllib3.exceptions import IncompleteRead

    of_libraries = (HTTPClientError, NotConnected, ConnectionBroken, ResponseParserError, IncompleteRead)
    for cause in chain(error):
        if isinstance(cause, ClientError):
            status = cause.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            return status >= 500 or status == 429 or cause.response.get("Error", {}).get("Code") in _TRANSIENT_CODES
        if isinstance(cause, (*of_libraries, TimeoutError, ConnectionError)):
            return True
    return False


def chain(error: BaseException | None) -> list[BaseException]:
    """Return an error and what it was raised from, the outermost first."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__
    return found


class RetryPolicy:
    """When to retry one request.

    Args:
        store: what to call the store in messages.
    """

    def __init__(self, store: str) -> None:
        self._store = store
        self._began = 0.0
        self._pause = _FIRST_PAUSE
        self._counted = False

    def pause_after(self, error: BaseException) -> float | None:
        """Return the seconds to wait before the next attempt, ``None`` to give up."""
        now = time.monotonic()
        self._began = self._began or now
        left = self._began + total_seconds() - now if is_transient(error) else 0.0
        if left <= 0:
            self._leave(answered=False)
            return None
        if now - self._began >= _SECONDS_BEFORE_WARNING and not self._counted:
            self._counted = True
            _outages.enter(self._store, total_seconds())
        pause = self._pause * random.uniform(0.75, 1.25)  # noqa: S311 - so that workers do not come back all at once
        self._pause = min(self._pause * 1.7, _LONGEST_PAUSE)
        return min(pause, left)

    def answered(self) -> None:
        """Note that the request was answered."""
        self._leave(answered=True)

    def _leave(self, answered: bool) -> None:
        if self._counted:
            self._counted = False
            _outages.leave(self._store, answered)


class _Outages:
    """Counts the waiting requests of this process by store, so that an outage is logged once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, int] = {}
        self._since: dict[str, float] = {}

    def enter(self, store: str, seconds: float) -> None:
        with self._lock:
            first = not self._waiting.get(store)
            self._waiting[store] = self._waiting.get(store, 0) + 1
            if first:
                self._since[store] = time.monotonic() - _SECONDS_BEFORE_WARNING
        if first:
            log.warning("%s does not answer; waiting for it, up to %.0f s (%s)", store, seconds, VARIABLE)

    def leave(self, store: str, answered: bool) -> None:
        with self._lock:
            self._waiting[store] -= 1
            last, seconds = not self._waiting[store], time.monotonic() - self._since[store]
        if last and answered:
            log.warning("%s answers again after %.0f s", store, seconds)


_outages = _Outages()
