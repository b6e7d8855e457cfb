"""What every method must keep, as a class of checks that a method's author subclasses.

pytest collects the checks of ``class TestMine(MethodContract): method = Mine``; they are plain methods with plain
assertions and need nothing of it.
"""

from __future__ import annotations

import atexit
import json
import re
import shutil
import signal
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import TypeAdapter
from torch import Tensor

from fasray.errors import ProtocolError
from fasray.faces.loading.pool import FacePool
from fasray.methods import registry
from fasray.methods.base import Augment, Method, MethodConfig
from fasray.runs.reading import Reading
from fasray.sweep.plan import Plan, make_plan
from fasray.sweep.spec import SweepSpec
from fasray.testing.draws import built, context, double, draws_of, refresh_toy, run, toy_draw, weights, with_images
from fasray.testing.faces import KILLED_AT, digests, made_faces, toy_protocol, toy_trial, train_toy
from fasray.testing.host_syncs import Traffic, host_syncs
from fasray.testing.layouts import plain_convolutions
from fasray.testing.processes import (
    WORKERS,
    Address,
    SubprocessTask,
    in_processes,
    run_worker,
    steps_of,
    train_trial_of,
)
from fasray.testing.traffic import MOST_UPLOADS, evaluation_traffic, step_traffic
from fasray.training import checkpoint
from fasray.training.loop import set_memory_format
from fasray.training.trial import TrainingSpec

MOST_DOMAINS = 4


class MethodContract:
    """The checks of one method. It need not be in the registry."""

    method: ClassVar[type[Method]]
    """The class under test, at the top of an importable module or of the test's file."""
    settings: ClassVar[Mapping[str, Any]] = {}
    """Configuration for all checks but those that say otherwise; whatever makes the method cheap."""
    learning: ClassVar[Mapping[str, Any]] = {}
    """Added to ``settings`` for the check that it learns in 40 steps of a small network."""
    steady: ClassVar[Mapping[str, Any]] = {}
    """Added to ``settings`` for the check of two workers, which compares many digits: a deep network with a large
    learning rate makes more of rounding than any tolerance should allow."""

    # How it describes itself

    def test_it_tells_name_title_paper_and_idea(self) -> None:
        """Name, title, paper and docstring are there, and the name can be used in a sweep file."""
        kind = self.method
        assert re.fullmatch(r"[a-z][a-z0-9_]*", kind.name), f"name {kind.name!r} is no lower-case identifier"
        assert kind.title, "no title"
        assert kind.paper, "no paper"
        assert kind.__doc__, "no docstring"

    def test_its_config_is_frozen_and_its_space_names_settings(self) -> None:
        """The configuration is a MethodConfig, and every range belongs to a field of it."""
        config = self.method.Config
        assert issubclass(config, MethodConfig), "Config is no MethodConfig"
        assert config.model_config.get("frozen"), "Config is not frozen"
        assert config.model_config.get("extra") == "forbid", "Config takes unknown keys"
        unknown = set(config.space()) - set(config.model_fields)
        assert not unknown, f"space() names no settings: {sorted(unknown)}"

    def test_grace_is_at_least_one_step_and_no_more_than_the_budget(self) -> None:
        """``min_grace`` is a number of steps within any budget."""
        config = self.method.Config.model_validate(dict(self.settings))
        for total in (1, 2, 7, 1000):
            assert 1 <= config.min_grace(total) <= total, f"min_grace({total}) is {config.min_grace(total)}"

    def test_it_has_one_augmentation_for_all_views_or_one_for_each(self) -> None:
        """``augment`` has as many recipes as there are views, whose settings are in range."""
        method = self.method(self.method.Config.model_validate(dict(self.settings)))
        recipes = TrainingSpec().augments_of(method)
        assert len(recipes) == method.needs.views, f"{len(recipes)} augmentations for {method.needs.views} views"
        for recipe in recipes:
            TypeAdapter(Augment).validate_python(asdict(recipe))

    # Scores

    def test_one_real_score_a_frame_whatever_the_batch(self) -> None:
        """A score depends on its own image only, and carries no gradient."""
        method = self._built()
        run(method, 3)
        images = toy_draw(method, 3).views[0]
        score = method.score(images)
        assert score.shape == (len(images),), f"scores of shape {tuple(score.shape)} for {len(images)} images"
        assert score.is_floating_point(), f"scores are {score.dtype}"
        assert not score.requires_grad, "scores carry a gradient"
        assert score.isfinite().all(), "a score is not finite"
        for number in (0, 5):
            alone = method.score(images[number : number + 1])[0]
            _assert_close(alone, score[number], 1e-4, 1e-5, "scores alone and in a batch")

    def test_scoring_changes_nothing(self) -> None:
        """Scoring twice gives the same, and leaves the networks as they are."""
        method = self._built()
        run(method, 2)
        before = weights(method)
        images = toy_draw(method, 3).views[0]
        assert torch.equal(method.score(images), method.score(images)), "the second scores differ"
        _assert_same(before, weights(method), "scoring")

    def test_live_faces_come_to_score_higher(self) -> None:
        """Score direction: after 40 steps on bright live faces, live faces score higher than attacks."""
        method = self._built(steps=40, **self.learning)
        run(method, 40, total_steps=40, per_group=4)
        draw = toy_draw(method, 3, per_group=4, seed=999)
        score = method.score(draw.views[0])
        live, spoof = score[draw.label == 1].mean(), score[draw.label == 0].mean()
        assert live > spoof, f"live faces score {live:.4f}, attacks {spoof:.4f}; higher must mean more live"

    # Steps

    def test_logs_are_detached_scalars(self) -> None:
        """``step`` returns scalars without gradients, the loss among them."""
        logs = run(self._built(), 1)
        assert "loss" in logs, "no log is called loss"
        for key, value in logs.items():
            assert value.shape == (), f"log {key} has shape {tuple(value.shape)}"
            assert not value.requires_grad, f"log {key} carries a gradient"

    def test_initial_weights_follow_the_global_generator(self) -> None:
        """One seed, one set of weights; another seed, others."""
        first = weights(self._built(seed=1))
        _assert_same(first, weights(self._built(seed=1)), "building again with the same seed")
        assert not _same(first, weights(self._built(seed=2))), "another seed gives the same weights"

    def test_a_step_neither_draws_from_nor_seeds_the_global_generators(self) -> None:
        """Randomness comes from ``ctx.rng``: global generators would tie the draws to the order of calls."""
        method = self._built()
        before = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]
        run(method, 2)
        assert torch.equal(before[0], torch.get_rng_state()), "a step moves torch's global generator"
        assert (before[1] == np.random.get_state()[1]).all(), "a step moves NumPy's global generator"  # type: ignore[index]

    def test_constant_images_give_finite_losses_and_scores(self) -> None:
        """Black, grey and white images, all alike, make no NaN."""
        for level in (0.0, 0.5, 1.0):
            method = self._built()
            for step in range(3):
                draws = [with_images(draw, partial(torch.full_like, fill_value=level)) for draw in draws_of(method)]
                _assert_finite(method.step(draws, context(step)), f"images of {level}, step {step}")
            score = method.score(torch.full_like(draws[0].views[0], level))
            assert score.isfinite().all(), f"scores of images of {level} are not finite"

    def test_channels_last_images_give_the_same_update(self) -> None:
        """The memory layout of the images changes no number."""
        plain, last = self._built(), self._built()
        for method in (plain, last):
            method.networks.double()  # a deep network makes more of float32's rounding than a tolerance should allow
        draws = [double(draw) for draw in draws_of(plain)]
        moved = [with_images(draw, lambda view: view.contiguous(memory_format=torch.channels_last)) for draw in draws]
        losses = [method.step(given, context())["loss"] for method, given in ((plain, draws), (last, moved))]
        _assert_close(losses[1], losses[0], 1e-6, 1e-8, "losses of channels-last images and of plain ones")

    def test_channels_last_images_stay_so(self) -> None:
        """No convolution has to lay out its images anew, when scoring; see :mod:`fasray.testing.layouts`."""
        method = self._built(size=64)  # maps of one pixel have no layout
        set_memory_format(method, TrainingSpec())
        images = toy_draw(method, 3, size=64).views[0].contiguous(memory_format=torch.channels_last)
        found = plain_convolutions(partial(method.score, images))
        assert not found, "images that are not channels last any more: " + "; ".join(found)

    def test_a_step_never_waits_for_the_device(self) -> None:
        """No value of a tensor comes to the host; see :mod:`fasray.testing.host_syncs`."""
        method = self._built()
        found: set[str] = set()
        for step in (0, 10, 19):  # schedules and gates open on the way
            found |= set(host_syncs(partial(method.step, draws_of(method, seed=step), context(step))))
        assert not found, "a step waits for the device: " + "; ".join(sorted(found))

    def test_a_trial_step_waits_for_nothing_and_uploads_at_most_4(self) -> None:
        """A step with its batches, of faces on the device and of uploaded ones, augmentation included."""
        with self._registered():
            trial = toy_trial(self.method, self.settings)
            for way in ("resident", "direct"):
                _assert_light(step_traffic(trial, _pool(), 3, way), "a step of a trial")

    def test_an_evaluation_waits_for_nothing_and_uploads_at_most_4(self) -> None:
        """Scoring faces on the device, up to the one reading of the scores at the end."""
        with self._registered():
            trial = toy_trial(self.method, self.settings)
            _assert_light(evaluation_traffic(trial, _pool(), "resident"), "an evaluation")

    def test_refresh_keeps_to_the_tensors_of_build(self) -> None:
        """A method that looks at all training images has what it finds in tensors of ``build``'s shapes, all finite."""
        if not self.method(self.method.Config.model_validate(dict(self.settings))).refresh_every:
            return
        method = self._built()
        before = {name: tensor.shape for name, tensor in weights(method).items()}
        refresh_toy(method, context(), dtype=torch.float32)
        after = {name: tensor.shape for name, tensor in weights(method).items()}
        assert before == after, "refresh adds tensors or changes shapes; a resumed trial could not read them"
        _assert_finite(weights(method), "after refresh")

    def test_a_checkpoint_brings_all_back_though_it_leaves_out_what_is_frozen(self) -> None:
        """Networks and optimizers, into a method that is built anew with the same initial weights."""
        method, other = self._built(), self._built()
        rebuilt = checkpoint.frozen_parameters(method)
        run(method, 1)
        reading = Reading(step=1, source_dev_auc=0.5, source_dev_loss=0.5)
        with self._registered(), tempfile.TemporaryDirectory(prefix="fasray-testing-") as folder:
            trial = toy_trial(self.method, self.settings)
            checkpoint.save(folder, method, trial, ("A", "B", "C"), [reading], rebuilt)
            checkpoint.restore(checkpoint.read(folder, 1, to_resume=True), other)
        _assert_same(weights(method), weights(other), "going on from a checkpoint")
        _assert_same(run(method, 1, first=1), run(other, 1, first=1), "a step after a checkpoint")

    # Trials through the real loop

    def test_any_number_of_domains_of_unequal_size_one_image_a_group(self) -> None:
        """Two, three and four domains, and one where the method allows it, train on one image of each group.

        The domains differ fourfold in size. With fewer than the method's minimum the sweep is refused when planned.
        """
        least = self._needed_domains
        assert 1 <= least <= MOST_DOMAINS, f"min_domains is {least}; the contract tests 1 to {MOST_DOMAINS}"
        for number in range(1, MOST_DOMAINS + 1):
            if number < least:
                self._assert_refused(number, least)
                continue
            with self._registered(), tempfile.TemporaryDirectory(prefix="fasray-testing-") as folder:
                assert len(self._plan(number).cells) == 1
                trial = toy_trial(self.method, self.settings, num_domains=number, steps=2, evaluations=1)
                (evaluation,) = train_toy(trial, _pool(), Path(folder))
            assert evaluation.reading.step == 2, f"{number} domains: ended at step {evaluation.reading.step} of 2"

    def test_half_precision_stays_finite_and_near(self) -> None:
        """A trial in bf16 autocast runs; weights and scores stay finite and float32, and so do its logs.

        The logs of a first step are within 15 % of those in float32, or 0.01. Gradients are not compared: on images as
        small as these, batch normalisation makes anything of a rounding.
        """
        with self._registered(), tempfile.TemporaryDirectory(prefix="fasray-testing-") as folder:
            trial = toy_trial(self.method, self.settings, steps=2, evaluations=1, precision="bf16")
            (evaluation,) = train_toy(trial, _pool(), Path(folder))
        assert 0 <= evaluation.reading.source_dev_auc <= 1, f"source-dev AUC is {evaluation.reading.source_dev_auc}"
        method = self._built()
        wanted = self._built().step(draws_of(method), context())
        for step in range(2):
            with torch.autocast("cpu", torch.bfloat16):
                logs = method.step(draws_of(method, seed=step), context(step))
            _assert_finite(logs, f"bf16, step {step}")
            if step == 0:
                for key, value in logs.items():
                    _assert_close(value, wanted[key], 0.15, 0.01, f"log {key} in bf16 and in float32")
        _assert_finite(weights(method), "weights after bf16")
        kinds = {tensor.dtype for tensor in method.networks.parameters()}
        assert kinds == {torch.float32}, f"bf16 left parameters of {kinds}"

    def test_the_same_seed_gives_the_same_bits_in_a_fresh_process(self) -> None:
        """A trial here and the same trial in a process that has done nothing else: every score and weight alike."""
        whole = self._whole_trial()
        with tempfile.TemporaryDirectory(prefix="fasray-testing-") as folder:
            codes = in_processes(train_trial_of, self._task(Path(folder)))
            assert codes == [0], f"the process ended with {codes}"
            assert digests(Path(folder)) == whole, "a fresh process trains to other bits"

    def test_a_killed_trial_resumes_to_the_same_bits(self) -> None:
        """A process killed between two checkpoints loses nothing: going on ends at the uninterrupted trial's bits."""
        whole = self._whole_trial()
        with tempfile.TemporaryDirectory(prefix="fasray-testing-") as name:
            folder = Path(name)
            codes = in_processes(train_trial_of, self._task(folder, doomed=True))
            assert codes == [-signal.SIGKILL], f"the trial to be killed at step {KILLED_AT} ended with {codes}"
            assert len(digests(folder)) == 2, "the killed trial left no checkpoint to go on from"
            with self._registered():
                went_on = train_toy(toy_trial(self.method, self.settings), _pool(), folder)
            assert [evaluation.reading.step for evaluation in went_on] == [2, 4, 6]
            assert digests(folder) == whole, (
                "the resumed trial has other bits: something outside of networks and optimizers is carried along"
            )

    def test_two_workers_with_half_batches_train_like_one(self) -> None:
        """Gradients, weights, statistics and logs after three steps in double precision.

        Weights get more room: where a gradient is zero but for rounding (a bias that batch normalisation takes away
        again), Adam makes steps of up to 1e-8 out of the rounding.
        """
        whole = steps_of(self._built(**self.steady), context())
        with tempfile.TemporaryDirectory(prefix="fasray-testing-") as name:
            folder = Path(name)
            config = {**self.settings, **self.steady}
            codes = in_processes(run_worker, SubprocessTask(Address.of(self.method), config, folder), WORKERS)
            assert codes == [0] * WORKERS, f"the workers ended with {codes}"
            parts = [torch.load(folder / f"worker-{rank}.pt", weights_only=True) for rank in range(WORKERS)]
        for rank, part in enumerate(parts):
            assert part.keys() == whole.keys(), f"worker {rank} differs in {sorted(part.keys() ^ whole.keys())}"
            for key, value in whole.items():
                room = 1e-9 if key.startswith(("grad ", "log ")) else 1e-7
                what = f"{key} of worker {rank} and of a single one"
                _assert_close(part[key], value, 1e-7, room, what)

    # What the checks share

    @property
    def _needed_domains(self) -> int:
        return self.method(self.method.Config.model_validate(dict(self.settings))).needs.min_domains

    def _built(self, num_domains: int = 3, **options: Any) -> Method:
        return built(self.method, num_domains, **{**self.settings, **options})

    def _registered(self) -> Any:
        return registry.registered(self.method)

    def _task(self, folder: Path, *, doomed: bool = False) -> SubprocessTask:
        return SubprocessTask(Address.of(self.method), self.settings, folder, _pool().folder, doomed)

    def _whole_trial(self) -> dict[str, str]:
        with self._registered():
            return _whole_trial(self.method, json.dumps(dict(self.settings)))

    def _plan(self, num_domains: int) -> Plan:
        return _plan(self.method.name, self.settings, num_domains)

    def _assert_refused(self, num_domains: int, least: int) -> None:
        said = ""
        with self._registered():
            try:
                self._plan(num_domains)
            except ProtocolError as error:
                said = str(error)
        assert f"needs at least {least} source domains" in said, f"{num_domains} domains are not refused: {said!r}"


def _plan(name: str, settings: Mapping[str, Any], num_domains: int) -> Plan:
    spec = SweepSpec.model_validate(
        {
            "name": "contract",
            "data": "made",
            "protocols": [toy_protocol(num_domains).name],
            "methods": {name: {"config": dict(settings), "space": {}}},
            "scheduler": "fifo",
            "training": {"steps": 2, "evaluations": 1},
        }
    )
    return make_plan(spec, "made", _pool().index)


@cache
def _pool() -> FacePool:
    folder = Path(tempfile.mkdtemp(prefix="fasray-testing-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return made_faces(folder / "pool")


@cache
def _whole_trial(kind: type[Method], settings: str) -> dict[str, str]:
    """Return the digests of an uninterrupted trial; both checks that need it share it."""
    with tempfile.TemporaryDirectory(prefix="fasray-testing-") as folder:
        train_toy(toy_trial(kind, json.loads(settings)), _pool(), Path(folder))
        return digests(Path(folder))


def _same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def _assert_same(one: Mapping[str, Tensor], other: Mapping[str, Tensor], after: str) -> None:
    changed = [key for key in one if key not in other or not torch.equal(one[key], other[key])]
    assert not changed, f"{after} changes {', '.join(changed[:3])}"
    assert one.keys() == other.keys(), f"{after} adds {', '.join(sorted(other.keys() - one.keys()))}"


def _assert_light(traffic: Traffic, what: str) -> None:
    assert not traffic.waits, f"{what} waits for the device: " + "; ".join(sorted(traffic.waits))
    uploads = traffic.uploads
    assert len(uploads) <= MOST_UPLOADS, f"{what} sends {len(uploads)} times to the device: {'; '.join(uploads)}"


def _assert_close(one: Tensor, other: Tensor, rtol: float, atol: float, what: str) -> None:
    torch.testing.assert_close(one, other, rtol=rtol, atol=atol, msg=lambda text: f"{what}: {text}")


def _assert_finite(tensors: Mapping[str, Tensor], where: str) -> None:
    bad = [name for name, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    assert not bad, f"{where}: not finite: {', '.join(bad)}"
