"""What a threshold of source-dev does on the target, and what step and threshold have of the optimism gap."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fasray.errors import SpecError
from fasray.metrics import pad_rates_at, rates_at
from fasray.metrics.thresholds import choose_threshold
from fasray.results.confirmed import ConfirmedRun, confirmed_cells
from fasray.results.scores import ScoredEvaluation
from fasray.results.selection import best_target_step, rule_of_runs, selection
from fasray.results.tables.text import DAGGER, ORACLE_NOTE, Grid, mark_notes, method_label, percent, with_mark
from fasray.runs.record import RunRecord

RULES = ("eer", "bpcer=0.01", "bpcer=0.05", "bpcer=0.1", "apcer=0.01", "apcer=0.05", "apcer=0.1")
"""Threshold rules (``fasray.metrics.thresholds``) that are applied to source-dev."""

THRESHOLD_COLUMNS: dict[str, str] = {
    "method": "name of the method",
    "variant": "name of the ablation; empty for the method itself",
    "protocol": "name of the protocol",
    "selection": "rule that picked the step",
    "threshold_rule": "eer, bpcer=X or apcer=X (of every attack type) of the pooled source-dev videos",
    "n_seeds": "confirming runs that are averaged",
    "threshold": "the threshold, mean over them",
    "source_apcer": "APCER of the worst attack type on source-dev, mean over them, fraction",
    "source_bpcer": "BPCER on source-dev",
    "apcer": "APCER of the worst attack type on the target",
    "apcer_std": "its standard deviation over the runs (ddof 1); missing for one",
    "bpcer": "BPCER on the target",
    "bpcer_std": "as apcer_std",
    "hter": "HTER on the target, attack types together",
    "hter_std": "as apcer_std",
}
"""Columns of the frame of thresholds."""

GAP_COLUMNS: dict[str, str] = {
    "method": "name of the method",
    "variant": "name of the ablation; empty for the method itself",
    "protocol": "name of the protocol",
    "selection": "the honest rule",
    "n_seeds": "confirming runs that are averaged",
    "hter": "HTER of the honest rule, mean over the runs, fraction",
    "hter_oracle": "HTER of the oracle on the same runs",
    "gap": "hter_oracle minus hter: how much lower target-based selection reads",
    "gap_step": "the part of it that the oracle's step makes",
    "gap_threshold": "the part that its threshold makes; both parts add up to the gap",
}
"""Columns of the frame of gaps."""

HEAD = ("method", "variant", "protocol", "selection")


def thresholds_frame(run: RunRecord, rule: str = "source-dev", rules: Sequence[str] = RULES) -> pd.DataFrame:
    """Return one row for each cell and threshold rule; see ``THRESHOLD_COLUMNS``.

    Raises:
        DataError: a score file is missing or damaged.
        SpecError: there is no such selection or threshold rule, or the selection picks no one step of each run.
    """
    return thresholds_of(one_step_runs(run, rule), rules)


def thresholds_of(runs: Iterable[ConfirmedRun], rules: Sequence[str] = RULES) -> pd.DataFrame:
    """Return the rows of ``thresholds_frame`` of some confirmed runs."""
    rows = [{**head_of(each), **row} for each in runs for row in transferred(each.evaluation, rules)]
    return means_of_runs(rows, [*HEAD, "threshold_rule"], THRESHOLD_COLUMNS, spread=("apcer", "bpcer", "hter"))


def transferred(evaluation: ScoredEvaluation, rules: Sequence[str] = RULES) -> list[dict[str, Any]]:
    """Return what thresholds that an evaluation's source-dev videos choose do there and on the target, one row each."""
    dev, target = evaluation.source_dev.videos, evaluation.target.videos
    rows = []
    for rule in rules:
        threshold = choose_threshold(rule, dev.score, dev.label, dev.attack_type)
        source, there = (pad_rates_at(part.score, part.label, part.attack_type, threshold) for part in (dev, target))
        hter = rates_at(target.score, target.label, threshold).hter
        rows.append(
            {
                "threshold_rule": rule, "threshold": threshold, "source_apcer": source.apcer,
                "source_bpcer": source.bpcer, "apcer": there.apcer, "bpcer": there.bpcer, "hter": hter,
            }
        )  # fmt: skip
    return rows


def gap_frame(run: RunRecord, rule: str = "source-dev") -> pd.DataFrame:
    """Return one row a cell: its gap to the oracle, and what step and threshold have of it; see ``GAP_COLUMNS``.

    Which is changed first matters, so each part is the mean of both orders (Shapley's value): the step's, under the
    source-dev EER threshold of each step and under the target's own; the threshold's, at either step.

    Raises:
        DataError: a score file is missing or damaged.
        SpecError: there is no such rule, it is an oracle, takes several steps, or has another threshold.
    """
    chosen = selection(rule)
    if chosen.threshold_rule != "source-dev-eer" or chosen.several:
        what = f"the gap of {rule} has no such parts: it takes one step, and its threshold from the EER of source-dev"
        raise SpecError(f"{what}", where="--select", remedy="name source-dev, worst-source or last")
    return gap_of(one_step_runs(run, rule))


def gap_of(runs: Iterable[ConfirmedRun]) -> pd.DataFrame:
    """Return the rows of ``gap_frame`` of some confirmed runs; each has its evaluation at the oracle's step, too."""
    rows = []
    for each in runs:
        step, best = each.choice.step, best_target_step(each.digests.target).step
        source = {digest.step: digest.video_threshold for digest in each.digests.source}
        own = {digest.step: digest.video_threshold for digest in each.digests.target}
        honest, at_best, own_at_step, oracle = (
            _hter(each.evaluations[at], thresholds[at])
            for at, thresholds in ((step, source), (best, source), (step, own), (best, own))
        )
        rows.append(
            {
                **head_of(each), "hter": honest, "hter_oracle": oracle, "gap": oracle - honest,
                "gap_step": ((at_best - honest) + (oracle - own_at_step)) / 2,
                "gap_threshold": ((own_at_step - honest) + (oracle - at_best)) / 2,
            }
        )  # fmt: skip
    return means_of_runs(rows, HEAD, GAP_COLUMNS)


def thresholds_grid(frame: pd.DataFrame) -> Grid:
    """Arrange the frame of thresholds for people, in percent."""
    mark = oracle_mark(frame)
    headers = (
        "method", "protocol", "threshold", "seeds", "source APCER", "source BPCER",
        *(f"{name}{mark}" for name in ("APCER", "BPCER", "HTER")),
    )  # fmt: skip
    rows = tuple(
        (
            method_label(row), with_mark(row["protocol"]), row["threshold_rule"], str(row["n_seeds"]),
            percent(row["source_apcer"]), percent(row["source_bpcer"]),
            *(percent(row[name], row[f"{name}_std"]) for name in ("apcer", "bpcer", "hter")),
        )
        for row in frame.to_dict("records")
    )  # fmt: skip
    notes = (
        "Percent. The threshold is chosen on source-dev by the rule named, and applied to the unseen target: APCER of"
        " the worst attack type, BPCER, and HTER with attack types together; mean ± standard deviation over the seeds.",
        "bpcer=0.01: at most 1 % of source-dev's live faces are rejected; apcer=0.01: at most 1 % of each of its attack"
        " types is accepted.",
        *below(frame),
    )
    return Grid(headers, rows, notes, text_columns=3)


def gap_grid(frame: pd.DataFrame) -> Grid:
    """Arrange the frame of gaps for people, in percent and points."""
    headers = ("method", "protocol", "seeds", "HTER", f"HTER{DAGGER}", "gap", "of the step", "of the threshold")
    rows = tuple(
        (
            method_label(row), with_mark(row["protocol"]), str(row["n_seeds"]),
            percent(row["hter"]), percent(row["hter_oracle"]),
            *(f"{100 * row[name]:+.2f}" for name in ("gap", "gap_step", "gap_threshold")),
        )
        for row in frame.to_dict("records")
    )  # fmt: skip
    notes = (
        "Percent and points, one decision a video, on the unseen target, means over the seeds.",
        f"{DAGGER} oracle: best step and EER threshold chosen on the target itself; not attainable in use.",
        "gap: oracle minus honest on the same runs. of the step, of the threshold: what either alone makes of it, mean"
        " of both orders; they add up to the gap.",
        *below(frame),
    )
    return Grid(headers, rows, notes)


def oracle_mark(frame: pd.DataFrame) -> str:
    """Return the dagger if the rule that picked the step looked at target labels."""
    return DAGGER if any(selection(name).oracle for name in frame["selection"].unique()) else ""


def below(frame: pd.DataFrame) -> tuple[str, ...]:
    """Return what must be said under a table of cells beyond its own notes: oracles, shots, extra sources."""
    return (*([ORACLE_NOTE] if oracle_mark(frame) else []), *mark_notes(frame["protocol"]))


def one_step_runs(run: RunRecord, rule: str) -> Iterator[ConfirmedRun]:
    """Yield the confirmed runs of every cell at the one step that a rule picks; errors as ``confirmed_cells``.

    Raises:
        SpecError: the rule takes several steps.
    """
    rule_of_runs(rule, one_step=True)
    return (each for _, runs in confirmed_cells(run, rule) for each in runs)


def head_of(run: ConfirmedRun) -> dict[str, Any]:
    """Return the columns ``HEAD``: which cell a run is of, and by which rule it is read."""
    trial = run.trial
    values = (trial.method, trial.variant, trial.protocol, run.choice.selection)
    return dict(zip(HEAD, values, strict=True))


def _hter(evaluation: ScoredEvaluation, threshold: float) -> float:
    videos = evaluation.target.videos
    return rates_at(videos.score, videos.label, threshold).hter


def means_of_runs(
    rows: Sequence[dict[str, Any]], keys: Sequence[str], columns: dict[str, str], spread: Sequence[str] = ()
) -> pd.DataFrame:
    """Return the means of rows that agree in ``keys``, in the order of the first of each."""
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(tuple(row[key] for key in keys), []).append(row)
    means = []
    for key, same in found.items():
        values = {name: np.array([row[name] for row in same]) for name in same[0] if name not in keys}
        deviations = {f"{name}_std": float(values[name].std(ddof=1)) if len(same) > 1 else math.nan for name in spread}
        means.append(
            {**dict(zip(keys, key, strict=True)), "n_seeds": len(same),
             **{name: float(value.mean()) for name, value in values.items()}, **deviations}
        )  # fmt: skip
    return pd.DataFrame(means, columns=list(columns))
