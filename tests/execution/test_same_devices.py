"""A run goes on on the kinds of devices that it was computed on; on others only if its user wants it."""

import json
import shutil
from pathlib import Path

import pytest
from small_sweeps import place
from sweep_fixtures import made_reading

from fasray.errors import SpecError
from fasray.execution.autoscaler import Room
from fasray.execution.hardware import CardKind
from fasray.execution.placement import Placement
from fasray.execution.same_devices import check_same_devices, devices_of
from fasray.runs.events import Placed
from fasray.sweep.coordinator import Coordinator
from fasray.sweep.plan import Plan

KINDS = {"H200": CardKind("H200", 1, 4), "T4": CardKind("T4", 1, 4), "": CardKind("", 1, 4)}


def computed_on(plan: Plan, *devices: str | None) -> Coordinator:
    """A coordinator with one reading from each device."""
    coordinator = Coordinator(plan, lambda event: None)
    for device in devices:
        assignment = coordinator.next_assignment()
        assert assignment is not None
        coordinator.report(assignment.trial.id, made_reading(4, 0.7, device=device))
    return coordinator


def now(plan: Plan, *kinds: str) -> frozenset[str]:
    placement = Placement(plan.spec, lambda method, kind: 0.0, Room(), tuple(KINDS[kind] for kind in kinds))
    return devices_of(placement, plan.spec.methods)


@pytest.mark.parametrize(
    ("recorded", "kinds"),
    [
        (["cpu", "cpu"], []),
        (["NVIDIA H200"], ["H200"]),
        (["Tesla T4"], ["T4"]),
        (["NVIDIA H200"], [""]),
        (["NVIDIA H200", "Tesla T4"], ["H200", "T4"]),
        (["NVIDIA H200", "cpu"], []),
        ([None], ["H200"]),
        ([], ["H200"]),
    ],
)
def test_the_same_kinds_and_runs_that_do_not_say_go_on(
    plan: Plan, recorded: list[str | None], kinds: list[str]
) -> None:
    check_same_devices(computed_on(plan, *recorded), [], now(plan, *kinds))


@pytest.mark.parametrize(
    ("recorded", "kinds", "said"),
    [
        ("cpu", ["H200"], "computed on cpu; it would go on on H200"),
        ("cpu", [""], "computed on cpu; it would go on on a GPU"),
        ("NVIDIA H200", [], "computed on NVIDIA H200; it would go on on cpu"),
        ("NVIDIA A100-SXM4-80GB", ["H200"], "computed on NVIDIA A100-SXM4-80GB; it would go on on H200"),
        ("NVIDIA H200", ["H200", "T4"], "computed on NVIDIA H200; it would go on on T4"),
    ],
)
def test_another_kind_is_refused_with_both_names_and_the_option(
    plan: Plan, recorded: str, kinds: list[str], said: str
) -> None:
    with pytest.raises(SpecError, match=said) as error:
        check_same_devices(computed_on(plan, recorded), [], now(plan, *kinds))
    assert "--any-device" in error.value.remedy


def test_cards_that_the_sweep_was_given_at_its_start_are_known_before_they_have_computed_anything(plan: Plan) -> None:
    placed = [Placed(method="erm", card=card, gpus=1, cpus=1) for card in ("NVIDIA H200", "T4")]
    check_same_devices(computed_on(plan, "NVIDIA H200"), placed, now(plan, "H200", "T4"))
    with pytest.raises(SpecError, match="it would go on on T4"):
        check_same_devices(computed_on(plan, "cpu"), placed, now(plan, "T4"))


@pytest.mark.slow
def test_a_run_from_a_card_goes_on_on_cpus_only_with_any_device_and_its_table_says_so(finished, tmp_path: Path) -> None:
    here = place(tmp_path, finished.place.data)
    shutil.copytree(finished.place.run_folder, here.run_folder)
    for name in ("results.parquet", "report.html"):
        (here.run_folder / name).unlink()
    log = here.run_folder / "events.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for line in lines:
        if line["event"] == "reported":
            line["device"] = "NVIDIA H200"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines[:-3]))
    refused = here.drive()
    assert refused.code == 2
    assert "computed on NVIDIA H200; it would go on on cpu" in refused.err
    went_on = here.drive("--any-device")
    assert went_on.code == 0, went_on.err
    assert "different kinds of devices (16 on NVIDIA H200, 1 on cpu)" in went_on.out
    assert here.drive().code == 0
