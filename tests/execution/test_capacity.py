"""How many trials a cluster holds, and what it refuses."""

import pytest

from fasray.errors import SpecError
from fasray.execution.capacity import Demand, check_fits, concurrent_trials, local_slots, workers_on
from fasray.sweep.sweep_file import parse_sweep

TWO_SMALL = [{"CPU": 2.0}, {"CPU": 2.0}]


@pytest.mark.parametrize(
    ("nodes", "demand", "fit"),
    [
        ([{"CPU": 2.0}], Demand(1, 1, 0.0), 2),
        ([{"CPU": 2.0}], Demand(2, 1, 0.0), 1),
        (TWO_SMALL, Demand(2, 2, 0.0), 1),  # one worker on each node
        (TWO_SMALL, Demand(3, 1, 0.0), 1),
        ([{"CPU": 3.0}, {"CPU": 3.0}], Demand(1, 2, 0.0), 2),  # not 3: no worker is split over two nodes
        ([{"CPU": 16.0, "GPU": 1.0}], Demand(1, 1, 0.25), 4),
        ([{"CPU": 16.0, "GPU": 1.0}], Demand(1, 1, 0.1), 10),
        ([{"CPU": 2.0, "GPU": 4.0}], Demand(1, 1, 0.5), 2),
        ([{"CPU": 8.0}, {"CPU": 8.0, "GPU": 2.0}], Demand(2, 1, 1.0), 1),
        ([{"memory": 1.0}], Demand(1, 1, 0.0), 0),
        ([], Demand(1, 1, 0.0), 0),
    ],
)
def test_whole_trials_are_counted_node_by_node(nodes: list[dict[str, float]], demand: Demand, fit: int) -> None:
    assert concurrent_trials(nodes, demand) == fit


def test_what_the_full_cluster_cannot_place_is_refused_with_what_is_missing() -> None:
    with pytest.raises(SpecError, match="one trial needs 2 workers of 3 CPUs and 0.5 GPUs each") as error:
        check_fits([{"CPU": 4.0, "GPU": 1.0}, {"CPU": 2.0}], Demand(2, 3, 0.5))
    assert "room for at most 1 of 2 workers" in error.value.what
    assert "4 CPUs and 1 GPUs, 2 CPUs and 0 GPUs" in error.value.what
    assert "resources.workers" in error.value.remedy


def test_four_cpus_for_a_worker_are_refused_by_two_nodes_of_two() -> None:
    assert workers_on(TWO_SMALL, Demand(1, 4, 0.0)) == 0
    with pytest.raises(SpecError, match="room for at most 0 of 1 workers"):
        check_fits(TWO_SMALL, Demand(1, 4, 0.0))


def test_what_just_fits_is_let_through() -> None:
    check_fits(TWO_SMALL, Demand(2, 2, 0.0))


@pytest.mark.parametrize(
    ("resources", "slots"),
    [
        ("", 8),
        ("resources: {cpus_per_worker: 3}\n", 2),
        ("resources: {workers: 2, cpus_per_worker: 3}\n", 1),
        ("resources: {cpus_per_worker: 16}\n", 1),  # a forecast for machines like this one, at least one trial at once
        ("resources: {max_concurrent: 5, gpus_per_worker: 1}\n", 5),
    ],
)
def test_a_machine_s_cores_and_the_user_s_limit_say_how_many_trials_it_runs(
    monkeypatch: pytest.MonkeyPatch, resources: str, slots: int
) -> None:
    monkeypatch.setattr("fasray.execution.capacity.usable_cores", lambda: 8)
    sweep = "name: x\ndata: synthetic\nprotocols: [O->C]\nmethods: [erm]\ntraining: {profile: smoke}\n"
    assert local_slots(parse_sweep(sweep + resources)) == slots
