"""Ray for the length of a sweep: a private one on this machine, or the cluster that ``RAY_ADDRESS`` names."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

from fasray.cores import usable_cores
from fasray.execution.autoscaler import MAX_TRIALS
from fasray.execution.hardware import gpus_here
from fasray.ray_private import do_not_propagate

_TUNE_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # our score files and event log are the record
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # the engine ends the run itself
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_MAX_PENDING_TRIALS_PG": str(MAX_TRIALS),  # trials that wait for nodes make an autoscaler bring them
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # Tune's own state is never restored
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


def is_private() -> bool:
    """Return whether a session starts a Ray of its own on this machine, and does not connect to a cluster."""
    return not os.environ.get("RAY_ADDRESS")


@contextlib.contextmanager
def ray_session(verbose: bool = False) -> Iterator[None]:
    """Connect to Ray and disconnect at the end; a Ray that was started here is stopped.

    Without ``RAY_ADDRESS`` a private Ray starts on this machine, with all its cores, no dashboard and token
    authentication under a token of its own (set ``RAY_AUTH_MODE`` to choose otherwise). It dies with this process.
    With it, ``RAY_AUTH_MODE`` and ``RAY_AUTH_TOKEN`` must be those of the cluster.

    Args:
        verbose: let Ray's own messages through.
    """
    for name, value in _TUNE_SETTINGS.items():
        os.environ.setdefault(name, value)
    private = is_private()
    if private:
        # Ray reads the mode when it is imported; where that has happened already, it must stay as it was then.
        os.environ.setdefault("RAY_AUTH_MODE", "disabled" if "ray" in sys.modules else "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    import ray

    do_not_propagate("AWS_")  # Ray's agent would log the keys; every process inherits them, or has those of its node
    level = logging.INFO if verbose else logging.ERROR
    options: dict[str, Any] = {"logging_level": level, "log_to_driver": verbose, "ignore_reinit_error": False}
    with _quiet(verbose):
        with _keep_signal_handler():
            if private:
                ray.init(
                    address="local", num_cpus=usable_cores(), num_gpus=gpus_here(), include_dashboard=False, **options
                )
            else:
                ray.init(**options)
        for name in ("ray", "ray.tune", "ray.data"):
            logging.getLogger(name).setLevel(level)
        try:
            yield
        finally:
            ray.shutdown()


@contextlib.contextmanager
def _keep_signal_handler() -> Iterator[None]:
    """Keep this process's handler of SIGTERM, which Ray replaces when it starts."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


@contextlib.contextmanager
def _quiet(verbose: bool) -> Iterator[None]:
    """Discard what Ray's processes write to standard error, unless ``verbose``."""
    if verbose:
        yield
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as sink:
        saved = os.dup(2)
        own = os.fdopen(os.dup(2), "w", buffering=1)
        python_stderr = sys.stderr
        os.dup2(sink.fileno(), 2)
        sys.stderr = own
        try:
            yield
        finally:
            sys.stderr = python_stderr
            os.dup2(saved, 2)
            os.close(saved)
            own.close()
