"""The contract serves methods that fasray does not know, and each of its checks can fail."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import third_party
from locations import SUPPORT
from third_party import Outsider

from fasray.errors import DivergedError, SpecError
from fasray.methods import registry
from fasray.testing import MethodContract, host_syncs
from fasray.testing.host_syncs import watch

SPOILT = {
    "test_it_tells_name_title_paper_and_idea": [(third_party.Nameless, AssertionError, "lower-case identifier")],
    "test_its_config_is_frozen_and_its_space_names_settings": [(third_party.Sloppy, AssertionError, "unknown keys")],
    "test_grace_is_at_least_one_step_and_no_more_than_the_budget": [(third_party.Greedy, AssertionError, "min_grace")],
    "test_it_has_one_augmentation_for_all_views_or_one_for_each": [
        (third_party.Unmatched, SpecError, "2 augmentations for 1 views")
    ],
    "test_refresh_keeps_to_the_tensors_of_build": [(third_party.Growing, AssertionError, "adds tensors")],
    "test_a_checkpoint_brings_all_back_though_it_leaves_out_what_is_frozen": [
        (third_party.Remembering, AssertionError, "a step after a checkpoint changes loss")
    ],
    "test_one_real_score_a_frame_whatever_the_batch": [(third_party.Comparing, AssertionError, "alone and in a batch")],
    "test_scoring_changes_nothing": [(third_party.Training, AssertionError, "scoring changes")],
    "test_live_faces_come_to_score_higher": [(third_party.Reversed, AssertionError, "higher must mean more live")],
    "test_logs_are_detached_scalars": [(third_party.Attached, AssertionError, "again carries a gradient")],
    "test_initial_weights_follow_the_global_generator": [(third_party.Unseeded, AssertionError, "same seed changes")],
    "test_a_step_neither_draws_from_nor_seeds_the_global_generators": [
        (third_party.Global, AssertionError, "torch's global generator")
    ],
    "test_constant_images_give_finite_losses_and_scores": [(third_party.Dividing, AssertionError, "not finite: loss")],
    "test_channels_last_images_give_the_same_update": [(third_party.ByMemory, AssertionError, "channels-last")],
    "test_a_step_never_waits_for_the_device": [
        (third_party.Waiting, AssertionError, r"Tensor.__bool__ at third_party.py:\d+"),
        (third_party.Selecting, AssertionError, r"index by a mask at third_party.py:\d+"),
        (third_party.Sending, AssertionError, r"torch.tensor of host numbers at third_party.py:\d+"),
    ],
    "test_a_trial_step_waits_for_nothing_and_uploads_at_most_4": [
        (third_party.Waiting, AssertionError, r"a trial waits for the device: Tensor.__bool__ at third_party.py:\d+"),
        (third_party.Packing, AssertionError, "a trial sends 6 times to the device: torch.from_numpy at upload.py"),
    ],
    "test_an_evaluation_waits_for_nothing_and_uploads_at_most_4": [
        (third_party.Glancing, AssertionError, r"waits for the device: Tensor.__float__ at third_party.py:\d+")
    ],
    "test_any_number_of_domains_of_unequal_size_one_image_a_group": [
        (third_party.ThreeOnly, RuntimeError, "equal size"),
        (third_party.Pairing, DivergedError, "loss is not a finite number"),
    ],
    "test_half_precision_stays_finite_and_near": [
        (third_party.Narrow, DivergedError, "loss is not a finite number"),
        (third_party.Coarse, AssertionError, "log loss in bf16 and in float32"),
    ],
    "test_channels_last_images_stay_so": [(third_party.Unfolding, AssertionError, "not channels last any more")],
    "test_the_same_seed_gives_the_same_bits_in_a_fresh_process": [(third_party.Hashing, AssertionError, "other bits")],
    "test_a_killed_trial_resumes_to_the_same_bits": [(third_party.Remembering, AssertionError, "carried along")],
    "test_two_workers_with_half_batches_train_like_one": [
        (third_party.Lonely, AssertionError, "worker 0 and of a single one"),
        (third_party.Unshared, AssertionError, "worker 0 and of a single one"),
    ],
}


class TestOutsider(MethodContract):
    method = Outsider


class Local(Outsider):
    """A method that is defined in a test file, which no other process can import by name."""

    name = "local"


class TestLocal(MethodContract):
    method = Local


@pytest.mark.parametrize(
    ("check", "kind", "error", "said"),
    [(check, *one) for check, spoilt in SPOILT.items() for one in spoilt],
    ids=lambda value: getattr(value, "name", "") or None,
)
def test_the_contract_catches(check: str, kind: type[Outsider], error: type[Exception], said: str) -> None:
    contract = type("Contract", (MethodContract,), {"method": kind})()
    with pytest.raises(error, match=said):
        getattr(contract, check)()


def test_every_check_has_a_method_that_fails_it() -> None:
    assert set(SPOILT) == {name for name in vars(MethodContract) if name.startswith("test_")}


def test_nothing_stays_registered() -> None:
    with registry.registered(Outsider):
        assert registry.get("outsider") is Outsider
    with pytest.raises(SpecError, match="unknown method 'outsider'"):
        registry.get("outsider")


def test_a_name_that_is_taken_is_refused() -> None:
    taken = type("Taken", (Outsider,), {"name": "erm"})
    with pytest.raises(SpecError, match="method 'erm' is already registered"), registry.registered(taken):
        pass


def test_a_class_inside_a_function_is_refused_with_the_reason() -> None:
    class Hidden(Outsider):
        name = "hidden"

    contract = type("Contract", (MethodContract,), {"method": Hidden})()
    with pytest.raises(AssertionError, match="inside a function"):
        contract.test_two_workers_with_half_batches_train_like_one()


def test_what_fails_in_another_process_is_reported_here() -> None:
    contract = type("Contract", (MethodContract,), {"method": third_party.Homebound})()
    with pytest.raises(AssertionError, match=r"(?s)Homebound failed in a process of its own.*far from home"):
        contract.test_the_same_seed_gives_the_same_bits_in_a_fresh_process()


def test_waits_are_named_and_pure_arithmetic_has_none() -> None:
    import torch

    values = torch.arange(6.0)
    assert host_syncs(lambda: values.relu().sum().add_(1)) == []
    waiting = (lambda: float(values[0]), lambda: values.tolist(), lambda: values[values > 2], lambda: values.unique())
    assert all(host_syncs(one) for one in waiting)


def test_everything_that_is_sent_to_a_device_is_counted() -> None:
    import numpy as np
    import torch

    device, values = torch.device("cpu"), torch.zeros(4, 3)
    sending = (
        lambda: torch.from_numpy(np.zeros(3)).to(device),
        lambda: torch.tensor([1.0], device=device),
        lambda: values.new_tensor([1.0]),
        lambda: values.to(device, torch.float64),
        lambda: values[[0, 1]],
        lambda: values[np.array([0, 1])],
    )
    assert [len(watch(one).uploads) for one in sending] == [1] * len(sending)
    staying = (lambda: values.to(torch.float64), lambda: torch.full((), 3.0, device=device), lambda: values[:2, 0])
    assert not any(watch(one).uploads for one in staying)


def fasray(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(path), str(SUPPORT)])}
    return subprocess.run(
        [sys.executable, "-m", "fasray", *arguments], env=env, capture_output=True, text=True, timeout=120
    )


def offering(folder: Path, line: str) -> Path:
    """The traces of an installed package with this entry point."""
    info = folder / "elsewhere-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[fasray.methods]\n{line}\n")
    return folder


def test_a_method_of_an_installed_package_is_found_everywhere(tmp_path: Path) -> None:
    ran = fasray(offering(tmp_path, "outsider = third_party:Outsider"), "methods", "outsider")
    assert ran.returncode == 0, ran.stderr
    assert "center_weight" in ran.stdout


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("outsider = third_party:Missing", "cannot be loaded"),
        ("erm = third_party:Outsider", "two packages provide a method 'erm'"),
    ],
)
def test_an_entry_point_that_cannot_be_used_is_named(tmp_path: Path, line: str, said: str) -> None:
    ran = fasray(offering(tmp_path, line), "methods", "outsider")
    assert ran.returncode == 2
    assert said in ran.stderr
    assert line in ran.stderr


def test_the_contract_does_not_load_pytest() -> None:
    code = "import sys, fasray.testing; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
