"""Initial weights are read by the driver, once, and reach every trial through the run directory."""

import hashlib
import json
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from small_sweeps import place
from sweep_fixtures import plan_of

from fasray.errors import DataError, SpecError
from fasray.execution.initial_weights import check_weights, share_weights
from fasray.faces.face_index import FaceIndex
from fasray.nets import backbones
from fasray.nets.resnet import ResNet18
from fasray.nets.weights import load_backbone
from fasray.runs.layout import weights_folder
from fasray.runs.weights import changed_copies, read_weights, weights_of_trial

ONE = """
name: one
data: synthetic
protocols: [O&C->I, O&M->I]
methods: {erm: {space: {}}, safas: {}, ssdg: {}}
scheduler: fifo
confirm: {seeds: [0]}
training: {profile: smoke, image_size: 32, width: 0.125, steps: 2, evaluations: 2}
"""


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(5)
    path = tmp_path / "weights.pth"
    torch.save(ResNet18(0.125).state_dict(), path)
    return path


def test_one_copy_serves_all_cells_after_the_file_has_gone(table: FaceIndex, weights: Path, tmp_path: Path) -> None:
    plan, run = plan_of(ONE, table, f"training.backbone_weights={weights}"), str(tmp_path / "run")
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    share_weights(plan, run)
    copies = list(Path(weights_folder(run)).glob("*.safetensors"))
    assert len(copies) == 1
    written = copies[0].stat().st_mtime_ns
    expected = torch.load(weights, weights_only=True)
    weights.unlink()
    share_weights(plan, run)  # the run is taken up again
    assert copies[0].stat().st_mtime_ns == written
    backbone = ResNet18(0.125)
    load_backbone(backbone, str(weights), weights_folder(run))
    assert all(torch.equal(value, expected[name]) for name, value in backbone.state_dict().items())

    used = read_weights(run)
    assert {entry.method: entry.sha256 for entry in used.values()} == dict.fromkeys(("erm", "safas", "ssdg"), digest)
    assert str(used["erm", None]) == f"resnet18 from {weights}, sha256 {digest}"
    assert not changed_copies(run)
    copies[0].write_bytes(copies[0].read_bytes()[:-4] + b"abcd")
    assert changed_copies(run) == {copies[0].name: "the run's copy of these initial weights has been changed"}


def test_each_architecture_of_a_searched_backbone_has_its_weights(
    table: FaceIndex, weights: Path, tmp_path: Path
) -> None:
    """The trial of an architecture is the same whether its weights are given for it, or for all."""
    network = backbones.make("mobilevit_s", width=0.125, image_size=32)
    save_file(network.state_dict(), tmp_path / "small.safetensors")
    searched = ONE.replace("erm: {space: {}}, safas: {}, ssdg: {}", "erm: {space: {backbone: {grid: [B]}}}")
    searched = searched.replace("[B]", "[resnet18, mobilevit_s, vit_s_16]")
    by_name = {"resnet18": str(weights), "mobilevit_s": str(tmp_path / "small.safetensors"), "vit_s_16": "none"}
    plan, run = plan_of(searched, table, f"training.backbone_weights={json.dumps(by_name)}"), str(tmp_path / "run")
    share_weights(plan, run)
    assert {key: used.weights for key, used in read_weights(run).items()} == {
        ("erm", None): by_name["resnet18"],
        ("erm", "mobilevit_s"): by_name["mobilevit_s"],
    }
    configs: list[dict[str, str]] = [{}, *({"backbone": name} for name in by_name)]
    for config in configs:
        used = weights_of_trial(run, "erm", config)
        expected = by_name[config.get("backbone", "resnet18")]
        assert (used.weights if used else "none") == expected
    cell, one = plan.cells[0], plan_of(searched, table, f"training.backbone_weights={weights}").cells[0]
    trials = {name: plan.trial(cell, cell.configuration({"backbone": name}), 3) for name in by_name}
    assert {name: trial.training.backbone_weights for name, trial in trials.items()} == by_name
    assert trials["resnet18"].id == plan.trial(one, one.configuration({}), 3).id


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{resnet50: none}", "there is no entry for resnet18, which erm starts from"),
        ("{resnet81: none}", "unknown architecture 'resnet81': did you mean 'resnet18'"),
        ("{resnet18: none, vit_s_16: imagenet}", ""),
        ("{}", "needs an entry"),
        ("{resnet18: 3}", "resnet18: give none, imagenet, or a path or URI, not 3"),
        ("3", "training.backbone_weights: give none, imagenet, or a path or URI, not 3"),
    ],
)
def test_a_map_of_weights_is_checked_when_planning(given: str, said: str, table: FaceIndex) -> None:
    with pytest.raises(SpecError, match=said) if said else nullcontext():
        plan_of(ONE, table, f"training.backbone_weights={given}")


def test_imagenet_weights_are_for_resnets(table: FaceIndex) -> None:
    with pytest.raises(SpecError, match="ImageNet weights are for ResNets, and erm starts from vit_s_16"):
        plan_of(ONE, table, "training.backbone_weights=imagenet", "methods.erm.config.backbone=vit_s_16")


def test_wrong_weights_are_refused_before_any_trial(table: FaceIndex, weights: Path, tmp_path: Path) -> None:
    plan = plan_of(ONE, table, f"training.backbone_weights={weights}", "training.width=0.25")
    for check in (check_weights, lambda plan: share_weights(plan, str(tmp_path / "run"))):
        with pytest.raises(DataError, match="do not fit"):
            check(plan)
    assert not (tmp_path / "run").exists()
    fits = plan_of(ONE, table, f"training.backbone_weights={weights}")
    assert check_weights(fits) == [f"{name} starts from resnet18 of {weights}" for name in ("erm", "safas", "ssdg")]


def test_without_weights_nothing_is_kept(table: FaceIndex, tmp_path: Path) -> None:
    share_weights(plan_of(ONE, table), str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_the_command_refuses_missing_weights_before_it_starts_ray(small_faces: Path, tmp_path: Path) -> None:
    here = place(tmp_path, small_faces)
    refused = here.drive("--set", f"training.backbone_weights={tmp_path / 'nowhere.pth'}")
    assert refused.code == 3, refused.err
    assert "nowhere.pth" in refused.err
    assert "starting Ray" not in refused.err
