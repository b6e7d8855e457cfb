"""A trial as a run of Weights & Biases: files in the run directory's folder ``wandb``, for ``wandb sync`` to send.

``WANDB_MODE`` may say otherwise (``online``, ``shared``, ``disabled``). The project is ``fasray`` or that of
``WANDB_PROJECT``, the group is the name of the run directory. What wandb records of the machine (host, user, paths,
load, code, console) is switched off.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fasray import storage
from fasray.errors import SpecError
from fasray.training.trackers import check_package, keep_id, kept_id, run_name, run_of, settings_of
from fasray.training.trial import Trial

_MODE, _NAME = "WANDB_MODE", "wandb"


class WandbTracker:
    """A run of Weights & Biases; see :class:`fasray.training.trackers.Tracker`.

    Each attempt of a trial goes on in the run of the same id. Offline that is one folder per attempt, and one run when
    they have been sent.
    """

    def __init__(self, trial_dir: str, trial: Trial, *, stage: str = "", after_step: int = 0) -> None:
        import wandb

        run = run_of(trial_dir)
        identity = kept_id(trial_dir, _NAME) or secrets.token_hex(8)
        keep_id(trial_dir, _NAME, identity)
        mode = os.environ.get(_MODE) or "offline"
        settings: dict[str, Any] = {
            "mode": mode, "console": "off", "silent": True, "disable_code": True, "disable_git": True, "host": "",
            "x_disable_meta": True, "x_disable_stats": True, "x_disable_machine_info": True,
            "x_save_requirements": False, "init_timeout": 30,
        }  # fmt: skip
        self._run: Any = wandb.init(
            dir=None if storage.is_remote(run) else _folder(run),
            project=os.environ.get("WANDB_PROJECT") or "fasray",
            group=os.path.basename(run) or None,
            job_type=stage or None,
            id=identity,
            name=run_name(trial, stage),
            config={**settings_of(trial, stage), "trial": trial.id},
            resume=None if mode == "offline" else "allow",
            reinit="create_new",  # what else this process does with wandb is none of our business
            settings=wandb.Settings(**settings),
        )
        self._run.define_metric("oracle/*", step_metric="oracle/step")

    @classmethod
    def check(cls, run: str) -> None:
        """Check that wandb is installed and that there is a place for its files."""
        check_package(_NAME)
        if storage.is_remote(run) and (os.environ.get(_MODE) or "offline") == "offline":
            raise SpecError(
                "Weights & Biases keeps no files on an object store",
                where="key tracking",
                remedy=f"set {_MODE}=online and WANDB_API_KEY on every node, or remove wandb from the list",
            )

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Add points; a server leaves out those of steps that it has."""
        self._run.log(dict(scalars), step=step)

    def flush(self) -> None:
        """Do nothing: a process of wandb's writes as points come."""

    def finish(self, curves: Mapping[int, Mapping[str, float]], figures: Mapping[str, float]) -> None:
        """Log the target's curves over steps of their own, and the final figures as the run's summary."""
        for step, scalars in sorted(curves.items()):
            self._run.log({**scalars, "oracle/step": step})
        self._run.summary.update(dict(figures))

    def close(self) -> None:
        """End the run, until the trial goes on."""
        self._run.finish()


def _folder(run: str) -> str:
    path = Path(storage.absolute(run))
    path.mkdir(parents=True, exist_ok=True)
    return str(path)
