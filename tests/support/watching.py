"""Runs that are watched: their logs written line by line, the page's server in this process, and what it sends."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from fasray.runs.events import EVENTS, Event
from fasray.runs.layout import LOG_FILE
from fasray.runs.ledger import Ledger
from fasray.runs.record import DataFacts
from fasray.sweep.plan import Plan
from fasray.watch.followed import Followed
from fasray.watch.serve import listen, server_of

GENERATED = DataFacts("0" * 64, 10, 64, {"kind": "synthetic"})


def write_log(run: Path, events: Iterable[Event]) -> None:
    """Put events at the end of the log of a run on a disk."""
    with (run / LOG_FILE).open("ab") as file:
        file.writelines(EVENTS.dump_json(event) + b"\n" for event in events)


def new_run(run: Path, plan: Plan) -> Path:
    """Make the directory of a run of which nothing has happened yet."""
    Ledger(str(run), plan.spec.identity(), GENERATED).close()
    return run


@contextmanager
def watching(*runs: str | Path, token: str = "", port: int = 0) -> Iterator[Page]:
    """Serve the page of runs on the loopback address, left out: on a free port."""
    listening = listen("127.0.0.1", port)
    server = server_of([Followed(str(run)) for run in runs], token)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield Page(server, listening.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


class Page:
    """The server of a page, asked without a browser."""

    def __init__(self, server: uvicorn.Server, port: int) -> None:
        self.server, self.port = server, port
        self.address = f"http://127.0.0.1:{port}"
        self.received = b""
        """All bytes that it has sent to this object."""

    def ask(
        self, path: str, method: str = "GET", body: str | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and content of an answer."""
        with self._asked(path, method, body, headers) as answer:
            content = answer.read()
            self.received += content
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content

    def json(self, path: str, **headers: str) -> Any:
        status, _, content = self.ask(path, **headers)
        assert status == 200, (path, status)
        return json.loads(content)

    def changes(self, seen: Sequence[int]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Return the changes that the server sends, one after the other, as it sends them."""
        with self._asked(f"/api/events?seen={','.join(map(str, seen))}") as answer:
            assert answer.getheader("content-type", "").startswith("text/event-stream")
            while line := answer.readline():
                self.received += line
                if line.startswith(b"data: [") and b"{" in line:
                    number, view = json.loads(line[6:])
                    yield number, view

    @contextmanager
    def _asked(
        self, path: str, method: str = "GET", body: str | None = None, headers: dict[str, str] | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): v for name, v in (headers or {}).items()})
            yield connection.getresponse()
        finally:
            connection.close()


class Seen:
    """What a browser knows of a run: views taken in, as the page's script does."""

    def __init__(self) -> None:
        self.version = 0
        self.summary: dict[str, Any] = {}
        self.cells: dict[int, Any] = {}
        self.trials: dict[int, Any] = {}
        self.log: list[Any] = []

    def take(self, view: dict[str, Any]) -> None:
        if view["whole"]:
            self.cells, self.trials, self.log = {}, {}, []
        self.version, self.summary = view["version"], view["summary"]
        self.cells |= {cell["number"]: cell for cell in view["cells"]}
        self.trials |= {trial[0]: trial for trial in view["trials"]}
        self.log += view["log"]
