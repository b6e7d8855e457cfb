"""The server of the page: its files, what it shows as JSON, and a stream of what changes.

======================================  ===============================================================================
``GET /``                               the page
``GET /api/runs``                       every run whole
``GET /api/events?seen=12,40``          server-sent events: what has changed in each run since so many events of its log
``GET /api/runs/0/cells/3``             rungs of a cell, and who was stopped there
``GET /api/runs/0/trials/17``           configuration and readings of a trial
``GET /login``, ``POST /login``         takes the token, if there is one
======================================  ===============================================================================
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict
from importlib import resources
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from fasray.watch.access import LOGIN, Access
from fasray.watch.followed import Confirmed, Followed
from fasray.watch.rungs import rungs, stops
from fasray.watch.state import finite

_FILES = {"watch.css": "text/css", "watch.js": "text/javascript", "draw.js": "text/javascript"}
_MOST_BYTES_OF_A_FORM = 4096
_SECONDS_BETWEEN_UPDATES = 0.5
_SECONDS_BETWEEN_SIGNS = 5.0
"""Of a stream in which nothing happens; the browser sees by them that the server is there."""


class Watch:
    """The page of one or more runs.

    Args:
        runs: that are shown, side by side.
        stopping: returns whether the server is about to end, so that streams end too.
    """

    def __init__(self, runs: Sequence[Followed], stopping: Callable[[], bool]) -> None:
        self._runs, self._stopping = runs, stopping
        self._confirmed = Confirmed(runs)
        self._listeners: set[asyncio.Event] = set()

    def app(self, token: str) -> ASGIApp:
        """Return the application; with a token, it is asked for."""
        routes = [
            Route("/", self._page),
            Route("/page/{name}", self._file),
            Route("/api/runs", self._all),
            Route("/api/events", self._events),
            Route("/api/runs/{run:int}/cells/{cell:int}", self._cell),
            Route("/api/runs/{run:int}/trials/{trial:int}", self._trial),
        ]
        app = Starlette(routes=routes, lifespan=self._following)
        app.add_middleware(GZipMiddleware, minimum_size=2000, compresslevel=1)
        access = Access(app, token)
        if token:
            app.router.routes.append(Route(LOGIN, self._login(access), methods=["GET", "POST"]))
        return access

    @contextlib.asynccontextmanager
    async def _following(self, app: Starlette) -> AsyncIterator[None]:
        for run in self._runs:
            run.start(asyncio.get_running_loop(), self._changed)
        yield
        for run in self._runs:
            run.stop()

    def _changed(self) -> None:
        for listener in self._listeners:
            listener.set()
        if self._listeners:  # figures are computed for who looks
            self._confirmed.look(asyncio.get_running_loop(), self._changed)

    async def _page(self, request: Request) -> Response:
        return Response(_file("page.html"), media_type="text/html; charset=utf-8")

    async def _file(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _FILES:
            raise HTTPException(404)
        return Response(_file(name), media_type=f"{_FILES[name]}; charset=utf-8")

    async def _all(self, request: Request) -> Response:
        return _json([run.state.view() for run in self._runs])

    async def _events(self, request: Request) -> Response:
        seen = request.query_params.get("seen", "").split(",")
        if len(seen) != len(self._runs) or not all(number.isdecimal() for number in seen):
            raise HTTPException(400)
        stream = self._stream([int(number) for number in seen])
        return StreamingResponse(stream, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    async def _stream(self, seen: list[int]) -> AsyncIterator[str]:
        changed, sent = asyncio.Event(), [-1] * len(self._runs)
        self._listeners.add(changed)
        self._changed()
        try:
            while not self._stopping():
                changed.clear()
                for number, run in enumerate(self._runs):
                    if sent[number] != run.state.changes:
                        sent[number] = run.state.changes
                        view = run.state.view(seen[number])
                        seen[number] = view["version"]
                        yield f"event: change\ndata: {_dumps([number, view])}\n\n"
                yield f"event: alive\ndata: {_dumps([round(run.silence()) for run in self._runs])}\n\n"
                for _ in range(round(_SECONDS_BETWEEN_SIGNS / _SECONDS_BETWEEN_UPDATES)):
                    await asyncio.sleep(_SECONDS_BETWEEN_UPDATES)
                    if changed.is_set() or self._stopping():
                        break
        finally:
            self._listeners.discard(changed)

    async def _cell(self, request: Request) -> Response:
        state, cell = self._run(request).state, request.path_params["cell"]
        try:
            planned, trials = state.planned(cell), state.trials_of(cell)
        except IndexError:
            raise HTTPException(404) from None
        if planned is None or not planned.rungs:
            return _json({"rungs": [], "stops": []})
        found = await asyncio.to_thread(stops, list(state.events), planned)
        reached = [tuple(r.step for r in trial.paid) for trial in trials if trial.stage == "search"]
        return _json(
            {
                "rungs": [asdict(rung) for rung in rungs(planned, reached, found)],
                "stops": [{**asdict(stop), "trial": state.number_of(stop.trial)} for stop in found],
                "reduction": (planned.asha or {}).get("reduction"),
            }
        )

    async def _trial(self, request: Request) -> Response:
        state, number = self._run(request).state, request.path_params["trial"]
        record = next((each for each in state.records.values() if state.number_of(each.id) == number), None)
        if record is None:
            raise HTTPException(404)
        readings = [reading.model_dump(exclude_none=True) for reading in record.readings]
        return _json({"id": record.id, "config": finite(record.config), "readings": readings, "reason": record.reason})

    def _run(self, request: Request) -> Followed:
        number: int = request.path_params["run"]
        if not 0 <= number < len(self._runs):
            raise HTTPException(404)
        return self._runs[number]

    def _login(self, access: Access) -> Callable[[Request], Any]:
        async def login(request: Request) -> Response:
            if request.method == "POST":
                body = b""
                async for part in request.stream():
                    body += part
                    if len(body) > _MOST_BYTES_OF_A_FORM:
                        raise HTTPException(413)
                given = parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0]
                if (answer := access.login(given)) is not None:
                    return answer
            return Response(
                _file("login.html"), 403 if request.method == "POST" else 200, media_type="text/html; charset=utf-8"
            )

        return login


def _file(name: str) -> bytes:
    """Return a file of the page; its style is the report's, and what only this page has."""
    package = resources.files("fasray")
    files = [package.joinpath("watch", "page", name)]
    if name == "watch.css":
        files.insert(0, package.joinpath("results", "report", "report.css"))
    return b"\n".join(file.read_bytes() for file in files)


def _json(value: Any) -> Response:
    return Response(_dumps(value), media_type="application/json")


def _dumps(value: Any) -> str:
    """Return JSON on one line, without what could end it in an event of a stream."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
