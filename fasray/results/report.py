"""One self-contained page about a run: the table first, then what stands behind each number.

The page loads nothing from anywhere: pictures are inside it, there is no script, and every text from a run is escaped.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
import pandas as pd

from fasray import protocols
from fasray.errors import FasrayError
from fasray.results import plots
from fasray.results.evaluations import RunView, Trial, read_scores
from fasray.results.frame import COLUMNS, RunResults, compute_results
from fasray.results.tables import grid, percent

GENERATED_WARNING = (
    "These faces are generated, and the differences between their domains are designed. The numbers show that the"
    " machinery works; they are no evidence about anti-spoofing on real faces."
)


@dataclass(frozen=True)
class Picture:
    """An image inside the page."""

    title: str
    alt: str
    """The same in words, for those who do not see it."""
    source: str
    """A data URI."""


@dataclass(frozen=True)
class CellSection:
    """What the page tells of one method on one protocol."""

    title: str
    note: str
    trials: tuple[tuple[str, ...], ...]
    """One row a trial, in the order of ``TRIAL_HEADERS``."""
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Fact:
    """A line of provenance."""

    name: str
    value: str


TRIAL_HEADERS = (
    "trial",
    "seed",
    "stage",
    "state",
    "steps",
    "chosen step",
    "threshold",
    "source-dev AUC",
    "configuration",
)


def render_report(run: RunView, results: RunResults | None = None) -> str:
    """Return the report of a run as one HTML page.

    Args:
        run: the run; unfinished ones are fine.
        results: of ``compute_results(run)``, if they are at hand.

    Raises:
        DataError: a score file is missing or broken.
    """
    results = results if results is not None else compute_results(run)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fasray.results", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html.j2")
    frame = results.frame
    video, frames = grid(frame, "video"), grid(frame, "frame")
    return page.render(
        run=run,
        warning=GENERATED_WARNING if run.generated else "",
        counts=_counts(run),
        video=video,
        frames=frames,
        overview=_overview(frame),
        cells=_cells(run, results),
        trial_headers=TRIAL_HEADERS,
        columns=COLUMNS,
        provenance=_provenance(run),
        card=_facts(run.data_card),
    )


def _counts(run: RunView) -> str:
    states: dict[str, int] = {}
    for trial in run.trials:
        states[trial.status] = states.get(trial.status, 0) + 1
    listed = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    return f"{len(run.trials)} trials: {listed}" if listed else "no trials yet"


def _overview(frame: pd.DataFrame) -> list[Picture]:
    honest = frame[(frame["level"] == "video") & (frame["selection"] == "source-dev")]
    if not honest["hter"].notna().any():
        return []
    told = "; ".join(
        f"{row['method']} on {row['protocol']} {percent(row['hter'])} %" for row in honest.to_dict("records")
    )
    oracle = {
        (row["method"], row["protocol"]): percent(row["hter"])
        for row in frame[(frame["level"] == "video") & frame["oracle"]].to_dict("records")
    }
    compared = "; ".join(
        f"{row['method']} on {row['protocol']} {percent(row['hter'])} % against"
        f" {oracle.get((row['method'], row['protocol']), '-')} %"
        for row in honest.to_dict("records")
    )
    return [
        _picture("Honest HTER by method and protocol", f"Heat map of target HTER: {told}.", plots.heat_map(frame)),
        _picture(
            "What choosing on the target would claim",
            f"Bars of target HTER, honest against oracle: {compared}.",
            plots.honest_and_oracle(frame),
        ),
    ]


def _cells(run: RunView, results: RunResults) -> list[CellSection]:
    cells: dict[tuple[str, str], list[Trial]] = {}
    for trial in run.trials:
        cells.setdefault((trial.method, trial.protocol), []).append(trial)
    return [_cell(run, results, method, protocol, trials) for (method, protocol), trials in cells.items()]


def _cell(run: RunView, results: RunResults, method: str, protocol: str, trials: Sequence[Trial]) -> CellSection:
    judged = [
        (trial, results.digests[trial.id], results.choices[trial.id, "source-dev"])
        for trial in trials
        if trial.id in results.digests and (trial.id, "source-dev") in results.choices
    ]
    pictures = []
    searched = [trial for trial in trials if trial.stage == "search" and trial.readings]
    if judged or searched:
        pictures.append(
            _picture(
                "Learning curves",
                f"AUC by step of {method} on {protocol}: {len(judged)} confirming runs on source-dev and target,"
                f" {len(searched)} search runs on source-dev."
                + "".join(
                    f" Seed {trial.seed}: step {choice.step} chosen, source-dev"
                    f" {percent(next(d.auc for d in digests.source if d.step == choice.step))} %, target"
                    f" {percent(next(d.auc for d in digests.target if d.step == choice.step))} %."
                    for trial, digests, choice in judged
                ),
                plots.learning_curves(judged, searched),
            )
        )
    if judged:
        panels = [
            plots.ScorePanel(
                trial.seed,
                read_scores(run.score_uri(trial.id, choice.step)).target.videos,
                choice.video_threshold,
            )
            for trial, _, choice in judged
        ]
        pictures.append(
            _picture(
                "Target scores at the honest step",
                f"Histograms of the target's video scores of {method} on {protocol}, live against attack, with the"
                " threshold from source-dev, one panel a seed.",
                plots.score_histograms(panels),
            )
        )
    rows = tuple(_trial_row(trial, results) for trial in trials)
    return CellSection(f"{method} on {protocol}", _protocol_note(protocol), rows, tuple(pictures))


def _trial_row(trial: Trial, results: RunResults) -> tuple[str, ...]:
    choice = results.choices.get((trial.id, "source-dev"))
    best = max((reading.source_dev_auc for reading in trial.readings), default=float("nan"))
    return (
        trial.id,
        str(trial.seed),
        trial.stage,
        trial.status,
        f"{max(trial.steps, default=0)} of {trial.total_steps}",
        str(choice.step) if choice else "-",
        f"{choice.video_threshold:.4g}" if choice else "-",
        percent(best),
        ", ".join(f"{name} = {value}" for name, value in trial.config.items()),
    )


def _protocol_note(name: str) -> str:
    try:
        protocol = protocols.parse(name)
    except FasrayError:
        return ""
    return f"Trains on {', '.join(protocol.domains)}; judged on {protocol.target}, which it has never seen."


def _provenance(run: RunView) -> list[Fact]:
    facts = [Fact("run", run.name)]
    if run.manifest_hash:
        facts.append(Fact("data manifest", run.manifest_hash))
    return facts + [Fact(f"{name} version", version) for name, version in run.versions.items()]


def _facts(card: Mapping[str, Any]) -> list[Fact]:
    return [
        Fact(name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
        for name, value in card.items()
    ]


def _picture(title: str, alt: str, svg: str) -> Picture:
    return Picture(title, alt, "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode())
