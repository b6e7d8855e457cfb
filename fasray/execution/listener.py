"""What a sweep or a single trial reports while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fasray.faces.loading.pool import Excluded
    from fasray.sweep.plan import Plan
    from fasray.sweep.progress import Progress
    from fasray.training.evaluation import Evaluation
    from fasray.training.trial import Trial


class Listener:
    """Callbacks of ``run_sweep`` and ``train_trial``; override those that you want, the others do nothing."""

    def on_generate(self, done: int, total: int) -> None:
        """``done`` of ``total`` subjects' faces are generated."""

    def on_stage(self, what: str) -> None:
        """Something that takes a while begins."""

    def on_decode(self, rows: int, total: int) -> None:
        """``rows`` of ``total`` faces are decoded into the pool."""

    def on_excluded(self, excluded: Sequence[Excluded]) -> None:
        """These faces cannot be decoded and are left out; called only if there are any."""

    def on_plan(self, plan: Plan, ended: int) -> None:
        """A sweep is planned; ``ended`` of its trials ended in an earlier run."""

    def on_progress(self, progress: Progress) -> None:
        """Trials of a sweep started, reported or ended."""

    def on_trial_start(self, trial: Trial, folder: str) -> None:
        """A single trial starts or resumes in its folder."""

    def on_evaluation(self, trial: Trial, evaluation: Evaluation) -> None:
        """A single trial was evaluated."""


def describe_excluded(excluded: Sequence[Excluded]) -> str:
    """Say how many faces are left out of a pool, and why the first is."""
    first = excluded[0]
    return (
        f"warning: {len(excluded)} faces cannot be decoded and are left out; the first: "
        f"{first.shard}: {first.video}: {first.reason}"
    )
