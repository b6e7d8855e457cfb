"""The generated reference pages hold all that the code has: keys, settings, rules, columns, codes, variables."""

import importlib
import inspect
import re
from collections.abc import Iterator
from types import ModuleType
from typing import get_args

import pytest
from locations import ROOT
from pydantic import BaseModel

import fasray
from fasray import protocols
from fasray.environment import VARIABLES
from fasray.errors import FasrayError
from fasray.methods import registry
from fasray.nets import backbones
from fasray.results import ablations, costs, frame, importance, listings
from fasray.results.selection import PLANNED_SELECTIONS, SELECTIONS
from fasray.runs.events import Event
from fasray.sweep import spec
from fasray.sweep.profiles import PROFILES
from fasray.training.trial import TrainingSpec


@pytest.fixture(scope="module")
def hook() -> Iterator[ModuleType]:
    pytest.importorskip("mkdocs", reason="needs MkDocs: pip install 'fasray[docs]'")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "docs" / "hooks")  # as MkDocs does
        yield importlib.import_module("reference")


@pytest.fixture(scope="module")
def pages(hook: ModuleType) -> dict[str, str]:
    made: dict[str, str] = hook.pages()
    return made


def rows(page: str) -> dict[str, str]:
    """The rows of a page's tables by their first cell, without marks."""
    return {row[1].strip("`"): row[0] for row in re.findall(r"^(\| (.+?) \|.*)$", page, re.MULTILINE)}


def test_no_generated_page_is_in_the_repository(pages: dict[str, str]) -> None:
    assert [path for path in pages if (ROOT / "docs" / path).exists()] == []


@pytest.mark.parametrize("name", backbones.names())
def test_every_backbone_is_documented(pages: dict[str, str], name: str) -> None:
    assert backbones.get(name).source in rows(pages["reference/methods/index.md"])[name]


def test_every_key_of_a_sweep_file_has_a_meaning(pages: dict[str, str]) -> None:
    found = rows(pages["reference/sweep-file.md"])
    models = [kind for _, kind in inspect.getmembers(spec, inspect.isclass) if issubclass(kind, BaseModel)]
    sections = [kind for kind in models if kind.__name__.endswith("Spec")] + [TrainingSpec]
    assert len(sections) > 8
    for kind in sections:
        for key in kind.model_fields:
            assert key in found, f"{kind.__name__}.{key}"
            assert not found[key].endswith("|  |"), f"{kind.__name__}.{key} has no meaning"
    assert set(PROFILES) <= set(found)


@pytest.mark.parametrize("name", registry.METHODS)
def test_every_setting_of_a_method_is_documented(pages: dict[str, str], name: str) -> None:
    kind = registry.get(name)
    found = rows(pages[f"reference/methods/{name}.md"])
    for key, field in kind.Config.model_fields.items():
        assert ("null" if field.default is None else str(field.default).lower()) in found[key].lower()
    for key, entry in kind.Config.space().items():
        assert str(next(iter(entry.model_dump()))) in found[key]
    assert f"[`{name}`]({name}.md)" in pages["reference/methods/index.md"]


def test_every_protocol_and_rule_is_documented(pages: dict[str, str]) -> None:
    found = rows(pages["reference/protocols.md"])
    assert {*protocols.names(), *protocols.GROUPS} <= set(found)
    for name, rule in {**SELECTIONS, **PLANNED_SELECTIONS}.items():
        (heading,) = re.findall(
            rf"^## `{name}`(.*) {{ #{name} }}\n\n(.+)$", pages["reference/selection-rules.md"], re.MULTILINE
        )
        assert ("†" in heading[0]) == rule.oracle
        assert len(heading[1]) > 25


def test_every_column_is_documented(pages: dict[str, str]) -> None:
    page = pages["reference/result-columns.md"]
    for columns in (
        frame.COLUMNS, listings.TRIAL_COLUMNS, listings.EVALUATION_COLUMNS, listings.SCORE_COLUMNS, costs.COST_COLUMNS,
        ablations.ABLATION_COLUMNS, importance.IMPORTANCE_COLUMNS,
    ):  # fmt: skip
        assert all(f"| `{name}` | " in page for name in columns)


def test_every_event_is_documented(pages: dict[str, str]) -> None:
    found = rows(pages["reference/events.md"])
    kinds = get_args(get_args(Event)[0])
    assert {kind.model_fields["event"].default for kind in kinds} == set(found) - {"event", "---"}
    for kind in kinds:
        assert all(
            f"`{name}`" in found[kind.model_fields["event"].default] for name in {*kind.model_fields} - {"event"}
        )


def test_every_exit_code_is_documented(pages: dict[str, str]) -> None:
    kinds, codes = [FasrayError], set()
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        codes.add(str(kind.exit_code))
    assert codes | {"0"} <= set(rows(pages["reference/exit-codes.md"]))


def test_every_environment_variable_is_documented_and_read(pages: dict[str, str]) -> None:
    read = {
        name
        for file in (ROOT / "fasray").rglob("*.py")
        if file.name != "environment.py"
        for name in re.findall(r"FASRAY_[A-Z_]+", file.read_text(encoding="utf-8"))
    }
    listed = {name for entry in VARIABLES for name in entry.name.split(", ")}
    assert {name for name in listed if name.startswith("FASRAY_")} == read
    assert all(f"`{name}`" in pages["reference/environment.md"] for name in listed)


def test_the_public_api_is_documented(pages: dict[str, str]) -> None:
    for name in fasray.__all__:
        assert name.startswith("_") or f"::: fasray.{name}\n" in pages["reference/api.md"]
        assert name.startswith("_") or inspect.getdoc(getattr(fasray, name)), name
