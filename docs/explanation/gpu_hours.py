"""The tables of ``gpu-hours.md``: ``python docs/explanation/gpu_hours.py`` writes them into it, from the code as it is.

Counts of pictures, steps and evaluations come from the plan and the forecast of ``sweeps/all_methods.yaml`` over an
index with the real sizes of O, C, I and M; torch counts the arithmetic in a step of each method. Speeds are estimated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from fasray.faces.face_index import FaceIndex
from fasray.methods import registry
from fasray.methods.base import Build, Draw, Method
from fasray.methods.model_size import model_size
from fasray.sweep.auto import with_profile
from fasray.sweep.forecast import forecast, images_per_step
from fasray.sweep.plan import Cell, Plan, make_plan
from fasray.sweep.spec import SweepSpec
from fasray.sweep.sweep_file import load_sweep
from fasray.training.context import Context

ROOT = Path(__file__).parents[2]
FRAMES = 10
"""Frames of a video: the default of ``fasray data prepare``."""
SETS: Mapping[str, tuple[Mapping[str, int], int, int]] = {
    "O": ({"train": 20, "dev": 15, "test": 20}, 18, 72),
    "C": ({"train": 20, "test": 30}, 3, 9),
    "I": ({"train": 15, "dev": 15, "test": 20}, 4, 20),
    "M": ({"train": 15, "test": 20}, 2, 6),
}
"""People by official split, and live and attack videos of each: OULU-NPU, CASIA-FASD, Replay-Attack, MSU-MFSD."""

# Published: images a second of training ResNet-50 v1.5 (4.11 GMACs at 224 px) on a card: NVIDIA's DeepLearningExamples.
A100_TF32, A100_MIXED, V100_FP32 = 938.0, 2470.0, 367.0
RESNET50_TFLOP = 3 * 2 * 4.11e-3
"""Of a training image: a forward pass and a backward pass of twice its arithmetic."""
# Published: ResNet-18 (1.82 GMACs) against ResNet-50 in mixed precision on one RTX 3090, timm: 3482 and 1218 images/s.
RESNET18 = (3482 * 1.82) / (1218 * 4.11)
"""How much better a ResNet-18 uses a card than a ResNet-50."""
# Published: memory bandwidth, 3.35 TB/s of an H100 SXM and 2.04 TB/s of an A100 80 GB; float32 without tensor cores, 67
# TFLOP/s of an H100 and 15.7 of a V100.
H100_OVER_A100 = 3.35 / 2.04
TF32 = A100_TF32 * RESNET50_TFLOP * RESNET18 * H100_OVER_A100
MIXED = A100_MIXED * RESNET50_TFLOP * RESNET18 * H100_OVER_A100
FP32 = V100_FP32 * RESNET50_TFLOP / 15.7 * 67
"""TFLOP/s that such networks reach on an H100: estimated."""
OPERATION = 7e-6
"""Seconds that Python and torch need to start one operation: estimated."""
PICK, STAGE, WINDOW = 33e-6, 33e-6, 243e-6
"""Seconds an image of 256 px on one core, before: read from the pool, copied for upload, its window cut. Measured."""
AT_ONCE = 2
"""Trials on the card after: estimated, for the probe measures it on the card."""


@dataclass(frozen=True)
class Step:
    """One optimizer step of a method at 256 px, and scoring."""

    images: int
    views: int
    tflop: float
    operations: int
    score_gmacs: float
    score_operations: int
    windows: bool
    """Whether images are cut out as they are and not resampled."""

    def texts(self) -> list[str]:
        """Return what the page's table shows of it."""
        counts = (self.images, self.views, f"{self.tflop:.2f}", _count(self.operations), f"{self.score_gmacs:.1f}")
        return [str(count) for count in counts]


class _Operations(TorchDispatchMode):
    """Counts what torch is asked for."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def index() -> FaceIndex:
    """Return the index of O, C, I and M with ten frames of every video; its pixels do not exist."""
    columns: dict[str, list[Any]] = {
        name: [] for name in ("domain", "split", "subject", "label", "attack_type", "video", "frame")
    }
    for domain, (people, live, attacks) in SETS.items():
        for split, count in people.items():
            for person in range(count):
                for number in range(live + attacks):
                    subject = f"{domain}-{split}-{person}"
                    row = (domain, split, subject, int(number < live), ("live", "print")[number >= live])
                    for frame in range(FRAMES):
                        for values, value in zip(columns.values(), (*row, f"{subject}-{number}", frame), strict=True):
                            values.append(value)
    text = [""] * len(columns["domain"])
    return FaceIndex.of({**columns, **{name: text for name in ("instrument", "camera", "session")}})


def spec(**training: Any) -> SweepSpec:
    """Return the shipped sweep of all methods in full size."""
    given = with_profile(load_sweep(str(ROOT / "sweeps" / "all_methods.yaml")), "full")
    return given.model_copy(update={"training": {**given.training, **training}})


def counted(name: str, images: int) -> Step:
    """Count one step of a method: at 32 and 64 px with one image a group, from which 256 px and the batch follow.

    Arithmetic is a constant and a part that grows with the area; both grow with the number of images.
    """
    method = _method(name)
    sampling = method.sampling
    small, large = (_one_step(name, size) for size in (32, 64))
    by_area = (large[0] - small[0]) / (64**2 - 32**2)
    flops = small[0] + by_area * (256**2 - 32**2)
    share = sampling.images if sampling.kind == "balanced" else sampling.images / 6
    augment = method.augment
    return Step(
        images, method.needs.views, flops * share / 1e12, large[1], model_size(name).macs / 1e9, _scoring(name),
        augment.crop == "pixels" and not augment.rotation,
    )  # fmt: skip


def _method(name: str) -> Method:
    return registry.get(name)(registry.config(name))


def _one_step(name: str, size: int) -> tuple[int, int]:
    """Return the floating-point operations and the number of torch's operations of one step on six images a draw."""
    method = _method(name)
    method.build(Build(num_domains=3, image_size=size, total_steps=4000))
    context = Context("", seed=0, total_steps=4000)
    context.step = 2000
    needs = method.needs
    label, domain = torch.tensor([0, 1] * 3), torch.tensor([0, 0, 1, 1, 2, 2])
    draw = Draw(
        tuple(torch.rand(6, 3, size, size) for _ in range(needs.views)), label, domain,
        torch.rand(6, 1, size // 8, size // 8) if needs.depth else None,
        torch.randint(0, 11, (6, 64, 64)) if needs.parsing else None,
    )  # fmt: skip
    method.step([draw] * method.sampling.draws, context)  # optimizers make their state in the first
    with FlopCounterMode(display=False) as flops, _Operations() as operations:
        method.step([draw] * method.sampling.draws, context)
    return flops.get_total_flops(), operations.count


def _scoring(name: str) -> int:
    method = _method(name)
    method.build(Build(num_domains=3, image_size=32, total_steps=4000))
    method.networks.eval()
    with torch.inference_mode(), _Operations() as operations:
        method.score(torch.rand(1, 3, 32, 32))
    return operations.count


@dataclass(frozen=True)
class Way:
    """How a card is used."""

    title: str
    training: float
    """TFLOP/s of training."""
    scoring: float
    """TFLOP/s of scoring, always in float32."""
    serial: bool
    """Whether the host makes each batch while the card waits."""
    at_once: int
    eval_frames: int | str = "all"
    sealed: bool = True
    """Whether search trials leave out the target."""

    def step_seconds(self, step: Step) -> tuple[float, float]:
        """Return the seconds of the card for one optimizer step, and those of them in which it waits."""
        host = step.images * (PICK + STAGE + step.views * WINDOW * step.windows)
        return self._seconds(step.tflop / self.training, step.operations, host)

    def score_seconds(self, step: Step, images: int) -> tuple[float, float]:
        """Return the same for scoring so many images in batches of 128."""
        host = images * (PICK + STAGE + WINDOW * step.windows)
        device = images * 2 * step.score_gmacs / 1000 / self.scoring
        return self._seconds(device, step.score_operations * -(-images // 128), host)

    def _seconds(self, device: float, operations: int, host: float) -> tuple[float, float]:
        if self.serial:
            whole = host + max(device, operations * OPERATION)
        else:
            whole = max(device, operations * OPERATION / self.at_once)
        return whole, whole - device


WAYS = (
    Way("before", TF32, TF32, serial=True, at_once=1, sealed=False),
    Way("after, as shipped", TF32, TF32, serial=False, at_once=AT_ONCE),
    Way("after, bf16", MIXED, TF32, serial=False, at_once=AT_ONCE),
    Way("after, bf16, 2 frames scored", MIXED, TF32, serial=False, at_once=AT_ONCE, eval_frames=2),
)


KINDS = (
    *(
        f"{stage}: {kind}"
        for stage in ("search", "confirm")
        for kind in ("training", "scoring source-dev", "scoring the target")
    ),
    "in all of this the card waits",
)


def work(plan: Plan) -> dict[str, tuple[float, float]]:
    """Return the optimizer steps of search and of confirming runs by cell; ASHA's cuts are simulated."""
    found = {}
    for cell in plan.cells:
        confirm = plan.confirms_in(cell) * cell.training.steps
        total = forecast(replace(plan, cells=(cell,)), slots=4).steps
        found[cell.name] = (total - confirm, float(confirm))
    return found


def rows_of_pictures(plan: Plan, few: Plan) -> Iterator[list[str]]:
    """Yield a row a protocol."""
    for cell, sparse in zip(plan.cells, few.cells, strict=True):
        if cell.method == plan.cells[0].method:
            counts = (cell.train_images, cell.source_dev_scored, cell.target_scored)
            yield [cell.protocol.name, *map(_count, (*counts, sparse.source_dev_scored + sparse.target_scored))]


def hours(plan: Plan, way: Way, steps: Mapping[str, Step], done: Mapping[str, tuple[float, float]]) -> dict[str, Any]:
    """Return the hours of each method, and of each kind of work over all methods."""
    methods = dict.fromkeys(plan.spec.methods, 0.0)
    kinds = dict.fromkeys(KINDS, 0.0)
    for cell in plan.cells:
        step = steps[cell.method]
        for stage, count in zip(("search", "confirm"), done[cell.name], strict=True):
            target_scored = 0 if way.sealed and stage == "search" else cell.target_scored
            scored = cell.source_dev_scored + target_scored
            training, idle = (count * seconds / 3600 for seconds in way.step_seconds(step))
            scoring, more = (count / _between(cell) * seconds / 3600 for seconds in way.score_seconds(step, scored))
            methods[cell.method] += training + scoring
            target = scoring * target_scored / scored
            kinds[f"{stage}: training"] += training
            kinds[f"{stage}: scoring source-dev"] += scoring - target
            kinds[f"{stage}: scoring the target"] += target
            kinds["in all of this the card waits"] += idle + more
    return {"methods": methods, "kinds": kinds, "all": sum(methods.values())}


def _between(cell: Cell) -> float:
    """Return the optimizer steps from one evaluation to the next."""
    return cell.training.steps / len(cell.training.evaluation_steps())


def tables() -> list[str]:
    """Return the tables of the page, in its order."""
    faces = index()
    plans = {frames: make_plan(spec(eval_frames=frames), "sizes", faces) for frames in ("all", 2)}
    plan = plans["all"]
    steps = {cell.method: counted(cell.method, images_per_step(cell)) for cell in plan.cells[:: len(SETS)]}
    done = work(plan)
    found = [hours(plans[way.eval_frames], way, steps, done) for way in WAYS]
    titles = [way.title for way in WAYS]
    return [
        table(
            ["protocol", "training images", "source-dev, scored", "target, scored", "scored with `eval_frames: 2`"],
            rows_of_pictures(plan, plans[2]),
        ),
        table(
            ["method", "images a step", "views", "TFLOP a step", "torch operations a step", "GMACs to score an image"],
            ([name, *one.texts()] for name, one in steps.items()),
        ),
        table(["", "trials", "optimizer steps", "evaluations"], rows_of_work(plan, done)),
        table(
            ["milliseconds a step", *titles],
            ([name, *(f"{1000 * way.step_seconds(one)[0]:.1f}" for way in WAYS)] for name, one in steps.items()),
        ),
        table(
            ["hours of one H100", *titles],
            [
                *([name, *(f"{one['methods'][name]:.1f}" for one in found)] for name in steps),
                ["**all**", *(f"**{one['all']:.0f}**" for one in found)],
            ],
        ),
        table(
            ["share of the time", *titles],
            ([kind, *(f"{100 * one['kinds'][kind] / one['all']:.0f} %" for one in found)] for kind in KINDS),
        ),
    ]  # fmt: skip


def rows_of_work(plan: Plan, done: Mapping[str, tuple[float, float]]) -> Iterator[list[str]]:
    """Yield what is searched and what is confirmed."""
    counts = (plan.search_trials, plan.confirm_trials)
    for stage, trials, parts in zip(("search", "confirm"), counts, zip(*done.values(), strict=True), strict=True):
        yield [stage, _count(trials), _count(sum(parts)), _count(sum(parts) / _between(plan.cells[0]))]


def _count(number: float) -> str:
    return f"{number:,.0f}"


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    """Return a table in Markdown, all but its first column to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def renewed(page: str) -> str:
    """Return the page with its tables, and the speeds that they rest on, made again."""
    fresh = iter(tables())
    page = re.sub(r"^\|[^\n]*(?:\n\|[^\n]*)*", lambda _: next(fresh), page, flags=re.MULTILINE)
    speeds = f"**{TF32:.0f} TFLOP/s** in TF32, **{MIXED:.0f}** in mixed precision and **{FP32:.0f}** in float32"
    return re.sub(
        r"\*\*\d+ TFLOP/s\*\* in TF32, \*\*\d+\*\* in mixed precision and \*\*\d+\*\* in float32", speeds, page
    )


if __name__ == "__main__":
    page = Path(__file__).with_name("gpu-hours.md")
    page.write_text(renewed(page.read_text(encoding="utf-8")), encoding="utf-8")
