"""A trial inside a reused Ray actor: the process, its imports and its view of the pool serve one trial after another.

From the second trial on, starting costs no more than building the networks. What a trial computes does not depend on
what ran in the actor before it.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any, Literal

import torch
from ray import tune

from fasray.errors import DivergedError, FasrayError
from fasray.execution.card import limit_memory, peak_bytes, show_assigned_gpus
from fasray.execution.messages import TrialMessage, TrialOrder
from fasray.faces.loading.pool import FacePool
from fasray.ingest.node_pool import open_or_fill_pool
from fasray.protocols import Roles
from fasray.runs.layout import weights_folder
from fasray.runs.own_code import OtherCodeError, check_same_code
from fasray.training.context import Context
from fasray.training.evaluation import Evaluation
from fasray.training.loop import evaluations


class ReusableTrialActor(tune.Trainable):
    """Runs the order in its config, one evaluation per ``step``; ``reset_config`` gives it another trial."""

    def setup(self, config: dict[str, Any]) -> None:
        """Take the first trial."""
        self._context: Context | None
        self._evaluations: Generator[Evaluation, None, None]
        self._pool: FacePool | None = None
        self._roles: dict[tuple[str, bool], Roles] = {}
        show_assigned_gpus()
        self._begin(config["order"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial in the same process."""
        self.cleanup()
        self._begin(new_config["order"])
        return True

    def step(self) -> dict[str, Any]:
        """Train up to the next evaluation and report its source-dev figures.

        A trial whose loss is no longer finite, or whose data is at fault, ends here with its reason, and one that ran
        out of its card's memory without any: its actor is sound. Any other error is raised, so that Tune discards the
        actor. Reasons name no path of this machine: they go into the event log.
        """
        try:
            evaluation = next(self._evaluations)
        except StopIteration:
            return self._ended("failed", "the trial had nothing left to do")
        except DivergedError as error:
            return self._ended("diverged", error.what)
        except OtherCodeError as error:
            return self._ended("other_code", error.what)
        except FasrayError as error:
            return self._ended("failed", error.what)
        except torch.OutOfMemoryError:
            return self._ended("out_of_memory", "")
        return self._result(TrialMessage(self._order.trial.id, evaluation.reading))

    def _result(self, message: TrialMessage) -> dict[str, Any]:
        first = self.first_step_at  # None if no step was taken here
        return {"message": message, "start_seconds": 0.0 if first is None else first - self._started}

    def _ended(
        self, status: Literal["diverged", "failed", "out_of_memory", "other_code"], reason: str
    ) -> dict[str, Any]:
        order = self._order
        return self._result(
            TrialMessage(
                order.trial.id, status=status, reason=reason, demand=order.demand, peak_bytes=peak_bytes(order.device)
            )
        )

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

    def _begin(self, order: TrialOrder) -> None:
        self._started, self._context, self._order = time.time(), None, order
        self._evaluations = self._evaluate(order)

    def _evaluate(self, order: TrialOrder) -> Generator[Evaluation, None, None]:
        """Train the trial; opening the pool here makes its errors those of a ``step``."""
        trial = order.trial
        check_same_code(order.code)
        if self._pool is None or self._pool.key != order.pool:
            self._pool, self._roles = open_or_fill_pool(order.pool, order.data), {}
        pool, key = self._pool, (trial.protocol, order.score_target)
        if key not in self._roles:
            self._roles[key] = order.roles(pool.index)
        roles = self._roles[key]
        limit_memory(order.device, order.demand.gpus)
        context = self._context = Context(
            order.folder,
            seed=trial.seed,
            total_steps=trial.training.steps,
            device=order.device,
            gpus=order.demand.gpus,
            faces_bytes=order.faces_bytes,
            weights_folder=weights_folder(order.run),
            stage=order.stage,
            tracking=order.tracking,
        )
        yield from evaluations(trial, pool, roles, context, reported_step=order.reported_step)
