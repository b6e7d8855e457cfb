"""A comparison for people: the table of differences, that of ranks, and what must be said under them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from fasray.metrics.mean_difference import POWER
from fasray.results.ablations import MEAN_OF_PROTOCOLS
from fasray.results.compare import Comparison, few_subjects
from fasray.results.tables.export import to_json
from fasray.results.tables.text import DAGGER, NOTHING, ORACLE_NOTE, Grid, mark_notes, percent, with_mark


def difference_grid(found: Comparison) -> Grid:
    """Arrange the differences, in percent and points."""
    options = found.options
    name = options.figure.upper() + (DAGGER if found.frame["oracle"].any() else "")
    headers = [
        "method", "protocol", "verdict", "seeds", "subjects", name, f"{name} of {options.baseline}", "difference",
        f"{100 * options.confidence:g} % interval", "P(better) %", "p (Holm)", "seen from",
    ]  # fmt: skip
    if options.margin is not None:
        headers.append("p of equivalence (Holm)")
    rows = tuple(_cells(row, options.margin is not None) for row in found.frame.to_dict("records"))
    return Grid(tuple(headers), rows, tuple(_notes(found)), text_columns=3)


def rank_grid(found: Comparison) -> Grid | None:
    """Arrange the mean ranks, best first; None where nothing could be ranked."""
    ranks = found.ranks
    if ranks is None:
        return None
    rows = []
    for method, mean in zip(found.methods, ranks.mean, strict=True):
        same = [
            other
            for other, rank in zip(found.methods, ranks.mean, strict=True)
            if other != method and abs(rank - mean) < ranks.critical_difference
        ]
        rows.append((method, f"{mean:.2f}", ", ".join(same) or NOTHING))
    statistic = "" if math.isnan(ranks.p) else f" Friedman's test of all being equal: p = {ranks.p:.3g}."
    notes = [
        f"Mean ranks over {ranks.protocols} protocols, 1 is best; they treat protocols as drawn by chance.{statistic}"
        f" Critical difference (Nemenyi, {100 * ranks.confidence:g} %): {ranks.critical_difference:.2f}.",
        *([f"{ranks.note}."] if ranks.note else []),
    ]
    return Grid(("method", "mean rank", "within the critical difference of"), tuple(rows), tuple(notes), text_columns=1)


def comparison_json(found: Comparison) -> str:
    """Return differences, ranks and notes as one JSON document; fractions, NaN is null."""
    ranks = found.ranks and {"methods": found.methods, **asdict(found.ranks)}
    if ranks:
        ranks = {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in ranks.items()}
    document = {"differences": json.loads(to_json(found.frame)), "ranks": ranks, "notes": _notes(found)}
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def _cells(row: Mapping[str, Any], equivalence: bool) -> tuple[str, ...]:
    known = not math.isnan(row["lower"])
    cells = (
        row["method"], _with_mark(row["protocol"]), row["verdict"], str(row["n_pairs"]), str(row["subjects"]),
        percent(row["value"]), percent(row["value_baseline"]), f"{100 * row['difference']:+.2f}",
        f"{100 * row['lower']:+.2f} to {100 * row['upper']:+.2f}" if known else NOTHING,
        f"{100 * row['better']:.1f}" if known else NOTHING,
        _p(row["p_holm"]),
        f"{100 * row['seen']:.2f}" if row["seen"] < 1 else NOTHING,
    )  # fmt: skip
    return (*cells, _p(row["p_equivalence_holm"])) if equivalence else cells


def _with_mark(protocol: str) -> str:
    return protocol if protocol == MEAN_OF_PROTOCOLS else with_mark(protocol)


def _p(value: float) -> str:
    return NOTHING if math.isnan(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _notes(found: Comparison) -> list[str]:
    options, frame = found.options, found.frame
    better = "above zero" if options.higher_is_better else "below zero"
    lines = [
        f"Percent and points, one decision a video, on the unseen target, step and threshold by {options.selection}."
        f" difference: method minus {options.baseline}, paired by protocol, seed and subject; {better} the method is"
        " better.",
        "Intervals speak of other people of the targets and of other seeds, on these protocols and data.",
        "p (Holm): of no difference, adjusted for the methods compared on the same protocol; verdicts follow it.",
        *_power(found),
    ]
    if options.margin is not None:
        lines.append(
            f"equivalent: the difference is shown to be less than {100 * options.margin:g} points either way (two"
            " one-sided tests, adjusted likewise). Not significant alone means nothing of the kind."
        )
    if frame["oracle"].any():
        lines.append(ORACLE_NOTE)
    if few_subjects(frame):
        lines.append("Few target subjects: intervals may cover less than they promise.")
    if found.generated:
        lines.append("The faces are generated: these figures are no evidence about real face anti-spoofing.")
    lines += mark_notes(name for name in frame["protocol"] if name != MEAN_OF_PROTOCOLS)
    return [*lines, *(f"{note[0].upper()}{note[1:]}." for note in dict.fromkeys(frame["note"]) if note), *found.notes]


def _power(found: Comparison) -> list[str]:
    """Say what could not have been seen, from the widest comparison of the means, or of the protocols."""
    frame = found.frame[found.frame["protocol"] == MEAN_OF_PROTOCOLS]
    frame = found.frame if frame.empty else frame
    known = frame[frame["seen"].notna()]
    if known.empty:
        return []
    row = known.loc[known["seen"].idxmax()]
    seeds = "1 seed" if row["n_pairs"] == 1 else f"{row['n_pairs']} seeds"
    where = f"the mean of {row['n_protocols']} protocols" if row["protocol"] == MEAN_OF_PROTOCOLS else row["protocol"]
    part = "" if math.isnan(row["subject_share"]) else (
        f" Of what is unsure, {100 * row['subject_share']:.0f} % is due to which people were filmed, the rest to seeds."
    )  # fmt: skip
    size = f"under {100 * row['seen']:.1f} points" if row["seen"] < 1 else "of any size"
    margin = found.options.margin
    more = "" if margin is None or row["seen"] <= margin else (
        f" To see {100 * margin:g} points takes about {(row['seen'] / margin) ** 2:.2g} times as many people and seeds."
    )  # fmt: skip
    return [
        f"seen from: with {row['subjects']} subjects and {seeds} a difference {size} on {where} would be missed more"
        f" than {round(100 * (1 - POWER))} times in 100.{part}{more}"
    ]
