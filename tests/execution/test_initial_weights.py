"""Initial weights are read by the driver, once, and reach every trial through the run directory."""

from pathlib import Path

import pytest
import torch
from small_sweeps import place
from sweep_fixtures import plan_of

from fasray.errors import DataError
from fasray.execution.initial_weights import share_weights
from fasray.faces.face_index import FaceIndex
from fasray.nets.resnet import ResNet18
from fasray.nets.weights import load_backbone
from fasray.runs.layout import weights_folder

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
    share_weights(plan, run)
    copies = list(Path(weights_folder(run)).iterdir())
    assert len(copies) == 1
    written = copies[0].stat().st_mtime_ns
    expected = torch.load(weights, weights_only=True)
    weights.unlink()
    share_weights(plan, run)  # the run is taken up again
    assert copies[0].stat().st_mtime_ns == written
    backbone = ResNet18(0.125)
    load_backbone(backbone, str(weights), weights_folder(run))
    assert all(torch.equal(value, expected[name]) for name, value in backbone.state_dict().items())


def test_wrong_weights_are_refused_before_any_trial(table: FaceIndex, weights: Path, tmp_path: Path) -> None:
    plan = plan_of(ONE, table, f"training.backbone_weights={weights}", "training.width=0.25")
    with pytest.raises(DataError, match="do not fit"):
        share_weights(plan, str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_without_weights_nothing_is_kept(table: FaceIndex, tmp_path: Path) -> None:
    share_weights(plan_of(ONE, table), str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_the_command_refuses_missing_weights_before_it_starts_ray(small_faces: Path, tmp_path: Path) -> None:
    here = place(tmp_path, small_faces)
    refused = here.drive("--set", f"training.backbone_weights={tmp_path / 'nowhere.pth'}")
    assert refused.code == 3, refused.err
    assert "nowhere.pth" in refused.err
    assert "starting Ray" not in refused.err
