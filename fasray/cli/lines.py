"""Progress as plain lines on standard error, for commands that are not sweeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from fasray.execution.listener import Listener, describe_excluded

if TYPE_CHECKING:
    from fasray.faces.loading.pool import Excluded


def say(text: str) -> None:
    """Print a line to standard error."""
    click.echo(text, err=True)


class Lines(Listener):
    """Prints what begins, what was generated and which faces are left out."""

    def on_generate(self, done: int, total: int) -> None:
        """Say that all faces are generated."""
        if done == total:
            say(f"generated the faces of {total} subjects")

    def on_stage(self, what: str) -> None:
        """Say what begins."""
        say(what)

    def on_excluded(self, excluded: Sequence[Excluded]) -> None:
        """Say how many faces could not be decoded."""
        say(describe_excluded(excluded))
