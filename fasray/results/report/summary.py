"""The top of the page: the question, and the answer in a few figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fasray.results.plots import GapRow, HeatMap
from fasray.results.report.cost import CostRow, duration, total
from fasray.results.report.heat import means_over_protocols, short
from fasray.results.tables.text import percent
from fasray.runs.events import TrialRecord
from fasray.runs.record import RunRecord


@dataclass(frozen=True)
class Tile:
    """One figure of the summary."""

    label: str
    value: str
    note: str


def question(run: RunRecord, grouped: Mapping[tuple[str, str], Sequence[TrialRecord]]) -> tuple[str, ...]:
    """Say what the run asks and how, in a few sentences."""
    methods = list(dict.fromkeys(method for method, _ in grouped))
    names = list(dict.fromkeys(protocol for _, protocol in grouped))
    if not grouped:
        return ("Nothing has been tried yet.",)
    searched = [sum(trial.stage == "search" for trial in trials) for trials in grouped.values()]
    seeds = sorted({trial.seed for trials in grouped.values() for trial in trials if trial.stage == "confirm"})
    parts = len({(trial.method, trial.variant) for trial in run.trials if trial.variant})
    first = (
        f"Which method works on a domain that it has never seen: {_words(methods, 'or')}?"
        if len(methods) > 1
        else f"How well does {methods[0]} work on a domain that it has never seen?"
    )
    lines = [
        f"{first} {count(len(methods), 'method')} on {count(len(names), 'protocol')}: {count(len(grouped), 'cell')}."
    ]
    if any(searched):
        few, many = min(searched), max(searched)
        lines.append(
            f"In each cell {few if few == many else f'{few} to {many}'} configurations were tried; the one with the"
            " best source-dev AUC won. The search never saw a score of the target."
        )
    if seeds:
        lines.append(
            f"The {'winner was trained again' if any(searched) else 'given configuration was trained'} with"
            f" {count(len(seeds), 'fresh seed' if any(searched) else 'seed')} ({', '.join(map(str, seeds))});"
            " only these runs are in the results."
        )
    if parts:
        lines.append(f"Besides, {count(parts, 'part')} of the methods were switched off one at a time, same seeds.")
    running = sum(trial.status == "running" for trial in run.trials)
    if running:
        lines.append(f"The run is not finished: {count(running, 'trial')} not ended.")
    return tuple(lines)


def tiles(
    run: RunRecord,
    table: HeatMap,
    figure: str,
    gaps: Mapping[tuple[str, str], GapRow],
    cost: Sequence[CostRow],
) -> tuple[Tile, ...]:
    """Return the figures of the summary."""
    found = []
    means = means_over_protocols(table)
    own = len({protocol for _, protocol in gaps})
    if len(table.methods) > 1 and own > 1 and np.isfinite(means).any():
        best = int(np.nanargmin(means))
        order = np.argsort(means)
        note = f"{short(float(means[best]))} % honest {figure}, mean over {own} protocols"
        if np.isfinite(means[order[1]]):
            note += f"; next {table.methods[order[1]]}, {short(float(means[order[1]]))} %"
        found.append(Tile("Best method", table.methods[best], note))
    if gaps:
        row = min(gaps.values(), key=lambda each: each.honest)
        note = f"{row.method} on {row.protocol}" + (f"; lowest of {len(gaps)}" if len(gaps) > 1 else "")
        found.append(Tile("Best honest cell", f"{percent(row.honest)} %", note))
        gap = float(np.mean([each.oracle - each.honest for each in gaps.values()]))
        found.append(
            Tile("Optimism gap", f"{100 * gap:+.1f} points", f"oracle minus honest {figure}, mean over the cells")
        )
    states = Counter(trial.status for trial in run.trials)
    listed = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    work = total(cost)
    found.append(Tile("Work", duration(work.total), f"{count(len(run.trials), 'trial')}: {listed or 'none'}"))
    return tuple(found)


def _words(names: Sequence[str], last: str) -> str:
    return f"{', '.join(names[:-1])} {last} {names[-1]}" if len(names) > 1 else "".join(names)


def count(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 trial``, ``2 trials``."""
    return f"{number} {noun}" + ("" if number == 1 else "s")
