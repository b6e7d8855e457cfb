"""A trial inside a warm Ray actor: the process, its imports and its view of the pool serve one trial after another.

From the second trial on, starting costs no more than building the networks. What a trial computes does not depend on
what ran in the actor before it.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

from ray import tune

from fasray.errors import DivergedError, FasrayError
from fasray.faces.loading.pool import FaceBank
from fasray.ingest.node_pool import own_pool
from fasray.nets.weights import from_copies
from fasray.protocols import Roles, TargetSplit, parse
from fasray.runs.ledger import trial_folder
from fasray.training.context import Context
from fasray.training.loop import Evaluation, evaluations
from fasray.training.trial import Trial


class WarmTrial(tune.Trainable):
    """Runs the trial of its config, one evaluation per ``step``; ``reset_config`` gives it another trial."""

    def setup(self, config: dict[str, Any]) -> None:
        """Take the first trial."""
        self._context: Context | None
        self._evaluations: Generator[Evaluation, None, None]
        self._banks: dict[str, FaceBank] = {}
        self._roles: dict[tuple[str, str], Roles] = {}
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial in the same process."""
        self.cleanup()
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train up to the next evaluation and report its source-dev figures.

        A trial whose loss is no longer finite, or whose data is at fault, ends here with its reason: its actor is
        sound. Any other error is raised, so that Tune discards the actor. Reasons name no path of this machine: they
        go into the event log.
        """
        try:
            evaluation = next(self._evaluations)
        except StopIteration:
            return {"status": "failed", "reason": "the trial had nothing left to do"}
        except DivergedError as error:
            return {"status": "diverged", "reason": error.what}
        except FasrayError as error:
            return {"status": "failed", "reason": error.what}
        return {
            "status": "evaluated",
            "step": evaluation.step,
            "source_dev_auc": evaluation.source_dev_auc,
            "source_dev_loss": evaluation.source_dev_loss,
            "seconds": evaluation.seconds,
            "spent": evaluation.spent,
            "start_seconds": self._start_seconds(),
        }

    def get_auto_filled_metrics(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return what Tune adds to a result, but not the config.

        The driver has it, and would keep statistics of each number in it, for as long as the sweep runs.
        """
        filled: dict[str, Any] = super().get_auto_filled_metrics(*args, **kwargs)
        return {name: value for name, value in filled.items() if name != "config"}

    @property
    def first_step_at(self) -> float | None:
        """When the trial's first optimizer step here began, seconds since the epoch; None if there was none yet."""
        return self._context.first_step_at if self._context else None

    def cleanup(self) -> None:
        """Let go of the trial."""
        self._evaluations.close()

    def _begin(self, config: dict[str, Any]) -> None:
        self._started, self._context = time.time(), None
        self._evaluations = self._evaluate(config)

    def _evaluate(self, config: dict[str, Any]) -> Generator[Evaluation, None, None]:
        """Train the trial of ``config``; what is wrong with the data of this node comes out here, in a ``step``."""
        trial = Trial.model_validate(config["trial"])
        bank = self._bank(config["pool"], config.get("data", ""))
        roles = self._role(bank, trial.protocol, config["target_split"])
        context = self._context = Context(
            trial_folder(config["run"], trial.id),
            seed=trial.seed,
            total_steps=trial.training.steps,
            device=_device(),
        )
        with from_copies(config.get("weights", "")):
            yield from evaluations(trial, bank, roles, context, reported_step=config["reported_step"])

    def _start_seconds(self) -> float:
        """Return the time from taking the trial to its first optimizer step; 0 if there was none here."""
        first = self.first_step_at
        return first - self._started if first is not None else 0.0

    def _bank(self, key: str, uri: str) -> FaceBank:
        if key not in self._banks:
            self._banks = {key: own_pool(key, uri)}
            self._roles = {}
        return self._banks[key]

    def _role(self, bank: FaceBank, protocol: str, target_split: TargetSplit) -> Roles:
        parsed = parse(protocol, target_split)
        key = (bank.key, parsed.fingerprint())
        if key not in self._roles:
            self._roles[key] = parsed.assign(bank.index)
        return self._roles[key]


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
