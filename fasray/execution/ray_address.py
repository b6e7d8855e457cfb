"""What ``RAY_ADDRESS`` names, found out in seconds: Ray itself waits minutes for an address where no Ray is."""

from __future__ import annotations

import os
import socket

from fasray.errors import SpecError

VARIABLE = "RAY_ADDRESS"
UNSET = f"unset {VARIABLE}, and a private Ray starts on this machine"
_CONNECT_SECONDS = 5.0
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How a client of gRPC, and so of Ray, begins: HTTP/2's preface and empty settings; the server sends its settings."""
_HEADER_BYTES = 9
_SETTINGS = 4


def ray_address() -> str:
    """Return the address of the cluster to use; empty for a private Ray."""
    address = os.environ.get(VARIABLE, "").strip()
    return "" if address == "local" else address


def without_credentials(address: str) -> str:
    """Return an address without user and password, to be shown."""
    scheme, mark, rest = address.partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}" if mark else address.rpartition("@")[2]


def check_ray_address(address: str) -> None:
    """Make sure that the head of a Ray cluster may be at an address.

    Raises:
        SpecError: it is not the address of a head, nothing answers there, or something else than Ray does.
    """
    if address == "auto":
        return
    shown = f"{VARIABLE}={without_credentials(address)}"
    if address.startswith(("http://", "https://")):
        raise SpecError(
            "this is the address of a dashboard, with which jobs are submitted, and not of a cluster's head",
            where=shown,
            remedy="submit the command as a job (RAY_API_SERVER_ADDRESS=... ray job submit -- fasray ...); or name the "
            f"head, HOST:6379; or {UNSET}",
        )
    if "://" in address:
        raise SpecError(
            "a sweep cannot be driven through Ray Client",
            where=shown,
            remedy=f"submit it as a job (`ray job submit`), or run it on the head with {VARIABLE}=auto; or {UNSET}",
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise SpecError(
            "this is not an address of the form HOST:PORT", where=shown, remedy=f"write HOST:6379, or {UNSET}"
        )
    if os.environ.get("RAY_USE_TLS", "0").lower() not in ("1", "true"):
        _check_answers(host.strip("[]"), int(port), shown)


def _check_answers(host: str, port: int, shown: str) -> None:
    try:
        with socket.create_connection((host, port), timeout=_CONNECT_SECONDS) as connection:
            greeted = _is_greeted(connection)
    except TimeoutError as error:
        raise SpecError(
            f"no Ray answers there within {_CONNECT_SECONDS:.0f} s",
            where=shown,
            remedy=f"check that the head is up and that this is its port; or {UNSET}",
        ) from error
    except (OSError, UnicodeError) as error:
        raise SpecError(
            f"nothing answers there: {getattr(error, 'strerror', None) or error}",
            where=shown,
            remedy=f"check that the head is up and the port forwarded; or {UNSET}",
        ) from error
    if not greeted:
        raise SpecError(
            "what answers there is not Ray",
            where=shown,
            remedy=f"name the port of the head, 6379 by default; or {UNSET}",
        )


def _is_greeted(connection: socket.socket) -> bool:
    """Return whether the other side speaks HTTP/2; TimeoutError if it says nothing."""
    header = b""
    try:
        connection.sendall(_PREFACE)
        while len(header) < _HEADER_BYTES and (part := connection.recv(_HEADER_BYTES - len(header))):
            header += part
    except ConnectionError:
        return False
    return len(header) == _HEADER_BYTES and header[3] == _SETTINGS
