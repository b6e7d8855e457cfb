"""The sweep files that come with fasray can be planned, at full size and small."""

from pathlib import Path

import pytest
from locations import ROOT
from sweep_fixtures import make_table

from fasray.errors import SpecError
from fasray.methods import registry
from fasray.sweep.auto import resolve_auto
from fasray.sweep.plan import Plan, make_plan
from fasray.sweep.sweep_file import load_sweep

SWEEPS = ROOT / "sweeps"
FILES = sorted(SWEEPS.rglob("*.yaml"))


ON_CLIP = {"flip", "gdfas"}
"""Methods whose learning rate is one of fine-tuning, which is refused for random weights."""
WEIGHTS = "training.backbone_weights={clip_vit_b_16: clip.safetensors, resnet18: none, resnet50: none}"


def plan_of(path: Path, *overrides: str) -> Plan:
    decided = resolve_auto(load_sweep(path, overrides), has_gpus=True, environ={"FASRAY_DATA": "faces"})
    return make_plan(decided.spec, "0" * 64, make_table())


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SWEEPS)))
def test_it_can_be_planned_and_tries_the_papers_setting_first(path: Path) -> None:
    plan = plan_of(path, *([WEIGHTS] if ON_CLIP & set(load_sweep(path).methods) else []))
    for cell in plan.cells:
        assert dict(cell.points[0]) == {name: getattr(cell.config, name) for name in cell.searched}


@pytest.mark.parametrize("profile", ["small", "smoke"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SWEEPS)))
def test_it_can_be_planned_small(path: Path, profile: str) -> None:
    assert plan_of(path, f"training.profile={profile}", "data=synthetic").cells


@pytest.mark.parametrize("name", sorted(ON_CLIP))
def test_at_full_size_a_method_on_clip_wants_clips_weights(name: str) -> None:
    with pytest.raises(SpecError, match=f"{name} starts from random weights of clip_vit_b_16") as caught:
        plan_of(SWEEPS / "loss_weights" / f"{name}.yaml")
    assert "training.backbone_weights" in str(caught.value.remedy)


def test_the_comparison_of_generations_leaves_no_method_out() -> None:
    assert set(load_sweep(SWEEPS / "generation.yaml").methods) == set(registry.names())


def test_every_method_with_loss_weights_has_a_grid_over_them() -> None:
    assert {path.stem for path in (SWEEPS / "loss_weights").iterdir()} == set(registry.names()) - {"erm"}
