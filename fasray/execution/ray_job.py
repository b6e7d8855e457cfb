"""What a sweep must know when it is the entrypoint of a Ray job (``ray job submit``)."""

from __future__ import annotations

import os
from pathlib import Path

from fasray import storage
from fasray.errors import SpecError

_IN_A_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
_STOP_WAIT = "RAY_JOB_STOP_WAIT_TIME_S"
_STOP_WAIT_DEFAULT = 3.0
_TO_BE_GONE = 0.8
"""Seconds that a job's supervisor may take to see that a process has ended."""
_COPIES = "working_dir_files"
"""Folder under which Ray unpacks what ``working_dir`` names."""


def in_job() -> bool:
    """Tell whether this process is the driver of a Ray job."""
    return _IN_A_JOB in os.environ


def seconds_to_leave(most: float) -> float:
    """Return how long the process may take to leave after a signal: ``most``, but in a job never until SIGKILL comes.

    A job's supervisor sends it ``RAY_JOB_STOP_WAIT_TIME_S`` after SIGTERM, 3 s if that is not set.
    """
    if not in_job():
        return most
    try:
        wait = float(os.environ.get(_STOP_WAIT, _STOP_WAIT_DEFAULT))
    except ValueError:
        wait = _STOP_WAIT_DEFAULT
    return max(min(most, wait - _TO_BE_GONE), 0.0)


def how_to_go_on() -> str:
    """Say what brings a run that was interrupted to its end."""
    return "submit the same job again to go on" if in_job() else "run the same command again to go on"


def refuse_what_ray_deletes(run: str) -> None:
    """Refuse a run directory inside a job's copy of its working directory.

    Raises:
        SpecError: the next job with the same ``working_dir`` gets a fresh copy in its place, one with another a copy
            elsewhere; either way the run is lost.
    """
    if not storage.is_remote(run) and _COPIES in Path(run).resolve().parts:
        raise SpecError(
            "this run directory is inside the job's copy of its working directory, which Ray deletes",
            where=f"--out {run}",
            remedy="name a place that stays and that every node sees: --out s3://bucket/runs/name, or an absolute path",
        )
