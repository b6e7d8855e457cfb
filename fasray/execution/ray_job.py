"""A sweep as the entrypoint of a Ray job (``ray job submit``)."""

from __future__ import annotations

import os

from fasray import storage
from fasray.errors import SpecError

_IN_A_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
_STOP_WAIT = "RAY_JOB_STOP_WAIT_TIME_S"
_STOP_WAIT_DEFAULT = 3.0
_SUPERVISOR_DELAY = 0.8
"""Seconds in which a job's supervisor notices that a process has ended."""
_WORKING_DIRS = "working_dir_files"
"""Folder into which Ray unpacks the ``working_dir`` of jobs."""


def in_job() -> bool:
    """Return whether this process is the driver of a Ray job."""
    return _IN_A_JOB in os.environ


def exit_timeout(most: float) -> float:
    """Return the seconds that the process may take to exit after a signal: ``most``, in a job less than until SIGKILL.

    A job's supervisor sends SIGKILL ``RAY_JOB_STOP_WAIT_TIME_S`` after SIGTERM, 3 s if that is not set.
    """
    if not in_job():
        return most
    try:
        wait = float(os.environ.get(_STOP_WAIT, _STOP_WAIT_DEFAULT))
    except ValueError:
        wait = _STOP_WAIT_DEFAULT
    return max(min(most, wait - _SUPERVISOR_DELAY), 0.0)


def resume_hint() -> str:
    """Return the remedy of an interrupted run."""
    return "submit the same job again to resume" if in_job() else "run the same command again to resume"


def check_outlives_job(run: str) -> None:
    """Refuse a run directory inside a job's copy of its working directory.

    Raises:
        SpecError: the next job with the same ``working_dir`` gets a fresh copy in its place, one with another a copy
            elsewhere; either way the run is lost.
    """
    if not storage.is_remote(run) and _WORKING_DIRS in storage.local_path(run).resolve().parts:
        from fasray.sweep.auto import RUNS_VARIABLE  # loads NumPy, which the command line must not

        raise SpecError(
            "this run directory is inside the job's copy of its working directory, which Ray deletes",
            where=f"run directory {run}",
            remedy="name a place that outlives the job and that every node sees, an s3:// address or an absolute path "
            "on a shared disk: `ray job submit --working-dir . --runtime-env-json "
            f"""'{{"env_vars": {{"{RUNS_VARIABLE}": "s3://BUCKET/runs"}}}}' -- fasray sweep ...`; """
            f"or start the head with {RUNS_VARIABLE} in its environment, for all jobs",
        )
