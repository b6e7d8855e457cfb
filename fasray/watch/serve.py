"""Serves the page until the user ends it."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping, Sequence

import uvicorn

from fasray.errors import SpecError
from fasray.watch.access import is_loopback
from fasray.watch.app import Watch
from fasray.watch.followed import Followed

TOKEN = "FASRAY_WATCH_TOKEN"  # noqa: S105 (the variable's name)
LEAST_LETTERS = 16
"""Of a token."""


def token_for(host: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return the token that requests to an address must have; empty if everybody on this machine may look.

    Raises:
        SpecError: the address can be reached from other machines and there is no token, or it is too short.
    """
    token = environ.get(TOKEN, "")
    remedy = f"set {TOKEN} to a long random text, or leave --host out and use an SSH tunnel"
    if not token and not is_loopback(host):
        raise SpecError("other machines reach this address, and there is no token", where="--host", remedy=remedy)
    if token and len(token) < LEAST_LETTERS:
        raise SpecError(f"a token needs at least {LEAST_LETTERS} letters", where=TOKEN, remedy=remedy)
    return token


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 takes a free one.

    Raises:
        SpecError: the address is none of this machine, or the port is taken.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise SpecError(
            f"nothing can be served at {host}, port {port}: {error.strerror or error}",
            where="--host and --port",
            remedy="choose another port (0 takes a free one), or an address of this machine",
        ) from error


def server_of(runs: Sequence[Followed], token: str) -> uvicorn.Server:
    """Return the server of the page of runs; a request needs the token if there is one."""
    watch = Watch(runs, lambda: server.should_exit)
    config = uvicorn.Config(
        watch.app(token), log_level="critical", access_log=False, server_header=False, date_header=False,
        timeout_graceful_shutdown=2, ws="none", lifespan="on", loop="asyncio", http="h11",
    )  # fmt: skip
    server = uvicorn.Server(config)
    return server


def serve(runs: Sequence[Followed], listening: socket.socket, token: str) -> None:
    """Serve the page of runs on a socket until SIGINT or SIGTERM."""
    with contextlib.suppress(KeyboardInterrupt):
        server_of(runs, token).run(sockets=[listening])
