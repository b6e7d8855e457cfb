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

from fasray import storage
from fasray.cores import usable_cores
from fasray.environment import provide_home
from fasray.errors import SpecError
from fasray.execution.autoscaler import MAX_TRIALS
from fasray.execution.hardware import gpus_here
from fasray.execution.ray_address import UNSET, check_ray_address, ray_address, without_credentials
from fasray.execution.ray_address import VARIABLE as RAY_ADDRESS
from fasray.faces.data_source import CACHE_VARIABLE
from fasray.faces.loading.pool import POOL_DIR_VARIABLE
from fasray.ray_private import do_not_propagate, job_config_with_paths
from fasray.runs.own_code import driver_paths
from fasray.streams import Output, text_stream

_CONNECT_SECONDS = 50.0
_LONGEST_FOLDER = 42
"""Of Ray's sessions, bytes; names of sockets have at most 107, and Ray appends up to 64."""

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
    return not ray_address()


@contextlib.contextmanager
def ray_session(verbose: bool = False) -> Iterator[None]:
    """Connect to Ray and disconnect at the end; a Ray that was started here is stopped.

    Without ``RAY_ADDRESS`` a private Ray starts on this machine, with all cores that this process may use, no dashboard
    and token authentication under a token of its own (set ``RAY_AUTH_MODE`` to choose otherwise). It dies with this
    process. With it, ``RAY_AUTH_MODE`` and ``RAY_AUTH_TOKEN`` must be those of the cluster. Workers import what this
    process imports, whatever is in the working folder.

    Args:
        verbose: let Ray's own messages through.

    Raises:
        SpecError: no Ray is at ``RAY_ADDRESS``, or none can be started.
    """
    for name, value in _TUNE_SETTINGS.items():
        os.environ.setdefault(name, value)
    provide_home()
    address = ray_address()
    if address:
        check_ray_address(address)
    else:
        os.environ.pop(RAY_ADDRESS, None)
        # Ray reads the mode when it is imported; where that has happened already, it must stay as it was then.
        os.environ.setdefault("RAY_AUTH_MODE", "disabled" if "ray" in sys.modules else "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        for name in (POOL_DIR_VARIABLE, CACHE_VARIABLE):
            if (folder := storage.local_place_of(name)) is not None:
                os.environ[name] = str(folder)  # the workers' working folders are their own
    import ray

    do_not_propagate("AWS_")  # Ray's agent would log the keys; every process inherits them, or has those of its node
    level = logging.INFO if verbose else logging.ERROR
    options: dict[str, Any] = {
        "logging_level": level, "log_to_driver": verbose, "ignore_reinit_error": False,
        "job_config": job_config_with_paths(driver_paths()),
    }  # fmt: skip
    with _quiet(verbose):
        with _keep_signal_handler():
            _init(address, options)
        for name in ("ray", "ray.tune", "ray.data"):
            logging.getLogger(name).setLevel(level)
        try:
            yield
        finally:
            ray.shutdown()


def _init(address: str, options: dict[str, Any]) -> None:
    import ray

    try:
        if address:
            with _giving_up(address):
                ray.init(address, **options)
        else:
            private: dict[str, Any] = {"num_cpus": usable_cores(), "num_gpus": gpus_here(), "include_dashboard": False}
            ray.init("local", **private, **_short_folder(), **options)
    except (SpecError, KeyboardInterrupt, SystemExit):
        raise
    except Exception as error:  # of many classes, none of them documented
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        where = f"{RAY_ADDRESS}={without_credentials(address)}" if address else "private Ray"
        remedy = f"check that it is a head of this version of Ray, and RAY_AUTH_MODE and RAY_AUTH_TOKEN; or {UNSET}"
        raise SpecError(
            f"Ray cannot be {'reached' if address else 'started'}: {first}",
            where=where,
            remedy=remedy if address else "-v shows Ray's own messages; `fasray doctor` checks this machine",
        ) from error


@contextlib.contextmanager
def _giving_up(address: str) -> Iterator[None]:
    """End the attempt to connect after a while: Ray may wait for ever, in code that no signal interrupts."""
    connected = threading.Event()
    message = (
        f"error: {RAY_ADDRESS}={without_credentials(address)}: no Ray answers there within {_CONNECT_SECONDS:.0f} s"
        f"\n  -> check that it is the head of a cluster that works (`ray status`); or {UNSET}\n"
    )

    def watch() -> None:
        if not connected.wait(_CONNECT_SECONDS):
            sys.stderr.write(message)
            sys.stderr.flush()
            os._exit(SpecError.exit_code)

    threading.Thread(target=watch, name="give up connecting", daemon=True).start()
    try:
        yield
    finally:
        connected.set()


def _short_folder() -> dict[str, Any]:
    """Return the folder of Ray's session, where that of the environment is too long for the names of its sockets.

    Raises:
        SpecError: there is no short one that can be written.
    """
    named = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or ""
    if len(os.fsencode(os.path.join(named, "ray"))) <= _LONGEST_FOLDER and (not named or _can_be_written(named)):
        return {}
    for place in ("/tmp", "/var/tmp", "/dev/shm"):  # noqa: S108 - the session's folder in it has a name of its own
        if _can_be_written(place):
            return {"_temp_dir": os.path.join(place, f"fasray-{os.getuid()}-ray")}
    raise SpecError(
        f"the name of the temporary folder is too long for Ray's sockets, or it cannot be written: {named}",
        where="RAY_TMPDIR",
        remedy="set RAY_TMPDIR to a folder on a local disk with a short name",
    )


def _can_be_written(folder: str) -> bool:
    return os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)


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
        python_stderr = sys.stderr
        own = text_stream(Output(os.dup(2)), python_stderr, by_line=True)
        os.dup2(sink.fileno(), 2)
        sys.stderr = own
        try:
            yield
        finally:
            sys.stderr = python_stderr
            os.dup2(saved, 2)
            os.close(saved)
            own.close()
