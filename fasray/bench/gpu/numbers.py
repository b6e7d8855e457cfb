"""Whether the device computes what the CPU computes, and goes on after an interruption with the same bits."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fasray.bench.gpu.record import Row
from fasray.bench.gpu.workplace import DeviceCheck, scored_roles
from fasray.bench.loops import TrialLoop
from fasray.faces.loading.augment import is_exact
from fasray.faces.loading.pool import FacePool
from fasray.methods.base import Draw
from fasray.runs.layout import CHECKPOINT_FOLDER
from fasray.training.context import Context
from fasray.training.loop import evaluations
from fasray.training.trial import Trial

_MARGIN = 8
"""Pixels by which stored crops are larger than images, so that windows have somewhere to go."""
ALLOWED: Mapping[str, float] = {"loss": 1e-3, "gradient": 0.01, "score": 2e-3}
"""Largest distance from the CPU's float32, in float32."""
ALLOWED_HALF: Mapping[str, float] = {"loss": 5e-3, "gradient": 0.1, "score": 0.02}
"""The same in bfloat16, on top of twice what the CPU's own bfloat16 is away."""
RESAMPLED = 1e-3
"""Largest difference of a pixel in [0, 1] that was resampled; a pixel that was copied must be equal."""


@dataclass(frozen=True)
class _Step:
    """What one step from given weights on given images left."""

    loss: float
    gradient: Tensor
    """All gradients in one row, on the CPU."""
    scores: Tensor
    """Of the step's images, after it."""


def _listed(allowed: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {most:g}" for name, most in allowed.items())


class Correctness(DeviceCheck):
    """One step of each method from equal weights on equal images, on the device and on the CPU."""

    name = "correctness"
    title = "The same numbers as on the CPU"
    about = (
        "One optimizer step of each method from equal weights on equal images, in float32 and with bf16 autocast, on "
        "this device and on the CPU. Distances are from the CPU's float32: of the loss, relative; of all gradients, "
        "relative to their length; of the scores after the step, the largest. Images of noise make gradients that "
        "rounding disturbs far more than those of faces. "
        f"Allowed in float32: {_listed(ALLOWED)}; in bf16 {_listed(ALLOWED_HALF)} more than twice the distance of the "
        f"CPU's own bf16. Copied pixels must be equal, resampled ones within {RESAMPLED:g}."
    )
    columns = {
        "method": "name",
        "pixels": "largest difference of the images of the step, made on the device and on the CPU",
        "published pixels": "the same with the paper's augmentation; resampled: but for one pixel in 10,000, at edges",
        "loss": "distance of the loss, float32",
        "gradient": "distance of the gradients, float32",
        "score": "distance of the scores, float32",
        "bf16 loss": "the same with bf16 on the device",
        "bf16 gradient": "the same with bf16 on the device",
        "bf16 score": "the same with bf16 on the device",
        "CPU bf16 loss": "the same with bf16 on the CPU, which is no error of the device",
        "CPU bf16 gradient": "the same with bf16 on the CPU",
        "CPU bf16 score": "the same with bf16 on the CPU",
    }
    share = 2.0
    judges = True

    def measure(self, item: str) -> Row:
        """Return the distances of one method."""
        place, cpu = self._place, torch.device("cpu")
        exact, half = (place.trial(item, place.sizes.numbers, precision=name) for name in ("fp32", "bf16"))
        pool = place.pool(exact, _MARGIN)
        reference = TrialLoop(exact, pool, cpu)
        weights = {name: tensor.clone() for name, tensor in reference.method.networks.state_dict().items()}
        draws = reference.draws(0)
        truth = _step(reference, draws)
        half_truth = _step(_loop(half, pool, cpu, weights), draws)
        ours = _loop(exact, pool, place.device, weights)
        published = place.trial(item, {**place.sizes.numbers, "profile": "full", "width": 0.125})
        paper = [TrialLoop(published, pool, device) for device in (place.device, cpu)]
        seen = {"pixels": (_drawn(ours), draws), "published pixels": (_drawn(paper[0]), _drawn(paper[1]))}
        resampled = {"pixels": _resamples(ours), "published pixels": _resamples(paper[0])}
        moved = [_moved(draw, place.device) for draw in draws]
        found = {
            "": _step(ours, moved),
            "bf16 ": _step(_loop(half, pool, place.device, weights), moved),
            "CPU bf16 ": half_truth,
        }
        return {
            "method": item,
            **{name: _pixels(ones, others, resampled[name]) for name, (ones, others) in seen.items()},
            "resampled": [name for name, done in resampled.items() if done],
            **{f"{kind}{name}": value for kind, step in found.items() for name, value in _distances(step, truth)},
        }

    def wrong(self, rows: Sequence[Row]) -> list[str]:
        """Return each figure that is larger than allowed, NaN included."""
        found = []
        for row in rows:
            half = {f"bf16 {name}": 2 * row[f"CPU bf16 {name}"] + most for name, most in ALLOWED_HALF.items()}
            pixels = {name: RESAMPLED if name in row["resampled"] else 0.0 for name in ("pixels", "published pixels")}
            limits = {**pixels, **ALLOWED, **half}
            found += [
                f"{row['method']}: {name} differs from the CPU's by {row[name]:.3g}, and {limit:.3g} is allowed"
                for name, limit in limits.items()
                if not row[name] <= limit
            ]
        return found


def _resamples(loop: TrialLoop) -> bool:
    recipes = loop.trial.training.augments_of(loop.method)
    return any(recipe.recolours or not is_exact(recipe) for recipe in recipes)


def _drawn(loop: TrialLoop) -> list[Draw]:
    with loop.settings():
        return loop.draws(0)


def _pixels(ones: list[Draw], others: list[Draw], resampled: bool) -> float:
    """Return the largest difference of a pixel; where images are turned, one in 10,000 may fall off another edge."""
    differences = torch.cat(
        [
            (one.cpu() - other.cpu()).abs().flatten()
            for mine, theirs in zip(ones, others, strict=True)
            for one, other in zip(mine.views, theirs.views, strict=True)
        ]
    )
    spared = len(differences) // 10_000 if resampled else 0
    return float(differences.kthvalue(len(differences) - spared).values)


def _loop(trial: Trial, pool: FacePool, device: torch.device, weights: dict[str, Tensor]) -> TrialLoop:
    """Return a loop whose networks have the given weights: a device's generator draws others than the CPU's."""
    loop = TrialLoop(trial, pool, device)
    loop.method.networks.load_state_dict(weights)
    return loop


@contextmanager
def _full_float32() -> Iterator[None]:
    """Compute products of float32 as such on a GPU, without TF32."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    cudnn.allow_tf32 = matmul.allow_tf32 = False
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32 = before


def _step(loop: TrialLoop, draws: list[Draw]) -> _Step:
    with loop.settings(), _full_float32():
        with loop.arithmetic():
            logs = loop.method.step(draws, loop.context)
        gradients = [one.grad.flatten() for one in loop.method.networks.parameters() if one.grad is not None]
        loop.method.networks.eval()
        with torch.inference_mode():
            scores = loop.method.score(draws[0].views[0])
        loop.method.networks.train()
        return _Step(float(logs["loss"]), torch.cat(gradients).double().cpu(), scores.double().cpu())


def _moved(draw: Draw, device: torch.device) -> Draw:
    return Draw(
        tuple(view.to(device) for view in draw.views),
        draw.label.to(device),
        draw.domain.to(device),
        None if draw.depth is None else draw.depth.to(device),
        None if draw.parsing is None else draw.parsing.to(device),
    )


def _distances(one: _Step, truth: _Step) -> list[tuple[str, float]]:
    return [
        ("loss", abs(one.loss - truth.loss) / max(abs(truth.loss), 1e-12)),
        ("gradient", float((one.gradient - truth.gradient).norm() / truth.gradient.norm())),
        ("score", float((one.scores - truth.scores).abs().max())),
    ]


class Resume(DeviceCheck):
    """A trial that is stopped after its first evaluation and goes on, against one that was never stopped."""

    name = "resume"
    title = "The same bits after an interruption"
    about = (
        "A short trial of each method through fasray's own training loop: once without a break, once stopped after its "
        "first evaluation and taken up from its checkpoint. Score files and final weights must be the same bytes. What "
        "torch cannot compute deterministically on a device shows here."
    )
    columns = {
        "method": "name",
        "equal": "whether all files are the same bytes",
        "different": "the files that differ",
    }
    share = 1.5
    judges = True

    def measure(self, item: str) -> Row:
        """Return which files of one method differ."""
        place = self._place
        trial = place.trial(item, {**place.sizes.numbers, "steps": 6, "evaluations": 3})
        pool = place.pool(trial, _MARGIN)
        with tempfile.TemporaryDirectory(dir=place.folder) as name:
            whole, broken = Path(name) / "whole", Path(name) / "broken"
            _train(trial, pool, whole, place.device)
            _train(trial, pool, broken, place.device, evaluations_wanted=1)
            _train(trial, pool, broken, place.device)
            one, other = _digests(whole), _digests(broken)
        different = sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))
        return {"method": item, "equal": not different, "different": ", ".join(different)}

    def wrong(self, rows: Sequence[Row]) -> list[str]:
        """Return the methods that go on with other bits."""
        return [
            f"{row['method']}: a resumed trial differs in {row['different']}; its results depend on interruptions"
            for row in rows
            if not row["equal"]
        ]


def _train(
    trial: Trial, pool: FacePool, folder: Path, device: torch.device, evaluations_wanted: int | None = None
) -> None:
    context = Context(str(folder), seed=trial.seed, total_steps=trial.training.steps, device=device)
    running = evaluations(trial, pool, scored_roles(pool), context)
    try:
        for number, _ in enumerate(running, start=1):
            if number == evaluations_wanted:
                break
    finally:
        running.close()


def _digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each score file and of the newest weights."""
    weights = sorted((folder / CHECKPOINT_FOLDER).glob("*.safetensors"))[-1:]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in [*folder.glob("*.parquet"), *weights]}
