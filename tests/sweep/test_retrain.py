"""A trial's ``spec.json`` is enough to plan that very trial again, and nothing else is trained in its place."""

from pathlib import Path

import pytest
from sweep_fixtures import SWEEP, plan_of

from fasray.errors import DataError, SpecError
from fasray.faces.face_index import FaceIndex
from fasray.sweep.plan import Plan, make_plan
from fasray.sweep.retrain import check_same, read_trial, sweep_of
from fasray.training.trial import Trial


def first_trial(plan: Plan, seed: int = 0) -> Trial:
    cell = plan.cells[0]
    return plan.trial(cell, cell.configuration({}), seed)


def planned_again(trial: Trial, table: FaceIndex, manifest_hash: str = "0" * 64) -> Trial:
    return first_trial(make_plan(sweep_of(trial, "faces"), manifest_hash, table), trial.seed)


@pytest.mark.parametrize(
    "changes",
    [
        (),
        ("target_split=test",),
        ("protocols=[O&C->M]",),
        ("training.width=0.5", "methods.erm.config.weight_decay=0.1"),
    ],
)
def test_a_trial_read_from_its_file_is_planned_again(
    tmp_path: Path, table: FaceIndex, changes: tuple[str, ...]
) -> None:
    trial = first_trial(plan_of(SWEEP, table, *changes), seed=7)
    (tmp_path / "spec.json").write_text(trial.model_dump_json())
    wanted = read_trial(str(tmp_path / "spec.json"))
    assert wanted == trial
    again = planned_again(wanted, table)
    check_same(wanted, again)
    assert again.id == trial.id


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text('{"name": "a sweep"}')
    with pytest.raises(DataError, match=r"not the spec\.json of a trial") as error:
        read_trial(str(tmp_path / "spec.json"))
    assert "trials/<id>/spec.json" in error.value.remedy


def test_other_data_and_other_settings_are_refused(plan: Plan, table: FaceIndex) -> None:
    trial = first_trial(plan)
    with pytest.raises(DataError, match=f"not what trial {trial.id} was trained on: manifest 111111111111"):
        check_same(trial, planned_again(trial, table, "1" * 64))
    with pytest.raises(SpecError, match="this version makes trial"):
        check_same(trial, first_trial(plan, seed=1))


def test_a_protocol_that_means_something_else_now_is_refused(plan: Plan) -> None:
    changed = first_trial(plan).model_copy(update={"fingerprint": "0" * 16})
    with pytest.raises(SpecError, match="is not the protocol any more"):
        sweep_of(changed, "faces")
