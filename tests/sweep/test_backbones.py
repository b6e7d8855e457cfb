"""A backbone brings its optimizer, learning rate and weight decay along, wherever a sweep file chooses it."""

from __future__ import annotations

from typing import Any

import pytest
from sweep_fixtures import make_table

from fasray.cli.forecast import describe
from fasray.errors import SpecError
from fasray.sweep.plan import Plan, make_plan
from fasray.sweep.spec import SweepSpec


def spec(method: dict[str, Any], name: str = "erm", **training: Any) -> SweepSpec:
    return SweepSpec.model_validate(
        {"name": "x", "data": "synthetic", "protocols": ["ocim"], "methods": {name: method}, "training": training}
    )


def planned(method: dict[str, Any], name: str = "erm", **training: Any) -> Plan:
    return make_plan(spec(method, name, **training), "0" * 64, make_table())


def optimizer_of(values: Any) -> tuple[Any, ...]:
    given = values if isinstance(values, dict) else values.model_dump()
    return given["optimizer"], given["learning_rate"], given["weight_decay"]


PUBLISHED = ("sgd", 0.01, 5e-4)
SCRATCH, PRETRAINED = ("adamw", 5e-4, 0.05), ("adamw", 3e-5, 0.05)


def test_a_fixed_backbone_has_the_rates_recommended_for_its_weights() -> None:
    vit = {"config": {"backbone": "vit_s_16"}}
    assert optimizer_of(spec(vit).config("erm")) == SCRATCH
    assert optimizer_of(spec(vit, backbone_weights="a.safetensors").config("erm")) == PRETRAINED
    assert optimizer_of(spec(vit, backbone_weights={"vit_s_16": "a.safetensors"}).config("erm")) == PRETRAINED
    assert optimizer_of(spec(vit, backbone_weights={"resnet18": "a.safetensors"}).config("erm")) == SCRATCH
    assert optimizer_of(spec({"config": {"backbone": "resnet50"}}).config("erm")) == PUBLISHED


def test_what_the_file_gives_stays() -> None:
    given = {"config": {"backbone": "vit_s_16", "learning_rate": 1e-4}}
    assert optimizer_of(spec(given).config("erm")) == ("adamw", 1e-4, 0.05)
    assert spec(given).by_backbone("erm") == {}


def test_a_searched_backbone_has_its_own_at_each_value() -> None:
    searched = spec({"space": {"backbone": {"grid": ["resnet18", "vit_s_16", "mobilevit_s"]}}})
    assert optimizer_of(searched.config("erm")) == PUBLISHED
    assert list(searched.by_backbone("erm")) == ["vit_s_16", "mobilevit_s"]
    assert optimizer_of(searched.by_backbone("erm")["vit_s_16"]) == SCRATCH
    also = spec({"space": {"backbone": {"grid": ["vit_s_16"]}, "learning_rate": {"choice": [1e-4, 1e-3]}}})
    assert also.by_backbone("erm") == {"vit_s_16": {"optimizer": "adamw", "weight_decay": 0.05}}


def test_an_ablation_of_the_backbone_changes_what_goes_with_it_both_ways() -> None:
    there = spec({"ablations": {"vit": {"backbone": "vit_s_16"}}}).ablations("erm")["vit"]
    assert optimizer_of(there) == SCRATCH
    back = spec({"config": {"backbone": "vit_s_16"}, "ablations": {"resnet": {"backbone": "resnet18"}}})
    assert optimizer_of(back.ablations("erm")["resnet"]) == PUBLISHED


def test_default_ranges_lie_around_the_rate_of_the_backbone() -> None:
    space = spec({"config": {"backbone": "vit_s_16"}}).space("erm")
    assert space["learning_rate"].model_dump() == {"loguniform": (5e-5, 1.5e-3)}
    assert space["weight_decay"].model_dump() == {"choice": (0.01, 0.05, 0.1)}
    assert spec({}).space("erm")["learning_rate"].model_dump() == {"loguniform": (1e-3, 3e-2)}


def test_a_sweep_without_the_setting_is_the_sweep_of_before() -> None:
    plain, named = spec({}, "ssdg"), spec({"config": {"backbone": "resnet18"}}, "ssdg")
    assert "optimizer" not in plain.canonical()["methods"]["ssdg"]["config"]
    assert plain.hash() == named.hash()
    searched = spec({"space": {"backbone": {"grid": ["resnet18", "depthnet"]}}}, "ssdg", profile="small")
    assert searched.by_backbone("ssdg") == {}


def test_the_hash_knows_what_a_searched_backbone_brings_along() -> None:
    searched = {"space": {"backbone": {"grid": ["resnet18", "vit_s_16"]}}}
    assert spec(searched).canonical()["methods"]["erm"]["backbones"]["vit_s_16"]["learning_rate"] == 5e-4
    assert spec(searched).hash() != spec(searched, backbone_weights={"vit_s_16": "a", "resnet18": "none"}).hash()


def test_an_unknown_backbone_is_named() -> None:
    with pytest.raises(SpecError, match=r"(?s)methods.erm.config.backbone.*did you mean 'vit_s_16'"):
        spec({"config": {"backbone": "vits16"}}).config("erm")


def test_a_point_of_a_search_is_a_whole_configuration_and_plan_shows_it() -> None:
    plan = planned({"space": {"backbone": {"grid": ["resnet18", "vit_s_16"]}}})
    cell = plan.cells[0]
    known, other = (cell.configuration(point) for point in cell.points)
    assert optimizer_of(known) == PUBLISHED
    assert "backbone" not in known  # trials of before have no such key
    assert cell.logged(known) == {**known, "backbone": "resnet18"}  # what results are made of has it
    assert (other["backbone"], *optimizer_of(other)) == ("vit_s_16", *SCRATCH)
    assert "    with vit_s_16: optimizer = adamw, learning_rate = 0.0005, weight_decay = 0.05" in describe(plan)


@pytest.mark.parametrize(
    ("method", "key"),
    [
        ({"config": {"backbone": "vit_s_16", "learning_rate": 1e-6}}, "config.learning_rate"),
        ({"config": {"learning_rate": 1e-6}}, "config.learning_rate"),
        ({"space": {"learning_rate": {"loguniform": [1e-6, 1e-2]}}}, "space.learning_rate"),
        ({"ablations": {"vit": {"backbone": "vit_b_16", "learning_rate": 1e-6}}}, "ablations.vit"),
    ],
)
def test_a_rate_of_fine_tuning_is_refused_for_random_weights(method: dict[str, Any], key: str) -> None:
    with pytest.raises(SpecError, match="random weights of .*, which a learning rate of 1e-06 hardly") as why:
        planned(method)
    assert f"key methods.erm.{key}" in str(why.value)
    assert planned(method, backbone_weights="a.safetensors").cells
