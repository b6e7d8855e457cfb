"""The two training loops that ``bench train`` compares: the one of a trial, and the plain one that one would write.

Both take the same steps of the same method: networks, losses, update, rows, windows and mirrored images are equal. What
differs, and all that differs:

                        ours, as in a trial                        plain
    images              uint8 from the pool to the device as one   each image to float32, cut and mirrored on the host,
                        block, float and augmented there           then stacked and moved, as a DataLoader's set does
    memory layout       channels last                              NCHW
    arithmetic          as asked (fp32, or bf16 autocast)          fp32
    logs                summed on the device, read every 20 steps  each read with ``.item()`` at every step
    determinism         as asked (deterministic, or not)           torch's defaults
    compiling           as asked (training steps)                  none
    scores              kept on the device                         each batch's read as it comes
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fasray.errors import DivergedError
from fasray.faces.face_index import FaceIndex
from fasray.faces.loading import augment
from fasray.faces.loading.pool import FacePool, PoolWriter
from fasray.faces.loading.sampler import Sampler
from fasray.methods.base import Draw, Method
from fasray.protocols.roles import Roles
from fasray.seeds import derive, stream
from fasray.training.batches import Batches
from fasray.training.context import Context
from fasray.training.loop import CHECK_EVERY, compile_networks, reproducible, set_memory_format, uncompiled
from fasray.training.trial import Trial

DOMAINS = ("A", "B", "C")
_VIDEOS = 24
"""Videos of each (domain, label) group, one frame each."""


def made_pool(folder: Path, image_size: int) -> FacePool:
    """Fill a pool of noise at ``folder``: three domains, both classes, stored at ``image_size`` pixels."""
    cells = [(domain, label, number) for domain in DOMAINS for label in (0, 1) for number in range(_VIDEOS)]
    names = [f"{domain}{label}-{number}" for domain, label, number in cells]
    text = [""] * len(cells)
    index = FaceIndex.of(
        {
            "label": [label for _, label, _ in cells],
            "domain": [domain for domain, *_ in cells],
            "attack_type": ["live" if label else "print" for _, label, _ in cells],
            "subject": names,
            "video": names,
            "frame": [0] * len(cells),
            "split": ["train"] * len(cells),
            **{name: text for name in ("instrument", "camera", "session")},
        }
    )
    rng = np.random.default_rng(0)
    pool = PoolWriter(folder, image_size, index, "noise")
    for row in range(len(cells)):
        image = rng.integers(0, 256, (1, image_size, image_size, 3), dtype=np.uint8)
        depth = rng.integers(0, 256, (1, 32, 32), dtype=np.uint8)
        pool.write(np.array([row]), image, depth, rng.integers(0, 11, (1, 64, 64), dtype=np.uint8))
    return pool.finish()


def made_roles(pool: FacePool) -> Roles:
    """Return roles under which every face of a made pool trains, and is scored."""
    nobody = np.empty(0, np.int64)
    number = {name: position for position, name in enumerate(DOMAINS)}
    domain_id = np.array([number[str(name)] for name in pool.index.domain], dtype=np.int64)
    everybody = np.arange(len(pool))
    return Roles(everybody, nobody, everybody, DOMAINS, domain_id)


class Loop(ABC):
    """One way to train; made with its networks, ready for the first step.

    Args:
        trial: what to train.
        pool: a made pool.
        device: where.
    """

    def __init__(self, trial: Trial, pool: FacePool, device: torch.device) -> None:
        self.trial, self.pool, self.device = trial, pool, device
        self.context = Context("", seed=trial.seed, total_steps=trial.training.steps, device=device)
        self.method: Method = trial.build_method()
        torch.manual_seed(derive(trial.seed, "init"))
        self.method.build(trial.shape(len(DOMAINS), device=device))
        self.method.networks.train()

    @property
    @abstractmethod
    def images_per_step(self) -> int:
        """Training images of a step, all draws together, views not counted."""

    @abstractmethod
    def draws(self, step: int) -> list[Draw]:
        """Return the batches of the step that follows ``step`` finished ones."""

    @abstractmethod
    def take(self, logs: Mapping[str, Tensor]) -> None:
        """Do with a step's logs what this loop does."""

    @abstractmethod
    def settings(self) -> AbstractContextManager[None]:
        """Torch's global settings under which this loop's steps run."""

    def arithmetic(self) -> AbstractContextManager[object]:
        """What the arithmetic of a step runs under."""
        return nullcontext()

    @abstractmethod
    def images_to_score(self) -> Iterator[Tensor]:
        """Yield the batches of an evaluation."""

    @abstractmethod
    def take_scores(self, scores: Tensor) -> None:
        """Do with a batch's scores what this loop does."""

    def run(self, seconds: float, least: int = 1) -> float:
        """Train for ``seconds`` and at least ``least`` steps; return images a second, the device's work included.

        Raises:
            DivergedError: a log is no longer finite.
        """
        steps, taken = self._train(seconds, least, lambda part: nullcontext())
        return steps * self.images_per_step / taken

    def outside(self, seconds: float, least: int = 1) -> dict[str, float]:
        """Train as :meth:`run` does; return which parts of the time go elsewhere than to networks and losses.

        The device is waited for where a part begins and ends, so that each has its own work: on a GPU the sum says
        what could be saved, and not how long the device waits.

        Returns:
            Shares of ``batch`` (picking, moving and augmenting images), ``optimizer`` and ``logs``, in [0, 1].
        """
        spent = dict.fromkeys(("batch", "optimizer", "logs"), 0.0)

        @contextmanager
        def watched(part: str) -> Iterator[None]:
            self._settle()
            began = time.perf_counter()
            yield
            self._settle()
            spent[part] += time.perf_counter() - began

        with ExitStack() as hooks:
            for optimizer in self.method.optimizers.values():
                running = ExitStack()
                for handle in (
                    optimizer.register_step_pre_hook(lambda *_, kept=running: kept.enter_context(watched("optimizer"))),
                    optimizer.register_step_post_hook(lambda *_, kept=running: kept.close()),
                ):
                    hooks.callback(handle.remove)
            _, taken = self._train(seconds, least, watched)
        return {part: value / taken for part, value in spent.items()}

    def score(self, seconds: float, least: int = 1) -> float:
        """Score for ``seconds`` and at least ``least`` batches; return images a second, the device's work included."""
        networks = self.method.networks.eval()
        try:
            with self.settings(), uncompiled(self.trial.training), torch.inference_mode():
                self._settle()
                batches, images, began = 0, 0, time.perf_counter()
                while batches < least or time.perf_counter() - began < seconds:
                    for batch in self.images_to_score():
                        self.take_scores(self.method.score(batch))
                        batches, images = batches + 1, images + len(batch)
                        if batches >= least and time.perf_counter() - began >= seconds:
                            break
                self._settle()
                return images / (time.perf_counter() - began)
        finally:
            networks.train()

    def _train(
        self, seconds: float, least: int, watched: Callable[[str], AbstractContextManager[None]]
    ) -> tuple[int, float]:
        """Return the steps that were taken and the seconds that they took."""
        with self.settings():
            self._settle()
            steps, began = 0, time.perf_counter()
            while steps < least or time.perf_counter() - began < seconds:
                if self.context.step >= self.trial.training.steps:
                    self.context.step = 0  # schedules are defined within the budget only
                with watched("batch"):
                    draws = self.draws(self.context.step)
                with self.arithmetic():
                    logs = self.method.step(draws, self.context)
                with watched("logs"):
                    self.take(logs)
                self.context.step += 1
                steps += 1
            self._settle()
            return steps, time.perf_counter() - began

    def _settle(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


class TrialLoop(Loop):
    """Ours: the steps of ``training.loop`` without its evaluations."""

    def __init__(self, trial: Trial, pool: FacePool, device: torch.device) -> None:
        super().__init__(trial, pool, device)
        set_memory_format(self.method, trial.training)
        compile_networks(self.method, trial.training)
        self._batches = Batches(trial, pool, made_roles(pool), self.method, self.context)
        self._sums: dict[str, Tensor] = {}

    @property
    def images_per_step(self) -> int:
        """Training images of a step."""
        return self._batches.images_per_step

    def draws(self, step: int) -> list[Draw]:
        """Return the trial's own batches."""
        return self._batches.step(step)

    def take(self, logs: Mapping[str, Tensor]) -> None:
        """Add up on the device; look every ``CHECK_EVERY`` steps whether all is finite."""
        for name, value in logs.items():
            self._sums[name] = self._sums.get(name, 0) + value.detach().to(torch.float64)
        if (self.context.step + 1) % CHECK_EVERY == 0:
            _check_finite(torch.stack(list(self._sums.values())).tolist(), self.trial)

    def images_to_score(self) -> Iterator[Tensor]:
        """Yield the batches of the trial's own evaluation."""
        return (images for _, images in self._batches.images_to_score())

    def take_scores(self, scores: Tensor) -> None:
        """Leave them on the device."""

    def settings(self) -> AbstractContextManager[None]:
        """As a trial has them."""
        training = self.trial.training
        return reproducible(training.threads, self.device, deterministic=training.deterministic)

    def arithmetic(self) -> AbstractContextManager[object]:
        """Autocast if the trial asks for it."""
        wanted = self.trial.training.precision == "bf16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=wanted)


class PlainLoop(Loop):
    """The baseline; see the table above."""

    def __init__(self, trial: Trial, pool: FacePool, device: torch.device) -> None:
        super().__init__(trial, pool, device)
        roles, training = made_roles(pool), trial.training
        self._sampler = Sampler(
            pool.index, roles.train, roles.domain_id, DOMAINS, training.sampling_of(self.method), trial.seed
        )
        self._label = torch.from_numpy(pool.index.label.astype(np.int64))
        self._domain = torch.from_numpy(roles.domain_id)

    @property
    def images_per_step(self) -> int:
        """Training images of a step."""
        return self._sampler.batch * self._sampler.sampling.draws

    def draws(self, step: int) -> list[Draw]:
        """Return the batches that the trial would have, made image by image on the host."""
        return [self._draw(step, number) for number in range(self._sampler.sampling.draws)]

    def _draw(self, step: int, number: int) -> Draw:
        rows = self._sampler.rows(step, number)
        needs, training = self.method.needs, self.trial.training
        size, stored = training.image_size, self.pool.image_size
        maps = [
            augment.sample_parameters(
                stream(self.trial.seed, "augment", step, number, view),
                len(rows),
                spec,
                stored,
                size,
            )
            for view, spec in enumerate(training.augments_of(self.method))
        ]
        items = [
            self._item(row, [one[place : place + 1] for one in maps], size) for place, row in enumerate(rows.tolist())
        ]
        views = [torch.cat([views[view] for views, _, _ in items]).to(self.device) for view in range(needs.views)]
        depth = torch.cat([depth for _, depth, _ in items if depth is not None]) if needs.depth else None
        parsing = torch.cat([classes for _, _, classes in items if classes is not None]) if needs.parsing else None
        return Draw(
            tuple(views),
            self._label[rows].to(self.device),
            self._domain[rows].to(self.device),
            None if depth is None else depth.to(self.device),
            None if parsing is None else parsing.to(self.device),
        )

    def _item(
        self, row: int, maps: list[augment.Parameters], size: int
    ) -> tuple[list[Tensor], Tensor | None, Tensor | None]:
        """Return the views of one image and its labels, each with a batch dimension of 1."""
        needs = self.method.needs
        face = self.pool.pick(np.array([row]), depth=needs.depth, parsing=needs.parsing)
        return (
            [augment.apply(face.images, one, size).contiguous() for one in maps],
            None if face.depth is None else augment.apply_depth(face.depth, maps[0], size),
            None if face.parsing is None else augment.apply_parsing(face.parsing, maps[0]),
        )

    def take(self, logs: Mapping[str, Tensor]) -> None:
        """Read every log, which waits for the device."""
        _check_finite([float(value.item()) for value in logs.values()], self.trial)

    def images_to_score(self) -> Iterator[Tensor]:
        """Yield batches that are made image by image on the host."""
        training, rows = self.trial.training, np.arange(len(self.pool))
        how, size = training.augment_of(self.method), training.image_size
        for start in range(0, len(rows), training.eval_batch_size):
            faces = (self.pool.pick(rows[row : row + 1]) for row in rows[start : start + training.eval_batch_size])
            yield torch.cat([augment.evaluation(face.images, how, size).contiguous() for face in faces]).to(self.device)

    def take_scores(self, scores: Tensor) -> None:
        """Read the scores, which waits for the device."""
        scores.cpu()

    def settings(self) -> AbstractContextManager[None]:
        """Torch's defaults, with the trial's threads."""
        return torch_threads(self.trial.training.threads)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Give torch ``count`` CPU threads for the time of a block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _check_finite(values: list[float], trial: Trial) -> None:
    if not all(map(math.isfinite, values)):
        raise DivergedError(
            f"the loss of {trial.method} is no longer finite",
            where="bench train",
            remedy="the images are noise; use another profile or fewer --seconds",
        )
