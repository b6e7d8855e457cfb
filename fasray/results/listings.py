"""What the result frame is computed from, as frames of their own: trials, evaluations and single scores."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd
from pydantic import TypeAdapter

from fasray.errors import DataError, did_you_mean
from fasray.metrics import SOURCE_DEV, TARGET, rates_at
from fasray.results.cache import VALUES, ResultsCache
from fasray.results.confirmed import confirmed_runs
from fasray.results.costs import cost_of
from fasray.results.digests import source_digest, target_digest
from fasray.results.scores import ScoredEvaluation, ScoreReader
from fasray.runs.events import TrialRecord, gc_paused
from fasray.runs.record import RunRecord

TRIAL_COLUMNS: dict[str, str] = {
    "trial": "id, which is also the folder under trials/",
    "method": "name of the method",
    "variant": "name of the ablation; empty for the method itself",
    "protocol": "name of the protocol",
    "stage": "search, confirm or inner",
    "seed": "seed of all its streams",
    "status": "running, stopped (cut in the search), done, diverged or failed",
    "reason": "why it diverged or failed",
    "winner": "whether its configuration won the search and was confirmed",
    "total_steps": "full budget, optimizer steps",
    "steps_done": "step of its last evaluation",
    "evaluations": "number of evaluations",
    "best_step": "step of the best source-dev AUC; missing if there was no evaluation",
    "best_source_dev_auc": "source-dev AUC there, macro average over source domains, video level",
    "seconds": "wall seconds of training and evaluating, as far as they were measured",
    "cpu_seconds": "processor seconds of all its workers, as far as they were measured; missing if none was",
    "gpu_seconds": "GPUs that it held, times wall seconds",
    "bytes_read": "faces, or windows of them, taken from the pool, one byte a channel",
    "bytes_written": "score files, checkpoints and records",
    "origin": "name of the run that it was taken over from; empty if it was trained in this one",
    "searched": "names of the searched fields",
    "config": "the whole configuration as JSON; each searched field also has a column config.<name>",
}
"""Columns of the trials frame; config.<name> columns follow."""

EVALUATION_COLUMNS: dict[str, str] = {
    "trial": "id of the trial",
    "method": "name of the method",
    "variant": "name of the ablation; empty for the method itself",
    "protocol": "name of the protocol",
    "stage": "search, confirm or inner",
    "seed": "seed of the trial",
    "step": "optimizer steps done",
    "source_dev_auc": "macro average over the source domains, video level",
    "source_dev_loss": "macro average of the binary cross-entropy, nats",
    "worst_source_auc": "AUC of the worst source domain",
    "threshold": "EER threshold of the pooled source-dev videos",
    "target_hter": "HTER of the target's videos (of inner trials: of the domain left out) at that threshold, fraction; "
    "seen by no honest rule; missing where the target was sealed, in the search",
    "target_auc": "AUC of the target's videos; seen by no honest rule",
    "target_eer": "EER of the target's videos; an oracle's figure",
    "target_threshold": "its threshold; an oracle's",
    "seconds": "wall seconds since the evaluation before; 0 if unknown",
}
"""Columns of the evaluations frame."""

SCORE_COLUMNS: dict[str, str] = {
    "trial": "id of the trial",
    "method": "name of the method",
    "variant": "name of the ablation; empty for the method itself",
    "protocol": "name of the protocol",
    "seed": "seed of the trial",
    "selection": "rule that picked the step",
    "step": "the step",
    "threshold": "the rule's threshold for videos",
    "role": "source-dev or target",
    "score": "higher = more live",
    "label": "1 live, 0 attack",
    "domain": "domain of the video",
    "attack_type": "live, or the kind of attack",
    "instrument": "finer kind of attack, where known",
    "subject": "unique over all domains",
    "video": "unique over all domains",
    "frame": "index in the video",
}
"""Columns of the scores frame: one row a frame."""


class _Figures(NamedTuple):
    """What is computed of one evaluation; see ``EVALUATION_COLUMNS``."""

    step: int
    source_dev_auc: float
    source_dev_loss: float
    worst_source_auc: float
    threshold: float
    target_hter: float
    target_auc: float
    target_eer: float
    target_threshold: float


_FIGURES = TypeAdapter(list[_Figures], config=VALUES)


def _figures(evaluation: ScoredEvaluation) -> _Figures:
    source = source_digest(evaluation)
    known = (evaluation.step, source.auc, source.loss, source.worst_auc, source.video_threshold)
    if evaluation.scored_target is None:
        return _Figures(*known, *[math.nan] * 4)
    target, videos = target_digest(evaluation), evaluation.target.videos
    hter = rates_at(videos.score, videos.label, source.video_threshold).hter
    return _Figures(*known, hter, target.auc, target.hter, target.video_threshold)


def trials_frame(record: RunRecord) -> pd.DataFrame:
    """Return one row a trial, in the order of suggestion; see ``TRIAL_COLUMNS``."""
    won = {(event.method, event.protocol): event.trial for event in record.events if event.event == "won"}
    trials = record.trials
    fields = list(dict.fromkeys(name for trial in trials for name in trial.searched))
    with gc_paused():
        rows = [_trial_row(trial, won.get((trial.method, trial.protocol)) == trial.id, fields) for trial in trials]
    return pd.DataFrame(rows, columns=[*TRIAL_COLUMNS, *(f"config.{name}" for name in fields)])


def _trial_row(trial: TrialRecord, winner: bool, fields: Sequence[str]) -> dict[str, object]:
    best, cost, steps = trial.best, cost_of(trial.paid), trial.steps
    return {
        **_who(trial),
        "stage": trial.stage,
        "status": trial.status,
        "reason": trial.reason,
        "winner": winner,
        "total_steps": trial.total_steps,
        "steps_done": steps[-1] if steps else 0,
        "evaluations": len(steps),
        "best_step": float(best.step) if best else float("nan"),
        "best_source_dev_auc": best.source_dev_auc if best else float("nan"),
        "seconds": cost.seconds,
        "cpu_seconds": cost.cpu_seconds,
        "gpu_seconds": cost.gpu_seconds,
        "bytes_read": cost.bytes_read,
        "bytes_written": cost.bytes_written,
        "origin": trial.origin.run if trial.origin else "",
        "searched": list(trial.searched),
        "config": json.dumps(dict(trial.config), sort_keys=True),
        **{f"config.{name}": trial.config.get(name) for name in fields},
    }


def evaluations_frame(run: RunRecord, cache: ResultsCache | None = None) -> pd.DataFrame:
    """Return one row an evaluation of every trial and protocol that it serves; see ``EVALUATION_COLUMNS``.

    ``cache`` gives figures that are still valid and takes new ones.

    Raises:
        DataError: a score file is missing, damaged, or holds scores that are not finite numbers.
    """
    reader = ScoreReader()
    rows = []
    if cache:
        cache.files.look(run.trials)
    for trial in run.cell_trials:
        figures = cache.get(trial.key, [trial], _FIGURES) if cache else None
        if figures is None:
            uris = [run.score_uri(trial.id, step) for step in trial.steps]
            figures = list(map(_figures, reader.read_all(uris, trial.protocol)))
            if cache:
                cache.put(trial.key, [trial], figures, _FIGURES)
        head = {**_who(trial), "stage": trial.stage}
        seconds = {reading.step: reading.seconds for reading in trial.readings}
        rows += [{**head, **each._asdict(), "seconds": seconds.get(each.step, 0.0)} for each in figures]
    return pd.DataFrame(rows, columns=list(EVALUATION_COLUMNS))


def scores_frame(run: RunRecord, rule: str = "source-dev", trials: Sequence[str] = ()) -> pd.DataFrame:
    """Return one row a frame of the confirmed runs, at the step that a rule picked; see ``SCORE_COLUMNS``.

    Args:
        run: the run.
        rule: name of a selection rule that applies to each confirmed run; of several steps the last is taken.
        trials: ids of the runs; none: all.

    Raises:
        DataError: a score file is missing or damaged, or a trial is not a confirmed one of this run.
        SpecError: there is no such rule, or it is ``oracle-search``.
    """
    confirmed = [trial for trial in run.confirmed if trial.steps]
    for name in trials:
        if name not in (known := {trial.id for trial in confirmed}):
            raise DataError(f"no confirmed run {name!r}", remedy=did_you_mean(name, known))
    parts = [pd.DataFrame(columns=list(SCORE_COLUMNS))]
    wanted = [trial for name in trials for trial in confirmed if trial.id == name] if trials else confirmed
    for found in confirmed_runs(run, rule, wanted):
        choice = found.choice
        head = {**_who(found.trial), "selection": rule, "step": choice.step, "threshold": choice.video_threshold}
        parts += [_scores(found.evaluation, role, head) for role in (SOURCE_DEV, TARGET)]
    return pd.concat(parts[1:] or parts, ignore_index=True)


def _scores(evaluation: ScoredEvaluation, role: str, head: dict[str, object]) -> pd.DataFrame:
    rows = evaluation.source_dev if role == SOURCE_DEV else evaluation.target
    columns = {name: getattr(rows, name) for name in SCORE_COLUMNS if name not in head and name != "role"}
    return pd.DataFrame({**head, "role": role, **columns}, columns=list(SCORE_COLUMNS))


def _who(trial: TrialRecord) -> dict[str, object]:
    return {
        "trial": trial.id,
        "method": trial.method,
        "variant": trial.variant,
        "protocol": trial.protocol,
        "seed": trial.seed,
    }
