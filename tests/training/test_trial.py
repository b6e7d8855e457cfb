"""A trial's id is a function of all that its numbers depend on, and of nothing else."""

from __future__ import annotations

import pytest
from made_trials import TINY, made_trial
from pydantic import ValidationError

from fasray.errors import SpecError
from fasray.training.trial import TrainingSpec, Trial, make_trial, trial_id


def test_evaluations_are_evenly_spaced_and_end_with_the_budget() -> None:
    assert TrainingSpec(steps=100, evaluations=4).evaluation_steps() == (25, 50, 75, 100)
    assert TrainingSpec(steps=10, evaluations=4).evaluation_steps() == (3, 5, 8, 10)
    assert TrainingSpec(steps=3, evaluations=20).evaluation_steps() == (1, 2, 3)
    assert len(TrainingSpec().evaluation_steps()) == 20


def test_the_id_does_not_depend_on_which_defaults_are_written_out() -> None:
    bare = made_trial()
    assert made_trial(**bare.config).id == bare.id
    assert trial_id(bare.identity()) == bare.id
    assert Trial.model_validate_json(bare.model_dump_json()) == bare


@pytest.mark.parametrize(
    "other",
    [
        made_trial(seed=2),
        made_trial("safas"),
        made_trial(learning_rate=0.0123),
        made_trial(training=TINY.model_copy(update={"images": 3})),
        made_trial(training=TINY.model_copy(update={"steps": 7})),
        made_trial(training=TINY.model_copy(update={"backbone_weights": "imagenet"})),
        made_trial(training=TINY.model_copy(update={"augment": {"flip": 0.0}})),
        made_trial(training=TINY.model_copy(update={"deterministic": False})),
        made_trial(training=TINY.model_copy(update={"compile": True})),
        made_trial(training=TINY.model_copy(update={"eval_frames": 1})),
        make_trial(method="erm", config={}, training=TINY, protocol="A&B->C", fingerprint="other", data="made", seed=1),
        make_trial(method="erm", config={}, training=TINY, protocol="A&B->C", fingerprint="f", data="other", seed=1),
    ],
)
def test_whatever_changes_the_numbers_changes_the_id(other: Trial) -> None:
    assert other.id != made_trial().id
    assert len(other.id) == 16


def test_the_protocols_name_is_no_part_of_the_id() -> None:
    renamed = make_trial(
        method="erm", config={}, training=TINY, protocol="by another name", fingerprint="f", data="made", seed=1
    )
    assert renamed.id == made_trial().id


def test_a_field_of_later_is_not_written_while_it_has_its_default() -> None:
    later = {"deterministic": True, "compile": False, "eval_frames": "all"}
    written = TrainingSpec.model_validate(later).model_dump(mode="json")
    assert not later.keys() & written.keys()
    assert TrainingSpec.model_validate(written) == TrainingSpec()
    changed = TrainingSpec(deterministic=False, compile=True, eval_frames=2)
    assert TrainingSpec.model_validate_json(changed.model_dump_json()) == changed


def test_an_id_of_before_these_fields_is_still_the_same() -> None:
    assert made_trial().id == "cb1143984ff508ae"


def test_writing_out_the_methods_own_batch_keeps_the_id() -> None:
    own = made_trial(training=TINY.model_copy(update={"images": None}))
    images = own.build_method().sampling.images
    assert made_trial(training=TINY.model_copy(update={"images": images})).id == own.id


def test_overrides_reach_sampling_and_augmentation() -> None:
    training = TrainingSpec(images=7, augment={"crop": "scale", "scale": [0.5, 1]})
    method = made_trial().build_method()
    assert training.sampling_of(method).images == 7
    assert training.augment_of(method).scale == (0.5, 1.0)
    assert training.augment_of(method).flip == method.augment.flip


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"steps": 0}, "steps"),
        ({"step": 10}, "step"),
        ({"image_size": 100}, "image_size"),
        ({"augment": {"flp": 0.5}}, "did you mean 'flip'"),
        ({"augment": {"crop": "half"}}, r"augment\.crop"),
        ({"augment": {"ratio": [1.5, 0.5]}}, r"augment\.ratio: a range goes from its smaller end"),
        ({"augment": {"jitter": [0.4, 0.4, 0.4, 0.6]}}, r"augment\.jitter\.3.*less than or equal to 0\.5"),
        ({"precision": "fp16"}, "precision"),
        ({"eval_frames": 0}, "eval_frames"),
    ],
)
def test_a_wrong_training_section_is_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        TrainingSpec.model_validate(given)


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(SpecError, match="erm"):
        made_trial("ermm")
