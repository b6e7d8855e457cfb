"""The sweep files that come with fasray can be planned, at full size and small."""

from pathlib import Path

import pytest
from locations import ROOT
from sweep_fixtures import make_table

from fasray.errors import SpecError
from fasray.faces.data_source import SyntheticChoice, SyntheticSpec
from fasray.faces.face_index import FaceIndex
from fasray.faces.synthetic import DEFAULT
from fasray.faces.synthetic.domains import domain_names
from fasray.methods import registry
from fasray.sweep.auto import resolve_auto
from fasray.sweep.plan import Plan, make_plan
from fasray.sweep.spec import SweepSpec
from fasray.sweep.sweep_file import load_sweep

SWEEPS = ROOT / "sweeps"
FILES = sorted(SWEEPS.rglob("*.yaml"))


ON_CLIP = {"flip", "gdfas"}
"""Methods whose learning rate is one of fine-tuning, which is refused for random weights."""
WEIGHTS = "training.backbone_weights={clip_vit_b_16: clip.safetensors, resnet18: none, resnet50: none}"


def plan_of(path: Path, *overrides: str) -> Plan:
    spec = load_sweep(path, overrides)
    decided = resolve_auto(spec, has_gpus=True, environ={"FASRAY_DATA": "faces"})
    return make_plan(decided.spec, "0" * 64, table_for(spec))


def table_for(spec: SweepSpec) -> FaceIndex:
    """A table with the domains and kinds of attack of the faces that would be generated for a sweep."""
    made = resolve_auto(spec.model_copy(update={"data": "auto"}), has_gpus=True, environ={}).spec.data
    more = made.synthetic if isinstance(made, SyntheticChoice) else SyntheticSpec()
    return make_table(domains=domain_names(more.domains or DEFAULT.domains), attacks=more.attacks or DEFAULT.attacks)


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


@pytest.mark.parametrize(
    ("name", "domains", "attacks"),
    [
        ("wcs", "SURF,CeFA,WMCA", None),
        ("celeba_to_many", "O,C,I,M,CA,SURF,CeFA,WMCA", None),
        ("leave_attack_out", "SiW-Mv2", ("print", "replay", "mask", "partial", "makeup")),
        ("five_shot", None, None),
    ],
)
def test_faces_are_generated_with_the_domains_and_attacks_that_the_protocols_name(
    name: str, domains: str | None, attacks: tuple[str, ...] | None
) -> None:
    spec = load_sweep(SWEEPS / f"{name}.yaml", ["training.profile=smoke"])
    data = resolve_auto(spec, has_gpus=False, environ={}).spec.data
    if domains is None:
        assert data == "synthetic"
        return
    assert isinstance(data, SyntheticChoice)
    people = data.synthetic.people
    assert (data.synthetic.domains, data.synthetic.attacks, people) == (domains, attacks, True)


def test_every_method_with_loss_weights_has_a_grid_over_them() -> None:
    assert {path.stem for path in (SWEEPS / "loss_weights").iterdir()} == set(registry.names()) - {"erm"}
