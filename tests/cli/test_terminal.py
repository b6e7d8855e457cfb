"""How a running sweep looks in a log."""

import pytest

from fasray.cli.terminal import showing
from fasray.faces.loading.pool import Excluded


def test_a_log_gets_plain_lines_whatever_the_environment_says_of_colours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "CLICOLOR_FORCE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    with showing() as terminal:
        terminal.on_stage("starting [bold]Ray[/bold]")
        for done in (1, 2, 480):
            terminal.on_decode(done, 480)
        terminal.on_excluded([Excluded(row, "v1", 0, "the image cannot be decoded", "part-0") for row in range(3)])
    assert capsys.readouterr().err.splitlines() == [
        "starting [bold]Ray[/bold]",
        "decoding faces: 1 of 480",
        "decoding faces: 480 of 480",
        "warning: 3 faces cannot be decoded and are left out; the first: part-0: v1: the image cannot be decoded",
    ]
