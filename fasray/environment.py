"""The environment variables that a user can set: name, meaning, default. The reference page is made of this list."""

from __future__ import annotations

import os
import pwd
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Variable:
    """One variable, or several that belong together."""

    name: str
    meaning: str
    default: str
    """What holds where it is not set."""


VARIABLES = (
    Variable(
        "FASRAY_DATA",
        "the face shards of sweeps with `data: auto`: an address that every node reads, or `synthetic`",
        "generated faces, with a warning",
    ),
    Variable("FASRAY_RUNS", "where a sweep's run directory is made if `--out` is left out", "`runs`"),
    Variable(
        "FASRAY_POOL_DIR",
        "where a node keeps its pools of decoded faces; a local disk with enough free space (`~` is the home folder)",
        "`fasray-<uid>/pools` in the temporary folder",
    ),
    Variable("FASRAY_CACHE_DIR", "where generated face sets are cached", "`fasray` in the user's cache folder"),
    Variable("FASRAY_STORE_PATIENCE", "seconds to wait for an object store that has stopped answering", "300"),
    Variable(
        "FASRAY_CLUSTER_FILE",
        "the file that an autoscaling cluster was made with (`ray up`, RayCluster or RayJob); it gives the cluster's "
        "upper limit",
        "`~/ray_bootstrap_config.yaml`, if it exists",
    ),
    Variable(
        "FASRAY_WATCH_TOKEN",
        "what requests to the page of `fasray watch` must have; needed for an address that other machines reach",
        "no token: the page is for this machine alone",
    ),
    Variable(
        "FASRAY_LOGICAL_GPUS",
        "for tests: trials that hold a GPU compute on the CPU; `1`, or a JSON object with memory of cards and trials",
        "GPUs are used",
    ),
    Variable("AWS_ENDPOINT_URL", "address of an object store that is not Amazon's", "Amazon S3"),
    Variable(
        "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_PROFILE, AWS_DEFAULT_REGION",
        "access to the object store, as for all AWS tools",
        "the machine's role",
    ),
    Variable(
        "RAY_ADDRESS",
        "address of a running Ray cluster to use",
        "a private Ray on this machine, ended with the command",
    ),
    Variable(
        "RAY_AUTH_MODE",
        "`token` or `disabled`, as the cluster has it; with `token` also set `RAY_AUTH_TOKEN`",
        "`token`, with a fresh token, for a private Ray",
    ),
    Variable(
        "MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME",
        "with `tracking: [mlflow]`: the server, and the experiment's name",
        "the folder `mlflow` of the run directory, and its name",
    ),
    Variable("WANDB_MODE, WANDB_PROJECT", "with `tracking: [wandb]`: `online`, and the project", "`offline`, `fasray`"),
    Variable("RAY_AUTH_TOKEN", "the cluster's token", "the token file of Ray, if there is one"),
    Variable("RAY_API_SERVER_ADDRESS", "address of the dashboard, for `ray job`", "read by Ray only"),
    Variable(
        "RAY_JOB_STOP_WAIT_TIME_S",
        "seconds between SIGTERM and SIGKILL when a job is stopped; belongs in the job's `env_vars`",
        "3",
    ),
)
"""Those of fasray first, then those of S3 and of Ray that matter most."""


def own_temporary_folder() -> Path:
    """Return the folder of this user under the system's temporary folder; it may not exist."""
    return Path(tempfile.gettempdir()) / f"fasray-{os.getuid()}"


def provide_home() -> None:
    """Set HOME and USER where a container's arbitrary user has neither: libraries ask for them when they are imported.

    The home folder is one in the temporary folder; nothing of fasray needs one.
    """
    try:
        user = pwd.getpwuid(os.getuid())
    except KeyError:
        user = None
    if user is None and not any(os.environ.get(name) for name in ("LOGNAME", "USER", "LNAME", "USERNAME")):
        os.environ["USER"] = f"uid-{os.getuid()}"
    if user is None and not os.environ.get("HOME"):
        home = own_temporary_folder() / "home"
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.environ["HOME"] = str(home)
