"""Seconds for the figures of a large score set, compared with the loop over thresholds of official repositories."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fasray import metrics
from fasray.bench.measurement import Benchmark, Measurement, timed
from fasray.metrics.compat import SSDG_STEPS

_SEED, _SUBJECTS, _LIVE_SHARE = 0, 200, 0.3
_times = partial(timed, clock=time.process_time)


def measure_metrics(
    scores: int, videos: int, resamples: int, repetitions: int, say: Callable[[str], None] = lambda text: None
) -> Benchmark:
    """Time all figures of one score set, SSDG's loop over the same scores, and the intervals of another set.

    Everything here runs in one thread and touches no file, so processor seconds are taken: what else the machine does
    does not count.

    Args:
        scores: size of the set whose figures are taken.
        videos: size of the set whose intervals are taken.
        resamples: bootstrap resamples of those.
        repetitions: how often ours is timed; the loop is timed once.
        say: called with what begins.
    """
    score, label = _scores(scores)
    ours = _times(lambda: metrics.figures(score, label), repetitions)
    grid = _times(lambda: metrics.compat_figures("ssdg-grid", score, label), repetitions)
    say(f"{SSDG_STEPS + 1} thresholds one after another")
    loop = _times(lambda: _ssdg_loop(score, label), 1)
    of_videos, label_of_videos = _scores(videos)
    subject = np.random.default_rng(_SEED).integers(0, _SUBJECTS, videos).astype(str)
    say(f"{resamples} resamples of {videos} videos")
    bootstrap = _times(
        lambda: metrics.confidence_intervals(
            of_videos, label_of_videos, subject=subject, threshold=0.5, resamples=resamples
        ),
        repetitions,
    )
    return Benchmark(
        "metrics",
        "CPU s",
        (
            Measurement("figures", "all figures, sorted once", ours, baseline=False),
            Measurement("ssdg_loop", "SSDG's loop over thresholds", loop),
            Measurement("ssdg_grid", "the same grid, vectorised", grid),
            Measurement("bootstrap", f"intervals, {resamples} resamples", bootstrap, baseline=False),
        ),
        lower_is_better=True,
        facts={
            "scores": scores,
            "thresholds": SSDG_STEPS + 2,
            "videos": videos,
            "subjects": _SUBJECTS,
            "resamples": resamples,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    )


def _scores(count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    rng = np.random.default_rng(_SEED)
    label = (rng.random(count) < _LIVE_SHARE).astype(np.int64)
    return 1 / (1 + np.exp(-rng.normal(2 * label - 1, 1.0))), label


def _ssdg_loop(score: NDArray[np.float64], label: NDArray[np.int64]) -> tuple[float, float]:
    """Return EER and threshold as SSDG's evaluation finds them: each threshold counts all scores anew."""
    least, found = 1.0, (1.0, 0.0)
    for threshold in [step / SSDG_STEPS for step in range(SSDG_STEPS + 1)] + [1.1]:
        accepted = score >= threshold
        # As the original counts: each of the four compares labels and decisions anew.
        rejected_attack = np.sum(np.equal(label, 0) & np.equal(accepted, False))
        rejected_live = np.sum(np.equal(label, 1) & np.equal(accepted, False))
        accepted_attack = np.sum(np.equal(label, 0) & np.equal(accepted, True))
        accepted_live = np.sum(np.equal(label, 1) & np.equal(accepted, True))
        frr = float(rejected_live / (rejected_live + accepted_live))
        far = float(accepted_attack / (accepted_attack + rejected_attack))
        if abs(frr - far) <= least:
            least, found = abs(frr - far), ((far + frr) / 2, threshold)
    return found
