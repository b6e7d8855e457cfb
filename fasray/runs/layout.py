"""What a run directory holds, by name; no other module spells these names.

runs/<sweep>/sweep.yaml                     the specification in canonical form, with its hash
             data.json                      manifest hash and card of the data
             videos.parquet                 camera, session and people of its videos
             events.jsonl                   the ordered log (events.py), fsynced line by line
             lock                           who drives the run; held by the operating system, so it dies with the driver
             protocols/                     files of fixed lists, if protocols are such (fasray.protocols.lists)
             weights/                       copies of the initial weights, if trials start from any, and weights.json
             trials/<id>/spec.json          what the trial is
             trials/<id>/eval-<step>.parquet   one immutable score file per evaluation
             trials/<id>/checkpoint/        newest and best weights, optimizers of the newest
             trials/<id>/files.json         SHA-256 of score files and checkpoints
             trials/<id>/tensorboard/<name>/   curves
             trials/<id>/mlflow.json, wandb.json, mlflow/, wandb/   of other trackers, if the sweep names them
             results.parquet, report.html, results.cache   derived; can be deleted

The same on S3, but for the log and the lock, which are folders there (event_log.py, lease.py).
"""

from __future__ import annotations

import re

from fasray import storage

SPEC_FILE, DATA_FILE = "sweep.yaml", "data.json"
VIDEO_FILE = "videos.parquet"
LOG_FILE, LOG_FOLDER = "events.jsonl", "events"
LOCK = "lock"
"""A file on a local disk, a folder on S3."""
RESULTS_FILE, REPORT_FILE = "results.parquet", "report.html"
RESULTS_CACHE = "results.cache"

TRIAL_FILE, CHECKSUM_FILE = "spec.json", "files.json"
CHECKPOINT_FOLDER, CURVE_FOLDER = "checkpoint", "tensorboard"


WEIGHTS_FILE = "weights.json"


def weights_folder(run: str) -> str:
    """Return where a run keeps copies of initial weights; it does not exist if no trial starts from any."""
    return storage.join(run, "weights")


def trial_folder(run: str, trial: str) -> str:
    """Return the folder of a trial."""
    return storage.join(run, "trials", trial)


def score_name(step: int) -> str:
    """Return the name of the score file of one evaluation."""
    return f"eval-{step:08d}.parquet"


def score_file(trial_dir: str, step: int) -> str:
    """Return the score file of one evaluation, below the trial's folder."""
    return storage.join(trial_dir, score_name(step))


def checkpoint_name(step: int, suffix: str) -> str:
    """Return the name of a file of a checkpoint.

    Args:
        step: optimizer steps done.
        suffix: ``json`` (its card), ``safetensors`` (the networks) or ``optimizer.safetensors``.
    """
    return f"step-{step:08d}.{suffix}"


def checkpoint_file(trial_dir: str, step: int, suffix: str) -> str:
    """Return a file of a checkpoint, below the trial's folder."""
    return storage.join(trial_dir, CHECKPOINT_FOLDER, checkpoint_name(step, suffix))


def checkpoint_step(name: str) -> int | None:
    """Return the step of a file of a checkpoint; None if the name is not one's."""
    match = re.fullmatch(r"step-(\d{8,})\.(json|(optimizer\.)?safetensors)", name)
    return int(match[1]) if match else None
