"""Batches are the same bits wherever the faces come from, and those of the plain way, picture by picture."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_trials import TINY, Diverging, context_of, digests, made_roles, made_trial, run
from plain_batches import OneOf, plain_scored, plain_step

from fasray.errors import DataError, DivergedError, SpecError
from fasray.faces.loading.pool import FacePool
from fasray.faces.record import ATTACK_TYPES
from fasray.methods import registry
from fasray.methods.base import Augment, Draw, Needs
from fasray.methods.erm import ERM
from fasray.training.batches import Batches, Way, scoring_batch
from fasray.training.context import Context
from fasray.training.trial import TrainingSpec, Trial

WAYS: tuple[Way, ...] = get_args(Way)
AUGMENTS = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {
            "crop": st.sampled_from(["pixels", "resize", "scale"]),
            "flip": st.sampled_from([0.0, 0.5, 1.0]),
            "rotation": st.sampled_from([0.0, 25.0, 180.0]),
            "scale": st.sampled_from([[1.0, 1.0], [0.2, 1.0]]),
            "eval_scale": st.sampled_from([1.0, 0.81]),
        },
        optional={
            "interpolation": st.sampled_from(["bilinear", "bicubic"]),
            "ratio": st.just([0.75, 1.5]),
            "contrast": st.just([0.5, 1.5]),
            "saturation": st.just([0.8, 1.2]),
            "jitter": st.sampled_from([[0.4, 0.4, 0.4, 0.1], [0.4, 0.4, 0.4, 0.0]]),
            "grey": st.just(0.5),
            "blur": st.just([0.0, 0.02]),
            "cutout": st.just(0.5),
            "cutout_fill": st.sampled_from(["zero", "mean"]),
        },
    ),
)


def batches_of(trial: Trial, pool: FacePool, way: Way | None, context: Context | None = None) -> Batches:
    method = trial.build_method()
    return Batches(trial, pool, made_roles(pool.index), method, context or context_of(trial, Path()), way)


def assert_same(found: list[Draw], expected: list[Draw]) -> None:
    for one, other in zip(found, expected, strict=True):
        pairs = [*zip(one.views, other.views, strict=True), (one.label, other.label), (one.domain, other.domain)]
        assert all(torch.equal(*pair) for pair in pairs)
        for name in ("depth", "parsing"):
            given, wanted = getattr(one, name), getattr(other, name)
            assert (given is None) == (wanted is None)
            assert given is None or torch.equal(given, wanted)


@settings(max_examples=60)
@given(
    chosen_method=st.sampled_from(
        [*((name, {}) for name in registry.names()), ("hfn_mp", {"inner_loops": 1}), ("sdfanet", {"region": "learned"})]
    ),
    size=st.sampled_from([32, 40]),
    chosen=AUGMENTS,
    first=st.integers(0, 4),
    rank=st.integers(0, 1),
    way=st.sampled_from(WAYS),
    channels_last=st.booleans(),
)
def test_every_way_gives_the_bits_of_the_plain_one_from_any_step_on(
    pool: FacePool, chosen_method: tuple[str, dict[str, Any]], size: int, chosen: dict[str, Any] | None, first: int,
    rank: int, way: Way, channels_last: bool,
) -> None:  # fmt: skip
    training = {"image_size": size, "augment": chosen, "channels_last": channels_last}
    name, config = chosen_method
    trial = made_trial(name, training=TINY.model_copy(update=training), **config)
    method, roles = trial.build_method(), made_roles(pool.index)
    batches = batches_of(trial, pool, way, OneOf(rank, 2))
    assert batches.way == way
    rows = np.concatenate(batches.scored)
    with closing(batches):
        batches.open(first, (first + 1, first + 2))
        for step in (first, first + 1):
            assert_same(batches.step(step), plain_step(trial, pool, roles, method, step, rank, 2))
            seen = {place.start: images for place, images in batches.images_to_score()}
            assert list(seen) == list(range(7 * rank, len(rows), 14))
            for start, images in seen.items():
                assert torch.equal(images, plain_scored(trial, pool, method, rows[start : start + 7]))


class TwoRecipes(ERM):
    """A plain window, and a part of the crop in other colours, of each image."""

    name = "two_recipes"
    augments: ClassVar[tuple[Augment, ...]] = (Augment(), Augment(crop="scale", scale=(0.2, 1.0), jitter=(0.4,) * 4))

    @property
    def needs(self) -> Needs:
        return Needs(views=2, depth=True)

    @property
    def augment(self) -> tuple[Augment, ...]:  # type: ignore[override]  # ERM's is one for all views
        return self.augments


@pytest.mark.parametrize("way", WAYS)
def test_each_view_has_its_recipe_and_labels_follow_the_first(pool: FacePool, way: Way) -> None:
    with registry.registered(TwoRecipes):
        trial = made_trial("two_recipes")
        with closing(batches_of(trial, pool, way)) as batches:
            found = batches.step(1)
            wanted = plain_step(trial, pool, made_roles(pool.index), trial.build_method(), 1)
            assert_same(found, wanted)
        plain = made_trial("two_recipes", training=TINY.model_copy(update={"augment": {"jitter": [0.0] * 4}}))
        with closing(batches_of(plain, pool, way)) as batches:
            (uncoloured,) = batches.step(1)
    assert torch.equal(uncoloured.views[0], found[0].views[0])
    assert not torch.equal(uncoloured.views[1], found[0].views[1])


class Knowing(ERM):
    """Is told the kind of attack and the person."""

    name = "knowing"

    @property
    def needs(self) -> Needs:
        return Needs(attack_type=True, subject=True)


@pytest.mark.parametrize("way", ["resident", "direct"])
def test_a_draw_tells_kind_of_attack_and_person(pool: FacePool, way: Way) -> None:
    roles, index = made_roles(pool.index), pool.index
    people = sorted(set(index.subject[roles.train]))
    with registry.registered(Knowing):
        trial = made_trial("knowing")
        shares = [batches_of(trial, pool, way, OneOf(rank, 2)) for rank in (0, 1)]
    for batches, rank in zip(shares, (0, 1), strict=True):
        (draw,) = batches.step(1)
        rows = batches.sampler.rows(1)[batches.sampler.positions(rank, 2)]
        assert draw.attack_type is not None
        assert draw.subject is not None
        assert [ATTACK_TYPES[number] for number in draw.attack_type] == index.attack_type[rows].tolist()
        assert [people[number] for number in draw.subject] == index.subject[rows].tolist()
    (plain,) = batches_of(made_trial(), pool, way).step(1)
    assert plain.attack_type is None
    assert plain.subject is None


def test_as_many_recipes_as_views_are_asked_for(pool: FacePool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TwoRecipes, "augments", TwoRecipes.augments[:1])
    with registry.registered(TwoRecipes), pytest.raises(SpecError, match="1 augmentations for 2 views"):
        batches_of(made_trial("two_recipes"), pool, None)


def test_a_trial_leaves_no_thread_behind_however_it_ends(pool: FacePool, tmp_path: Path) -> None:
    """Closed between two evaluations, ended by an error of the thread, and run to its end."""
    trial, roles = made_trial(), made_roles(pool.index)
    batches = batches_of(trial, pool, "prefetch")
    batches.open(0, (2, 4))
    batches.step(0)
    batches.close()
    assert not prefetching()

    remaining = [0, 1, 2]

    class Failing(FacePool):
        def pick(self, rows: Any, **options: Any) -> Any:
            if remaining.pop() == 0:
                raise DataError("the disk is gone")
            return super().pick(rows, **options)

    failing = Failing(**vars(pool))
    with closing(Batches(trial, failing, roles, trial.build_method(), context_of(trial, Path()), "prefetch")) as broken:
        broken.open(0, (4,))
        broken.step(0)
        broken.step(1)
        with pytest.raises(DataError, match="the disk is gone"):
            broken.step(2)
    assert not prefetching()


def test_within_a_run_steps_come_in_their_order_only(pool: FacePool) -> None:
    with closing(batches_of(made_trial(), pool, "prefetch")) as batches:
        batches.open(2, (4,))
        with pytest.raises(RuntimeError, match=r"\('train', 2\) is next"):
            batches.step(3)


def prefetching() -> bool:
    return any(thread.name == "fasray-prefetch" for thread in threading.enumerate())


def test_ways_are_chosen_by_where_the_faces_and_the_networks_are(pool: FacePool) -> None:
    assert batches_of(made_trial(), pool, None).way == "direct"
    streamed = made_trial(training=TINY.model_copy(update={"ingest": "stream"}))
    in_order = replace(pool, row_group=np.zeros(len(pool), np.int64))
    assert batches_of(streamed, in_order, None).way == "prefetch"


@pytest.mark.parametrize(
    ("size", "device", "expected"), [(96, "cuda", 7 * 128), (256, "cuda", 128), (512, "cuda", 128), (96, "cpu", 128)]
)
def test_a_gpu_scores_more_small_images_at_once(size: int, device: str, expected: int) -> None:
    assert scoring_batch(TrainingSpec(image_size=size), torch.device(device)) == expected


def test_the_loop_ends_its_thread_and_resumes_to_the_same_bits(pool: FacePool, tmp_path: Path) -> None:
    """Stopped after an evaluation, gone on with, run through, and ended by an error."""
    training = TINY.model_copy(update={"ingest": "stream"})
    in_order = replace(pool, row_group=np.arange(len(pool)) // 8)
    run(made_trial(training=training), in_order, tmp_path / "whole")
    assert not prefetching()
    run(made_trial(training=training), in_order, tmp_path / "parts", stop_after=1)
    assert not prefetching()
    run(made_trial(training=training), in_order, tmp_path / "parts", reported_step=2)
    assert digests(tmp_path / "parts") == digests(tmp_path / "whole")
    with registry.registered(Diverging), pytest.raises(DivergedError):
        run(made_trial("diverging", training=training), in_order, tmp_path / "diverged")
    assert not prefetching()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("crop", ["pixels", "resize"])
@pytest.mark.parametrize("name", ["oneside_triplet", "safas"])
def test_on_a_gpu_windows_have_the_bits_of_a_cpu_and_resampled_images_those_up_to_rounding(
    pool: FacePool, name: str, crop: str
) -> None:
    augment = {"crop": crop, "rotation": 0.0 if crop == "pixels" else 20.0}
    trial = made_trial(name, training=TINY.model_copy(update={"augment": augment}))
    wanted = plain_step(trial, pool, made_roles(pool.index), trial.build_method(), 1)
    for way in WAYS:
        context = Context("", seed=1, total_steps=6, device="cuda")
        with closing(batches_of(trial, pool, way, context)) as batches:
            batches.open(1, (2,))
            (found,) = batches.step(1)
        room = 0.0 if crop == "pixels" else 1e-5
        for view, expected in zip(found.views, wanted[0].views, strict=True):
            torch.testing.assert_close(view.cpu(), expected, rtol=0, atol=room)
