"""All training images between two steps: in order, at the same steps after a resume, alike for several workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, get_args

import numpy as np
import pytest
import torch
from made_trials import TINY, context_of, digests, made_roles, made_trial, run
from plain_batches import OneOf, plain_scored
from torch import Tensor

from fasray.errors import SpecError
from fasray.faces.loading.pool import FacePool
from fasray.methods import registry
from fasray.methods.base import Build, Draw, StepContext, TrainingImages
from fasray.methods.erm import ERM
from fasray.testing.draws import built, context
from fasray.testing.processes import WORKERS, Address, SubprocessTask, in_processes, run_worker, steps_of
from fasray.training.batches import Batches, Way
from fasray.training.context import Context
from fasray.training.refresh import AllImages, training_images


class Centred(ERM):
    """Moves its head by the centres of the classes' features, which it looks up before every fourth step."""

    name: ClassVar[str] = "centred"
    refresh_every: ClassVar[int] = 4
    refreshed: ClassVar[list[int]] = []

    def build(self, build: Build) -> None:
        super().build(build)
        self.networks["backbone"].register_buffer("centres", torch.zeros(2, 64, device=build.device))

    def refresh(self, images: TrainingImages, ctx: StepContext) -> None:
        features = images.collect(self.networks["backbone"])
        centres = torch.stack([features[images.label == label].mean(0) for label in (0, 1)])
        self.networks["backbone"].get_buffer("centres").copy_(centres + torch.rand(64))
        self.refreshed.append(ctx.step)

    def step(self, draws: Sequence[Draw], ctx: StepContext) -> dict[str, Tensor]:
        logs = super().step(draws, ctx)
        with torch.no_grad():
            self.networks["head"].get_parameter("bias").add_(self.networks["backbone"].get_buffer("centres").mean())
        return logs


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    Centred.refreshed.clear()
    with registry.registered(Centred):
        yield


@pytest.mark.parametrize("way", get_args(Way))
def test_all_training_images_come_in_order_as_they_would_be_scored(pool: FacePool, way: Way) -> None:
    trial = made_trial("centred", training=TINY.model_copy(update={"augment": {"crop": "resize", "eval_scale": 0.8}}))
    roles, method = made_roles(pool.index), trial.build_method()
    with closing(Batches(trial, pool, roles, method, context_of(trial, Path()), way)) as batches:
        batches.open(0, (2,))
        images = training_images(trial, batches, roles, context_of(trial, Path()))
        shown = images.collect(lambda batch: batch)
        batches.step(0)
    assert len(images) == len(roles.train)
    assert torch.equal(shown, plain_scored(trial, pool, method, roles.train))
    assert images.label.tolist() == pool.index.label[roles.train].tolist()
    assert images.domain.tolist() == roles.domain_id[roles.train].tolist()


def test_it_is_called_at_the_same_steps_and_with_the_same_bits_after_a_resume(pool: FacePool, tmp_path: Path) -> None:
    run(made_trial("centred"), pool, tmp_path / "whole")
    assert Centred.refreshed == [0, 4]
    Centred.refreshed.clear()
    run(made_trial("centred"), pool, tmp_path / "parts", stop_after=1)
    assert Centred.refreshed == [0]
    run(made_trial("centred"), pool, tmp_path / "parts", reported_step=2)
    assert Centred.refreshed == [0, 4]
    assert digests(tmp_path / "parts") == digests(tmp_path / "whole")


@pytest.mark.parametrize("workers", [2, 4])
def test_shares_of_several_workers_are_the_whole(workers: int) -> None:
    """17 images in batches of 7: of four workers one has nothing, and still adds its part."""
    values = torch.arange(17.0)[:, None].expand(17, 3)
    labels = torch.zeros(17, dtype=torch.int64)

    def images(ctx: Context) -> AllImages:
        return AllImages(labels, labels, lambda place: values[place], 7, ctx)

    whole = images(context()).collect(torch.exp)
    shares = [images(OneOf(rank, workers)).collect(torch.exp) for rank in range(workers)]
    assert torch.equal(torch.stack(shares).sum(0), whole)
    assert torch.equal(whole, values.exp())


@pytest.mark.slow
def test_two_workers_find_what_one_finds(tmp_path: Path) -> None:
    codes = in_processes(run_worker, SubprocessTask(Address.of(Centred), {}, tmp_path), WORKERS)
    assert codes == [0] * WORKERS
    one = steps_of(built(Centred), context())["backbone.centres"]
    for rank in range(WORKERS):
        other = torch.load(tmp_path / f"worker-{rank}.pt", weights_only=True)["backbone.centres"]
        torch.testing.assert_close(other, one, rtol=0, atol=1e-9)
    assert one.abs().sum() > 0


def test_a_method_that_asks_for_the_images_and_does_nothing_with_them_is_refused(
    pool: FacePool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Centred, "refresh")
    with pytest.raises(SpecError, match="centred has refresh_every: 4, but no refresh"):
        run(made_trial("centred"), pool, tmp_path)


def test_faces_of_a_stream_are_refused(pool: FacePool, tmp_path: Path) -> None:
    streamed = made_trial("centred", training=TINY.model_copy(update={"ingest": "stream"}))
    with pytest.raises(SpecError, match="centred looks at all training images every 4 steps"):
        run(streamed, replace(pool, row_group=np.zeros(len(pool), np.int64)), tmp_path)
