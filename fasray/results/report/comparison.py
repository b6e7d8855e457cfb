"""The methods of one protocol next to each other: DET, ROC and operating points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fasray.results import plots
from fasray.results.plots import Band, Plot
from fasray.results.report.cells import CellSection
from fasray.results.report.heat import Row, RowsByCell, short

_MOST_LINES = 7
OPERATING_POINTS = (0.01, 0.05, 0.10)
"""Shares of attacks accepted at which methods are compared."""


@dataclass(frozen=True)
class OperatingRow:
    """What one method's mean curve on a protocol says, in percent as text."""

    method: str
    auc: str
    rejected: tuple[str, ...]
    """Live faces rejected at the shares of attacks accepted of ``OPERATING_POINTS``."""


@dataclass(frozen=True)
class ProtocolCurves:
    """The methods compared on one protocol."""

    protocol: str
    plots: tuple[Plot, ...]
    rows: tuple[OperatingRow, ...]
    left_out: int
    """Methods beyond those that a plot can hold apart."""


def curves(cells: Sequence[CellSection], honest: RowsByCell) -> tuple[ProtocolCurves, ...]:
    """Compare the methods on each protocol that has two of them or more."""
    by_protocol: dict[str, list[Band]] = {}
    for cell in cells:
        if cell.band is not None:
            by_protocol.setdefault(cell.protocol, []).append(replace(cell.band, label=cell.method))
    found = []
    for number, (protocol, lines) in enumerate(by_protocol.items()):
        if len(lines) > 1:
            stem = plots.file_stem("protocol", f"{number:02d}", protocol)
            shown = lines[:_MOST_LINES]
            drawn = (
                plots.det_plot(f"{stem}-det", "DET", protocol, shown),
                plots.roc_plot(f"{stem}-roc", "ROC", protocol, shown),
            )
            rows = tuple(_operating_row(line, honest.get((line.label, protocol))) for line in lines)
            found.append(ProtocolCurves(protocol, drawn, rows, len(lines) - len(shown)))
    return tuple(found)


def _operating_row(line: Band, row: Row | None) -> OperatingRow:
    rejected = tuple(short(float(np.interp(far, line.far, line.frr))) for far in OPERATING_POINTS)
    return OperatingRow(line.label, "-" if row is None else short(row["auc"]), rejected)
