"""Every setting is documented, and its default is the paper's value unless a reason is given here."""

from __future__ import annotations

import math

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from fasray.cli.catalog import methods
from fasray.methods import registry
from fasray.methods.settings import Setting, describe

DIFFERENT = {
    ("hfn_mp", "gradient_limit"): "the code has no limit; ours is meant to be far above the gradients of faces",
    ("ssdg", "distance"): "the code, which gave the published numbers, takes l2",
    ("ssdg", "norm"): "the code, which gave the published numbers, normalises in its own way",
    ("ssan", "reversal"): "null: what `code` says, which is the paper's by default",
    ("ssan", "block"): "null: what `code` says, which is the paper's by default",
    ("gacfas", "accumulation"): "null: what `code` says, which is what was meant by default",
    ("gacfas", "scale_ce"): "null: what `code` says, which is what was meant by default",
    ("gdfas", "domain_mean"): "null: what `code` says, which is what was meant by default",
    ("ssdg", "learning_rate"): "the script multiplies it by 0.1 before the first step",
}
"""Defaults that are not the paper's value, and why."""

OURS = {
    "erm": "no paper fixes this baseline; the optimizer's settings follow SSDG's",
    "sdfanet": "neither code nor full text was available; the abstract and a survey name only the margin",
    "oneside_triplet": "neither code nor full text was available",
}
"""Methods for which no value, or not every value, of the paper is known."""

ADDED = {
    ("hfn_mp", "retrain_part"): "the code's second stage cannot run",
    ("hfn_mp", "retrain_learning_rate"): "the code's second stage cannot run",
}
"""Settings that the paper and its code do not have."""

SETTINGS = [(name, setting) for name in registry.names() for setting in describe(registry.get(name).Config)]
IDS = [f"{name}.{setting.name}" for name, setting in SETTINGS]


@pytest.mark.parametrize(("name", "setting"), SETTINGS, ids=IDS)
def test_a_setting_has_a_meaning_and_a_number_its_unit_and_range(name: str, setting: Setting) -> None:
    assert setting.meaning.endswith(".")
    assert setting.range
    assert bool(setting.unit) == (setting.type in {"number", "integer"})


@pytest.mark.parametrize(("name", "setting"), SETTINGS, ids=IDS)
def test_a_default_is_the_value_of_the_paper(name: str, setting: Setting) -> None:
    if not setting.paper:
        assert name in OURS or (name, setting.name) in ADDED, "give the paper's value, or say above why there is none"
        return
    config = registry.get(name).Config
    try:
        published = getattr(config.model_validate({setting.name: setting.paper.partition(";")[0]}), setting.name)
    except ValidationError:
        published = math.nan
    same = published == getattr(config(), setting.name)
    assert same != ((name, setting.name) in DIFFERENT), f"default {setting.default}, paper {setting.paper}"


def test_every_reason_is_about_a_setting() -> None:
    known = {(name, setting.name): setting.paper for name, setting in SETTINGS}
    assert all(known[key] for key in DIFFERENT)
    assert not any(known[key] for key in ADDED)


def test_the_command_prints_unit_range_default_and_the_value_of_the_paper() -> None:
    printed = CliRunner().invoke(methods, ["ssdg"]).stdout
    (line,) = (line for line in printed.splitlines() if line.startswith("decay_at"))
    for part in ("0.375", "0.125 for OMI->C and OCM->I", "> 0, <= 1", "fraction of the budget"):
        assert part in line
