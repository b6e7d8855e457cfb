"""The sweep file: one canonical form, and errors that name file, key and line."""

from pathlib import Path

import pytest
import yaml
from locations import ROOT, TESTS
from sweep_fixtures import SWEEP, make_table

from fasray.errors import SpecError
from fasray.sweep.plan import make_plan
from fasray.sweep.sweep_file import load_sweep, parse_sweep, run_of
from fasray.validation import same_values

SWEEPS = sorted((ROOT / "sweeps").rglob("*.yaml"))


def refusal(text: str, *overrides: str) -> str:
    with pytest.raises(SpecError) as error:
        parse_sweep(text, "sweep.yaml", overrides)
    return str(error.value)


def test_files_that_mean_the_same_have_one_hash() -> None:
    written_out = SWEEP + "resources: {cpus_per_worker: 1}\ntarget_split: train+test\n"
    assert parse_sweep(SWEEP).hash() == parse_sweep(written_out).hash()


@pytest.mark.parametrize(
    "override", ["search.seed=7", "training.steps=20", "methods.safas.config.batch=10", "confirm.seeds=[3]"]
)
def test_anything_that_changes_numbers_changes_the_hash(override: str) -> None:
    assert parse_sweep(SWEEP).hash() != parse_sweep(SWEEP, overrides=[override]).hash()


def test_how_many_run_at_once_does_not_change_the_hash() -> None:
    assert parse_sweep(SWEEP).hash() == parse_sweep(SWEEP, overrides=["resources.max_concurrent=1"]).hash()


PROFILED = """
name: profiled
data: synthetic
protocols: [ocim]
methods:
  rfmeta: {config: {depth_weight: 3}, ablations: {no depth: {depth_weight: 0}, nothing: {depth_weight: 3.0}}}
  erm: {space: {learning_rate: {loguniform: [1e-3, 1e-1]}}, budget: {steps: 7}}
search: {algorithm: hyperopt, trials_per_cell: 3}
training: {profile: small, precision: bf16}
resources: {workers: 2}
"""


@pytest.mark.parametrize("text", [SWEEP, PROFILED, *(path.read_text() for path in SWEEPS)])
def test_what_a_run_notes_is_a_sweep_file_of_the_same_meaning(text: str) -> None:
    spec = parse_sweep(text, overrides=["training.profile=small"] if "profile: auto" in text else [])
    noted = {"hash": spec.hash(), "sweep": spec.identity()}
    again = parse_sweep(yaml.safe_dump(noted, sort_keys=False))
    assert again.identity() == spec.identity()
    assert again.hash() == spec.hash()


@pytest.mark.parametrize("run", sorted((TESTS / "assets" / "old_runs").glob("*/run")), ids=lambda run: run.parent.name)
def test_what_a_run_of_before_noted_is_a_sweep_file_of_the_same_meaning(run: Path) -> None:
    noted = yaml.safe_load((run / "sweep.yaml").read_text())
    again = load_sweep(run / "sweep.yaml")
    assert same_values(noted["sweep"], again.identity())
    assert again.hash() == noted["hash"]
    assert run_of(run / "sweep.yaml") == str(run.resolve())
    assert run_of(run.parent / "sweep.yaml") is None


def test_what_another_version_noted_is_refused_with_a_remedy() -> None:
    noted = {"hash": "x", "sweep": {**parse_sweep(SWEEP).identity(), "search": {"algorithm": "unheard of"}}}
    assert "the sweep file that the run was started with" in refusal(yaml.safe_dump(noted))


def test_a_file_overrides_the_profile_and_the_profile_the_published_setting() -> None:
    spec = parse_sweep(SWEEP, overrides=["methods.safas.config.rotation=10"])
    assert spec.training_of("erm").image_size == 96
    assert spec.training_of("erm").steps == 16
    assert spec.config("safas").model_dump()["batch"] == 24
    assert spec.config("safas").model_dump()["rotation"] == 10
    assert spec.config("safas").model_dump()["momentum"] == 0.9


def test_a_profile_may_run_one_method_smaller_and_a_file_overrides_that_too() -> None:
    methods = "methods: {erm: {}, rfmeta: {space: {}}}"
    text = f"name: x\ndata: synthetic\nprotocols: [ocim]\n{methods}\ntraining: {{profile: small}}"
    spec = parse_sweep(text)
    assert spec.training_of("rfmeta").width < spec.training_of("erm").width
    assert spec.training_of("rfmeta").steps < spec.training_of("erm").steps
    assert parse_sweep(text, overrides=["training.steps=7"]).training_of("rfmeta").steps == 7


def test_the_smoke_profile_tries_two_points_and_two_seeds_a_cell_at_the_most() -> None:
    files = ["search.trials_per_cell=5", "confirm.seeds=[4, 3, 2]", "training={profile: smoke}"]
    spec = parse_sweep(SWEEP, overrides=files)
    assert (spec.trials_per_cell, spec.confirm_seeds) == (2, (4, 3))
    grid = ["search.algorithm=grid", "methods.erm.space={learning_rate: {grid: [0.1, 0.2, 0.3]}}"]
    plan = make_plan(parse_sweep(SWEEP, overrides=[*files, *grid]), "0" * 64, make_table())
    assert {len(cell.points) for cell in plan.cells} == {2}


def test_a_methods_budget_holds_for_that_method_only() -> None:
    spec = parse_sweep(SWEEP, overrides=["methods.erm.budget.steps=4"])
    assert spec.training_of("erm").steps == 4
    assert spec.training_of("safas").steps == 16


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("confirm:", "confrim:"), ["unknown key 'confrim'", "did you mean 'confirm'?", "line 12"]),
        (("trials_per_cell: 3", "trials_per_cel: 3"), ["key search.trials_per_cel", "'trials_per_cell'", "line 10"]),
        (("trials_per_cell: 3", "trials_per_cell: many"), ["key search.trials_per_cell", "integer", "'many'"]),
        (("safas:", "safass:"), ["unknown method 'safass'", "did you mean 'safas'?"]),
        (("separability_weight:", "separability:"), ["methods.safas.space.separability", "'separability_weight'"]),
        (("[0.001, 0.1]", "[0.1, 0.001]"), ["learning_rate", "below"]),
        (("{loguniform:", "{loguniforn:"), ["space.learning_rate", "did you mean 'loguniform'?", "line 7"]),
        (("{loguniform: [0.001, 0.1]}", "7"), ["space.learning_rate", "7"]),
        (("seed: 100", "seed: 1"), ["confirmed on fresh seeds"]),
        (("erm:", "erm:\n    ablations: {no decay: {weight_decya: 0}}"), ["ablations.no decay", "'weight_decay'"]),
        (("erm:", "erm:\n    ablations: {nothing: {}}"), ["ablations", "'nothing' changes nothing"]),
        (("erm:", "erm:\n    ablations: {'<b>': {weight_decay: 0}}"), ["ablations", "'<b>'"]),
        (("profile: quick", "profile: quickly"), ["unknown profile 'quickly'", "did you mean 'quick'?"]),
        (("steps: 16", "stepz: 16"), ["key training.stepz", "did you mean 'steps'?"]),
        (("name: tiny", "name: ../tiny"), ["key name"]),
        (("name: tiny\n", ""), ["the key 'name' is missing"]),
        (("grace: 0.25", "grace: 2"), ["grace", "less than or equal to 1"]),
        (("data: synthetic", "data: synthetic\ndata: other"), ["is given twice", "line 4"]),
        (("name: tiny", "name: [tiny"), ["not readable as YAML"]),
    ],
)
def test_a_mistake_is_named_with_its_place_and_remedy(change: tuple[str, str], expected: list[str]) -> None:
    assert change[0] in SWEEP
    message = refusal(SWEEP.replace(*change))
    for part in expected:
        assert part in message, message
    assert "sweep.yaml" in message or "training" in message or "profile" in message


def test_a_value_that_a_method_would_refuse_is_refused_in_its_range() -> None:
    message = refusal(SWEEP, "methods.safas.space.alignment_alpha={choice: [0.9, 1.5]}")
    assert "alignment_alpha" in message
    assert "1.5" in message


def test_a_grid_search_over_a_continuous_range_is_refused_when_planned() -> None:
    from sweep_fixtures import make_table, plan_of

    with pytest.raises(SpecError, match="continuous") as error:
        plan_of(SWEEP, make_table(), "search.algorithm=grid")
    assert "grid: [...]" in error.value.remedy


def test_an_override_that_is_none_is_refused() -> None:
    assert "--set" in refusal(SWEEP, "search.seed")
    assert "not a section" in refusal(SWEEP, "name.seed=3")


def test_loading_executes_nothing() -> None:
    message = refusal("name: !!python/object/apply:os.getcwd []\n")
    assert "not readable as YAML" in message
