"""Who may look at the page, and that it can do nothing but look."""

import logging
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_runs import Size, write_run
from watching import watching

from fasray.cli import cli
from fasray.errors import SpecError
from fasray.watch.serve import TOKEN, listen, token_for

SECRET = "correct-horse-battery-staple"  # noqa: S105
PATHS = (
    "/", "/page/watch.js", "/page/draw.js", "/page/watch.css", "/api/runs", "/api/runs/0/cells/0",
    "/api/runs/0/trials/1",
)  # fmt: skip
STRANGERS = ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "localhost.evil.example:80")
NOWHERE = (
    "/page/../app.py", "/page/..%2Fapp.py", "/page/page.html", "/api/runs/7/cells/0", "/api/runs/0/cells/99",
    "/api/runs/0/trials/99", "/api/runs/-1/cells/0", "/events.jsonl",
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("watched") / "run"
    write_run(folder, Size(["erm"], ["C&M->I"], searched=2, seeds=[0], target_videos=12, source_videos=12))
    return folder


def fingerprint(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


def test_an_address_that_others_reach_is_refused_without_a_token(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN, raising=False)
    for host in ("0.0.0.0", "::", "192.0.2.7", "example.org"):  # noqa: S104
        ended = CliRunner().invoke(cli, ["watch", str(run), "--host", host])
        assert isinstance(ended.exception, SpecError)
        assert "there is no token" in str(ended.exception)
        assert TOKEN in ended.exception.remedy
        with pytest.raises(SpecError, match="at least 16"):
            token_for(host, {TOKEN: "short"})
        assert token_for(host, {TOKEN: SECRET}) == SECRET
    assert [token_for(host, {}) for host in ("127.0.0.1", "::1", "localhost", "127.8.9.1")] == [""] * 4


def test_a_port_that_is_taken_is_named(run: Path) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SpecError, match=f"port {port}.*\n.*another port"):
            listen("127.0.0.1", port)


def test_without_a_token_only_the_loopback_address_may_be_the_host(run: Path) -> None:
    """A page of another site whose name is made to mean this machine sends its own name."""
    with watching(run) as page:
        for host in ("127.0.0.1", f"localhost:{page.port}", "[::1]:1"):
            assert page.ask("/api/runs", Host=host)[0] == 200
        for host in STRANGERS:
            for path in PATHS:
                assert page.ask(path, Host=host)[0] == 421


def test_with_a_token_nothing_of_a_run_is_seen_without_it(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with watching(run, token=SECRET) as page:
        assert page.ask("/")[:2][0] == 303
        for path in (*PATHS[4:], "/api/events?seen=0"):
            for wrong in ("", f"Bearer {SECRET}x", f"Bearer {SECRET[:-1]}", f"Basic {SECRET}"):
                assert page.ask(path, Authorization=wrong)[0] == 401
            assert page.ask(path, Cookie=f"fasray_watch={SECRET}")[0] == 401
        assert page.ask("/login")[0] == 200
        assert page.ask("/login", "POST", "token=wrong")[0] == 403
        assert page.ask("/login", "POST", "x" * 9999)[0] == 413
        status, headers, _ = page.ask("/login", "POST", f"token={SECRET}")
        assert status == 303
        cookie = headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert SECRET not in cookie
        for path in PATHS:
            assert page.ask(path, Cookie=cookie.split(";")[0])[0] == 200
            assert page.ask(path, Authorization=f"Bearer {SECRET}")[0] == 200
        assert SECRET.encode() not in page.received
    assert SECRET not in caplog.text


def test_it_can_only_look(run: Path) -> None:
    before = fingerprint(run)
    with watching(run) as page:
        for path in (*PATHS, "/login", "/api/events?seen=0"):
            for method in ("POST", "PUT", "DELETE", "PATCH"):
                assert page.ask(path, method)[0] in (404, 405)
        for path in NOWHERE:
            assert page.ask(path)[0] == 404
        for seen in ("", "x", "-1", "1,2"):
            assert page.ask(f"/api/events?seen={seen}")[0] == 400
    assert fingerprint(run) == before


def test_every_answer_forbids_what_the_page_does_not_need(run: Path) -> None:
    with watching(run) as page:
        for path in (*PATHS, "/nowhere"):
            headers = page.ask(path)[1]
            policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
            assert policy["default-src"] == "'none'"
            assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store"
            assert "server" not in headers
        for name in ("/", "/login"):
            content = page.ask(name)[2]
            assert not re.search(rb"\son\w+=|style=|<script>|https?://", content)
