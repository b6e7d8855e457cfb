"""Progress of a running sweep: a live panel on a terminal, a line every 15 s in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from fasray.execution.listener import Listener, describe_excluded
from fasray.faces.loading.pool import Excluded
from fasray.sweep import progress as sweep_progress
from fasray.sweep.plan import Plan

_SECONDS_BETWEEN_LINES = 15.0


class Terminal(Listener):
    """Shows a sweep on standard error; made by ``showing``."""

    def __init__(self, console: Console, live: Live | None) -> None:
        self._console, self._live = console, live
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=console, transient=True
        )
        self._task = self._bar.add_task("", visible=False)
        self._last_line = 0.0

    def on_generate(self, done: int, total: int) -> None:
        """Show how many subjects are generated."""
        self._count("generating faces, subject", done, total)

    def on_plan(self, plan: Plan, ended: int) -> None:
        """Say what the sweep consists of."""
        spec = plan.spec
        inner = f", {plan.inner_trials} inner trials" if plan.inner_trials else ""
        text = (
            f"{spec.name}: {len(spec.methods)} methods x {plan.rows // len(spec.methods)} protocols, "
            f"{plan.search_trials} search trials and {plan.confirm_trials} confirming runs{inner}"
        )
        self._say(text + (f"; {ended} have ended already" if ended else ""))

    def on_stage(self, what: str) -> None:
        """Say what begins."""
        self._say(what)

    def on_decode(self, rows: int, total: int) -> None:
        """Show how many faces are decoded."""
        self._count("decoding faces", rows, total)

    def on_excluded(self, excluded: Sequence[Excluded]) -> None:
        """Say how many faces could not be decoded."""
        self._say(describe_excluded(excluded))

    def on_progress(self, progress: sweep_progress.Progress) -> None:
        """Show how far the trials are."""
        if self._live is not None:
            self._live.update(Group(self._bar, _panel(progress)))
        elif self._due():
            self._console.print(_line(progress), highlight=False)

    def _count(self, what: str, done: int, total: int) -> None:
        if self._live is not None:
            self._bar.update(self._task, description=what, completed=done, total=total, visible=done < total)
            self._live.update(self._bar)
        elif done >= total or self._due():
            self._console.print(f"{what}: {done} of {total}", highlight=False)

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False)

    def _due(self) -> bool:
        now = time.monotonic()
        if now - self._last_line < _SECONDS_BETWEEN_LINES:
            return False
        self._last_line = now
        return True


@contextmanager
def showing() -> Iterator[Terminal]:
    """Give a display for the duration of a sweep: live if standard error is a terminal, else plain lines."""
    if not sys.stderr.isatty():  # a file or a job's log, whatever FORCE_COLOR and the like say
        yield Terminal(Console(stderr=True, soft_wrap=True, force_terminal=False), None)
        return
    console = Console(stderr=True, soft_wrap=True)
    with Live(console=console, refresh_per_second=4, transient=True, redirect_stdout=False) as live:
        yield Terminal(console, live)


def duration(seconds: float | None) -> str:
    """Return a duration as text, in the unit that fits."""
    if seconds is None:
        return "not known yet"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _best(progress: sweep_progress.Progress) -> str:
    if progress.best_source_dev_auc is None:
        return "none yet"
    return f"{100 * progress.best_source_dev_auc:.1f} % ({progress.best_cell})"


def _line(progress: sweep_progress.Progress) -> str:
    ended = progress.stopped + progress.done + progress.failed
    failed = f", {progress.failed} failed" if progress.failed else ""
    return (
        f"cells {progress.cells_done}/{progress.cells} | trials {ended}/{progress.trials}: {progress.running} running, "
        f"{progress.stopped} stopped early, {progress.done} done{failed} | best source-dev AUC {_best(progress)} | "
        f"time left: {duration(progress.seconds_left)}"
    )


def _panel(progress: sweep_progress.Progress) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, value in (
        ("cells", f"{progress.cells_done} of {progress.cells} confirmed"),
        ("trials", f"{progress.stopped + progress.done + progress.failed} of {progress.trials}"),
        ("", f"{progress.running} running, {progress.stopped} stopped early, {progress.done} done"),
        ("failed", str(progress.failed) if progress.failed else "none"),
        ("best source-dev AUC", _best(progress)),
        ("time left", duration(progress.seconds_left)),
    ):
        table.add_row(f"[dim]{name}[/dim]", value)
    return table
