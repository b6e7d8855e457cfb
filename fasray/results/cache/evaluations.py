"""What every score file of a run was found to hold, kept beside the run, so that a long run is listed at once.

``evaluations.index`` in the run directory is derived: it can be deleted, and is made again. What does not hold any more
(``fasray.results.cache.validity``) is computed anew from the score files of the trial. ``fasray verify`` does not look
at it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from fasray import storage
from fasray.metrics import rates_at
from fasray.results.cache.validity import Stamps, read_kept, write_kept
from fasray.results.digests import source_digest, target_digest
from fasray.results.scores import ScoredEvaluation
from fasray.runs.events import TrialRecord

EVALUATION_INDEX_FILE = "evaluations.index"


class EvaluationFigures(NamedTuple):
    """The figures of one evaluation; see ``listings.EVALUATION_COLUMNS``."""

    step: int
    source_dev_auc: float
    source_dev_loss: float
    worst_source_auc: float
    threshold: float
    target_hter: float
    target_auc: float
    target_eer: float
    target_threshold: float


_NUMBERS = EvaluationFigures._fields[1:]


def figures_of(evaluation: ScoredEvaluation) -> EvaluationFigures:
    """Compute the figures of one evaluation."""
    source, target = source_digest(evaluation), target_digest(evaluation)
    videos = evaluation.target.videos
    return EvaluationFigures(
        step=evaluation.step,
        source_dev_auc=source.auc,
        source_dev_loss=source.loss,
        worst_source_auc=source.worst_auc,
        threshold=source.video_threshold,
        target_hter=rates_at(videos.score, videos.label, source.video_threshold).hter,
        target_auc=target.auc,
        target_eer=target.hter,
        target_threshold=target.video_threshold,
    )


class EvaluationIndex:
    """Gives the figures that still hold, trial by trial, and takes new ones.

    Args:
        run: local path or URI of the run directory.
        trials: of the run.
        settled_s: in place of ``stamped.SETTLED_S``.
    """

    def __init__(self, run: str, trials: Sequence[TrialRecord], settled_s: float | None = None) -> None:
        self._uri = storage.join(run, EVALUATION_INDEX_FILE)
        stamps = Stamps(run, settled_s)
        stamps.look(trials)
        self._prints = {trial.id: stamps.print_of([trial]) for trial in trials}
        self._known = {trial: kept for trial, kept in _read(self._uri).items() if kept[0] == self._prints.get(trial)}
        self.changed = False
        """Whether there is something to save."""

    def figures(self, trial: str) -> Sequence[EvaluationFigures] | None:
        """Return the figures of a trial's evaluations, ``None`` if they are not known any more."""
        return self._known[trial][1] if trial in self._known else None

    def keep(self, trial: str, figures: Sequence[EvaluationFigures]) -> None:
        """Take figures that have been computed since this was made."""
        if figures and self._prints[trial]:
            self._known[trial] = self._prints[trial], figures
            self.changed = True

    def save(self) -> None:
        """Write what is new, if anything is and the place can be written to."""
        if not self.changed:
            return
        rows = [(trial, known, *each) for trial, (known, figures) in self._known.items() for each in figures]
        columns = dict(zip(("trial", "fingerprint", *EvaluationFigures._fields), zip(*rows, strict=True), strict=True))
        sink = pa.BufferOutputStream()
        table = pa.table({name: list(values) for name, values in columns.items()}, schema=_SCHEMA)
        with pa.ipc.new_file(sink, _SCHEMA) as writer:
            writer.write_table(table)
        write_kept(self._uri, sink.getvalue().to_pybytes())


_WORD = pa.dictionary(pa.int32(), pa.string())
_SCHEMA = pa.schema(
    [("trial", _WORD), ("fingerprint", _WORD), ("step", pa.int64()), *((name, pa.float64()) for name in _NUMBERS)]
)


def _read(uri: str) -> dict[str, tuple[str, Sequence[EvaluationFigures]]]:
    """Return fingerprint and figures by trial; the rows of a trial stand together."""
    kept = read_kept(uri)
    if kept is None:
        return {}
    table = pa.ipc.open_file(pa.py_buffer(kept)).read_all().combine_chunks()
    words = {name: table[name].combine_chunks() for name in ("trial", "fingerprint")}
    codes = words["trial"].indices.to_numpy()
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    ends = [*starts[1:].tolist(), len(codes)]
    figures = list(map(EvaluationFigures, *(table[name].to_pylist() for name in EvaluationFigures._fields)))
    names = {name: word.dictionary.to_pylist() for name, word in words.items()}
    prints = words["fingerprint"].indices.to_numpy()
    return {
        names["trial"][codes[start]]: (names["fingerprint"][prints[start]], figures[start:end])
        for start, end in zip(starts.tolist(), ends, strict=True)
    }
