"""Each event of a log as a line that people read."""

from __future__ import annotations

from typing import Literal, NamedTuple

from fasray.runs.events import (
    Closed,
    Ended,
    Event,
    Opened,
    OutOfMemory,
    Placed,
    Reported,
    Retried,
    Reused,
    StoppedLate,
    Suggested,
    Won,
)

Tone = Literal["plain", "good", "cut", "bad"]
_DECIDED: dict[str, tuple[str, Tone]] = {
    "continue": ("", "plain"),
    "stop": (", stopped at this rung", "cut"),
    "done": (", full budget", "good"),
}
_MOST_LETTERS = 300


class Line(NamedTuple):
    """A line of the log, and how it is marked."""

    tone: Tone
    text: str


def sentence(event: Event, number: int) -> Line:
    """Return the line of an event.

    Args:
        event: of the log.
        number: of the trial that it is about, from 1; not used where it is about none.
    """
    line = _sentence(event, f"trial {number}")
    return line if len(line.text) <= _MOST_LETTERS else Line(line.tone, line.text[: _MOST_LETTERS - 1] + "…")


def _sentence(event: Event, trial: str) -> Line:
    match event:
        case Opened():
            versions = " ".join(f"{name} {version}" for name, version in event.versions.items() if name != "commit")
            return Line("plain", f"process {event.pid} on {event.host} took the run ({versions or 'version unknown'})")
        case Suggested():
            what = f"{event.stage}{f', ablation {event.variant}' if event.variant else ''}, seed {event.seed}"
            drawn = ", ".join(f"{name} {event.config.get(name)}" for name in event.searched)
            return Line(
                "plain",
                f"{trial}: {event.method} on {event.protocol}, {what}" + (f", {drawn}" if drawn else ""),
            )
        case Reported():
            after, tone = _DECIDED[event.decision]
            return Line(tone, f"{trial}, step {event.step}: source-dev AUC {100 * event.source_dev_auc:.2f} %{after}")
        case StoppedLate():
            return Line("cut", f"{trial} stopped at the rung of step {event.step}, by results that came later")
        case Ended():
            return Line("bad", f"{trial} {event.status}: {event.reason}")
        case Retried():
            return Line("plain", f"{trial} is tried again")
        case Reused():
            return Line("plain", f"{trial} is taken over from {event.run}")
        case OutOfMemory():
            card = f" ({event.card})" if event.card else ""
            return Line("bad", f"{trial} ran out of memory with {event.gpus:g} of a card{card}; it goes on with more")
        case Placed():
            card = f" of {event.card}" if event.card else ""
            return Line("plain", f"{event.method}: {event.gpus:g} GPUs{card} and {event.cpus:g} CPUs for each worker")
        case Won():
            won = f"{trial} won the search" if event.trial else "nothing was searched"
            if event.config is None:
                return Line("bad", f"{event.method} on {event.protocol}: no trial finished, nothing is confirmed")
            return Line("good", f"{event.method} on {event.protocol}: {won}")
        case Closed():
            return Line(
                "good" if event.status == "complete" else "bad", f"the driver let go of the run: {event.status}"
            )
