"""The forecast of a sweep: what its own coordinator would do, on a made-up clock."""

import pytest
from sweep_fixtures import SWEEP, plan_of

from fasray.faces.face_index import FaceIndex
from fasray.sweep.forecast import SESSION_SECONDS, Pace, forecast, images_per_step

PACES = {"erm": Pace(start=1.0, step=0.5, evaluation=2.0), "safas": Pace(start=1.0, step=0.5, evaluation=2.0)}
CONFIRM_SECONDS = 1.0 + 16 * 0.5 + 4 * 2.0


@pytest.mark.parametrize("slots", [1, 3])
def test_without_early_stopping_the_time_is_that_of_all_trials_over_the_slots(table: FaceIndex, slots: int) -> None:
    plan = plan_of(SWEEP, table, "scheduler=fifo")
    expected = forecast(plan, slots, PACES)
    assert expected.trials == 8 * (3 + 2)
    assert expected.steps == expected.full_steps == expected.trials * 16
    assert expected.peak_concurrency == slots
    shares = [cell.source_dev_scored / (cell.source_dev_scored + cell.target_scored) for cell in plan.cells]
    busy = sum(3 * (1.0 + 16 * 0.5 + 4 * 2.0 * share) + 2 * CONFIRM_SECONDS for share in shares)
    assert sum(expected.busy_seconds.values()) == pytest.approx(busy)
    wall = expected.wall_seconds
    assert wall is not None
    assert busy / slots <= wall - SESSION_SECONDS <= busy / slots + CONFIRM_SECONDS


def test_early_stopping_saves_steps_of_the_search_only(table: FaceIndex) -> None:
    expected = forecast(plan_of(SWEEP, table), 2, PACES)
    confirming = 8 * 2 * 16
    assert confirming < expected.steps < expected.full_steps


def test_a_dear_method_is_charged_to_itself(table: FaceIndex) -> None:
    dear = {**PACES, "safas": Pace(1.0, 5.0, 2.0)}
    cheap, expensive = (forecast(plan_of(SWEEP, table, "scheduler=fifo"), 2, paces) for paces in (PACES, dear))
    assert expensive.busy_seconds["erm"] == cheap.busy_seconds["erm"]
    assert expensive.busy_seconds["safas"] == pytest.approx(cheap.busy_seconds["safas"] + 20 * 16 * 4.5)


def test_ablations_are_counted(table: FaceIndex) -> None:
    ablated = plan_of(SWEEP, table, "methods.erm.ablations={no decay: {weight_decay: 0}}")
    assert forecast(ablated, 2).trials == 8 * (3 + 2) + 4 * 2


def test_without_a_pace_there_are_no_hours(table: FaceIndex) -> None:
    expected = forecast(plan_of(SWEEP, table), 2)
    assert expected.wall_seconds is None
    assert expected.node_hours() is None
    assert expected.peak_concurrency == 2


def test_epochs_are_images_trained_over_images_there(table: FaceIndex) -> None:
    plan = plan_of(
        SWEEP, table, "scheduler=fifo", "confirm.seeds=[0]", "methods.erm.space={}", "methods.safas.space={}"
    )
    by_hand = sum(16 * images_per_step(cell) / cell.train_images for cell in plan.cells)
    assert forecast(plan, 2).epochs == pytest.approx(by_hand)
    assert {images_per_step(cell) for cell in plan.cells if cell.method == "erm"} == {4 * 2 * 3}
