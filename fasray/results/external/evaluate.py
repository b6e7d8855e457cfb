"""Figures of any score file: at which level, at which threshold, and with which caveats."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fasray import metrics
from fasray.errors import DataError, SpecError
from fasray.metrics.intervals import RESAMPLES
from fasray.metrics.video import check_aggregate
from fasray.results.external.read import ExternalScores
from fasray.results.scores import Level

_THRESHOLDS = ("eer_threshold", "threshold")


@dataclass(frozen=True)
class MetricOptions:
    """What a user wants to know of a score file."""

    level: Level = "video"
    aggregate: str = "mean"
    """How frames make a video; see ``metrics.to_videos``."""
    threshold: float | str = "eer"
    """A number in the file's own direction, or a rule of ``metrics.choose_threshold``."""
    compat: str = ""
    """Rule of an official repository to report as well, by name; empty for none."""
    confidence: float | None = None
    """Nominal coverage of intervals; None for no intervals."""
    resamples: int = RESAMPLES
    seed: int = 0


@dataclass(frozen=True)
class ExternalFigures:
    """The figures of a score file; thresholds are in the file's own direction."""

    source: ExternalScores
    options: MetricOptions
    rows: int
    """Rows that were evaluated: videos, or frames."""
    subjects: int | None
    """None if the file does not name them."""
    frames_per_video: tuple[int, int] | None
    """Fewest and most frames that a video's score was made of; None at the level of frames."""
    threshold_rule: str
    oracle: bool
    """Whether the threshold was chosen on the rows that it is applied to, which is impossible in use."""
    figures: metrics.Figures
    compat: metrics.CompatFigures | None
    intervals: metrics.Intervals | None
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return one object of JSON values; infinite thresholds are words, figures that do not exist null."""
        found = {
            "file": self.source.file,
            "layout": self.source.layout,
            "live_is": self.source.live_is,
            "level": self.options.level,
            "aggregate": self.options.aggregate if self.options.level == "video" else None,
            "rows": self.rows,
            "frames": len(self.source.score),
            "frames_per_video": list(self.frames_per_video) if self.frames_per_video else None,
            "subjects": self.subjects,
            "threshold_rule": self.threshold_rule,
            "oracle": self.oracle,
            **{name: _json(value) for name, value in self._natively(asdict(self.figures)).items()},
            "notes": list(self.notes),
        }
        found["apcer_by_type"] = {name: rate for name, rate in self.figures.apcer_by_type}
        if self.compat is not None:
            ruled = self._natively(asdict(self.compat))
            found["compat"] = {name: _json(value) for name, value in ruled.items() if value is not None}
        if self.intervals is not None:
            found["intervals"] = self._intervals(self.intervals)
        return found

    def _natively(self, values: dict[str, Any]) -> dict[str, Any]:
        turned = {name: self.source.native(values[name]) for name in _THRESHOLDS if name in values}
        return values | turned

    def _intervals(self, found: metrics.Intervals) -> dict[str, Any]:
        parts = {part.name: getattr(found, part.name) for part in fields(found)}
        each = {
            name: {"lower": _json(value.lower), "upper": _json(value.upper), "note": value.note}
            for name, value in parts.items()
            if isinstance(value, metrics.Interval)
        }
        return {
            "confidence": found.confidence,
            "resamples": found.resamples,
            "clusters": found.clusters,
            "subjects": found.subjects,
            "few_subjects": found.few_subjects,
            **each,
        }


@dataclass(frozen=True, eq=False)
class _Rows:
    """What is evaluated: videos or frames."""

    score: NDArray[np.float64]
    label: NDArray[np.int8]
    attack_type: NDArray[np.str_] | None
    subject: NDArray[np.str_] | None
    frames: NDArray[np.int64] | None


def evaluate_external(
    scores: ExternalScores, options: MetricOptions, dev: ExternalScores | None = None
) -> ExternalFigures:
    """Return the figures of a score file; a rule chooses the threshold on ``dev``, or without it on the evaluated rows.

    Raises:
        DataError: one class only, frames of a video that disagree, an aggregate that needs what the file does not have.
        SpecError: an unknown aggregate or rule, or a number out of range.
    """
    try:
        return _evaluate(scores, options, dev)
    except DataError as error:
        where = scores.file if error.where == "" or scores.file in error.where else f"{scores.file}, {error.where}"
        raise DataError(error.what, where=where, remedy=error.remedy) from error


def _evaluate(scores: ExternalScores, options: MetricOptions, dev: ExternalScores | None) -> ExternalFigures:
    rows, notes = _rows(scores, options)
    threshold, rule, oracle = _threshold(scores, rows, options, dev)
    found = metrics.figures(rows.score, rows.label, threshold, rows.attack_type)
    if found.auc < 0.5:
        notes.append("the AUC is under 50 %: --live-is or --live-label may be the wrong way round")
    if oracle:
        notes.append("the threshold was chosen on the rows that it is applied to (oracle): not attainable in use")
    if rows.attack_type is None:
        notes.append("attack types are unknown: APCER takes all attacks as one type")
    intervals = None
    if options.confidence is not None:
        intervals = metrics.confidence_intervals(
            rows.score,
            rows.label,
            subject=rows.subject,
            attack_type=rows.attack_type,
            threshold=threshold,
            confidence=options.confidence,
            resamples=options.resamples,
            seed=options.seed,
        )
        notes += intervals.notes
        if oracle:
            notes.append("intervals take the threshold as given, though it was chosen on the same rows")
    return ExternalFigures(
        source=scores,
        options=options,
        rows=len(rows.score),
        subjects=None if scores.subject is None else len(np.unique(scores.subject)),
        frames_per_video=None if rows.frames is None else (int(rows.frames.min()), int(rows.frames.max())),
        threshold_rule=rule,
        oracle=oracle,
        figures=found,
        compat=_compat(scores, rows, options.compat),
        intervals=intervals,
        notes=tuple(notes),
    )


def _rows(scores: ExternalScores, options: MetricOptions) -> tuple[_Rows, list[str]]:
    """Return the rows to evaluate, and notes on them."""
    check_aggregate(options.aggregate)
    if options.level == "frame" and options.aggregate != "mean":
        what = f"{options.aggregate!r} says how frames make a video, and frames are to count by themselves"
        raise SpecError(what, where="--aggregate", remedy="leave out --aggregate or --level frame")
    types = scores.attack_type
    notes = list(scores.notes)
    if types is not None:
        types = np.where(types == "", "unnamed", types)
    if options.level == "frame":
        return _Rows(scores.score, scores.label, types, scores.subject, None), notes
    if scores.video is None:
        if options.aggregate != "mean":
            remedy = "add a column `video`, or leave out --aggregate"
            raise DataError(f"{options.aggregate!r} needs to know which rows make up a video", remedy=remedy)
        notes.append("videos are unknown: each row is taken as a video of its own")
        frames = np.ones(len(scores.score), np.int64)
        return _Rows(scores.score, scores.label, types, scores.subject, frames), notes
    _check_videos(scores)
    constant = np.zeros(len(scores.score), np.int8)
    videos = metrics.to_videos(
        scores.score,
        scores.label,
        constant if scores.domain is None else scores.domain,
        constant if types is None else np.where(scores.label == 1, "", types),
        scores.video,
        aggregate=options.aggregate,
        frame=scores.frame,
    )
    subject = None if scores.subject is None else _of_videos(scores.subject, scores.video, videos.video)
    kinds = None if types is None else videos.attack_type
    return _Rows(videos.score, videos.label, kinds, subject, videos.frames), notes


def _check_videos(scores: ExternalScores) -> None:
    """Check that the names of videos are not those of frames, such as v1_0 and v1_1 for the frames 0 and 1 of v1."""
    if scores.video is None or scores.frame is None:
        return
    stems = set()
    for name, number in zip(scores.video.tolist(), scores.frame.tolist(), strict=True):
        stem = name.removesuffix(str(number))
        if stem == name or stem[-1:] in "0123456789":
            return
        stems.add(stem)
    if len(stems) < len(np.unique(scores.video)):
        raise DataError(
            f"names of videos end with the number of their frame, such as {str(scores.video[0])!r}: these are frames",
            where="video",
            remedy="name the column of the video, --column video=NAME, or take each frame by itself, --level frame",
        )


def _of_videos(subject: NDArray[np.str_], video: NDArray[np.str_], names: NDArray[np.str_]) -> NDArray[np.str_]:
    """Return the subject of each video, by name."""
    position = np.searchsorted(names, video)
    found = np.empty(len(names), subject.dtype)
    found[position] = subject
    differs = found[position] != subject
    if differs.any():
        name = str(video[differs][0])
        remedy = "give different videos different names; if these are no videos, take each row by itself: --level frame"
        raise DataError(f"video {name!r} has two subjects", remedy=remedy)
    return found


def _threshold(
    scores: ExternalScores, rows: _Rows, options: MetricOptions, dev: ExternalScores | None
) -> tuple[float, str, bool]:
    """Return the threshold in our direction, the rule's name, and whether it was chosen on the evaluated rows."""
    if isinstance(options.threshold, float):
        if math.isnan(options.threshold):
            raise SpecError("the threshold is NaN", remedy="give a number, or a rule such as eer")
        return scores.native(options.threshold), "given", False
    if dev is None:
        chosen = metrics.choose_threshold(options.threshold, rows.score, rows.label, rows.attack_type)
        return chosen, options.threshold, True
    try:
        others, _ = _rows(dev, options)
        chosen = metrics.choose_threshold(options.threshold, others.score, others.label, others.attack_type)
    except DataError as error:
        raise DataError(error.what, where=dev.file, remedy=error.remedy) from error
    same = np.array_equal(others.score, rows.score) and np.array_equal(others.label, rows.label)
    return chosen, f"{options.threshold} of {dev.file}", same


def _compat(scores: ExternalScores, rows: _Rows, rule: str) -> metrics.CompatFigures | None:
    if not rule:
        return None
    if scores.live_is == "lower":
        raise SpecError(
            f"{rule} is defined for scores of which higher ones are live",
            where="--rule",
            remedy="invert the scores as that repository does, such as 1 - score, and declare --live-is higher",
        )
    return metrics.compat_figures(rule, rows.score, rows.label)


def _json(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value
