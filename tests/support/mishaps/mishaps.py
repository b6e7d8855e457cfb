"""ERM to which accidents happen: a loss that is not finite, an error of the device, a process that dies.

``FASRAY_TEST_DELAYS`` has the most seconds by which each step is delayed, at random.
"""

import math
import os
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal, cast

import torch
from pydantic import Field
from torch import Tensor

from fasray.methods.base import Draw, MethodConfig, StepContext
from fasray.methods.erm import ERM, ERMConfig
from fasray.methods.space import Range
from fasray.training.context import Context


class MishapsConfig(ERMConfig):
    accident: Literal["none", "nan", "error", "death", "always-error", "memory"] = Field(
        "none", description="what happens"
    )
    at: int = Field(5, ge=0, description="step before which it happens")

    @classmethod
    def space(cls) -> Mapping[str, Range]:
        return {}


class Mishaps(ERM):
    name: ClassVar[str] = "mishaps"
    title: ClassVar[str] = "ERM with accidents"
    Config: ClassVar[type[MethodConfig]] = MishapsConfig
    config: MishapsConfig

    def step(self, draws: Sequence[Draw], ctx: StepContext) -> dict[str, Tensor]:
        accident = self.config.accident
        time.sleep(random.random() * float(os.environ.get("FASRAY_TEST_DELAYS", "0")))
        with (_folder() / "steps").open("a") as file:
            file.write(f"{accident} {os.getpid()} {ctx.step}\n")
        with (_folder() / "cards").open("a") as file:
            gpus, visible = cast(Context, ctx).gpus, os.environ.get("CUDA_VISIBLE_DEVICES", "unset")
            file.write(f"{os.getpid()} {ctx.step} {gpus:g} [{visible}] {time.time()}\n")
        logs = super().step(draws, ctx)
        if ctx.step != self.config.at or accident == "none":
            return logs
        if accident == "memory":
            if cast(Context, ctx).gpus < 1:
                raise torch.OutOfMemoryError("as if the card had no more")
            return logs
        if accident == "nan":
            return {name: value * math.nan for name, value in logs.items()}
        if accident == "always-error" or self._first_time():
            if accident == "death":
                os._exit(1)
            raise RuntimeError("device error")
        return logs

    def _first_time(self) -> bool:
        """Tell whether this accident has not happened yet, and leave a mark that it has."""
        mark = _folder() / self.config.accident
        if mark.exists():
            return False
        mark.touch()
        return True


def _folder() -> Path:
    return Path(os.environ["FASRAY_TEST_ACCIDENTS"])
