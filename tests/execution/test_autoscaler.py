"""How far a cluster reaches: what it has, what its autoscaler may add, and how many trials that is now."""

from pathlib import Path

import pytest
import yaml
from locations import ROOT

from fasray.errors import SpecError
from fasray.execution.autoscaler import MAX_TRIALS, AutoscalerLimits, ClusterCapacity, NodeGroup, Room, read_limits
from fasray.execution.capacity import Demand

CLUSTERS = ROOT / "cluster"
HEAD = {"CPU": 0.0, "node:__internal_head__": 1.0}
GPU_NODE = {"CPU": 8.0, "GPU": 1.0}
ONE = Demand(1, 1, 0.0)
FOUR_GPU_NODES = AutoscalerLimits((NodeGroup(GPU_NODE, 4),), 4)


@pytest.mark.parametrize(
    ("capacity", "demand", "slots"),
    [
        (ClusterCapacity((HEAD, {"CPU": 2.0})), ONE, 2),
        (ClusterCapacity((HEAD,)), ONE, 0),  # every node is gone and nobody brings others: none is handed out
        (ClusterCapacity((HEAD,), True, FOUR_GPU_NODES), Demand(1, 2, 0.5), 8),
        (
            ClusterCapacity((HEAD, GPU_NODE), True, FOUR_GPU_NODES),
            Demand(1, 2, 0.5),
            8,
        ),  # the living one is one of the four
        (ClusterCapacity((HEAD,), True, FOUR_GPU_NODES), Demand(2, 1, 1.0), 2),
        (
            ClusterCapacity(({**HEAD, "CPU": 4.0},), True, AutoscalerLimits((NodeGroup({"CPU": 2.0}, 3),), 3)),
            ONE,
            10,
        ),  # the head works, too
        (
            ClusterCapacity((HEAD, *[GPU_NODE] * 6), True, FOUR_GPU_NODES),
            Demand(1, 1, 1.0),
            6,
        ),  # more than the file says
        (
            ClusterCapacity((HEAD,), True, AutoscalerLimits((NodeGroup({"CPU": 2.0}, 9), NodeGroup(GPU_NODE, 2)), 3)),
            Demand(1, 2, 0.0),
            9,
        ),
        (ClusterCapacity((HEAD,), True, AutoscalerLimits((NodeGroup({"CPU": 64.0}, 1000),), 1000)), ONE, MAX_TRIALS),
    ],
)
def test_as_many_trials_are_handed_out_as_the_full_cluster_holds(
    capacity: ClusterCapacity, demand: Demand, slots: int
) -> None:
    assert capacity.slots(demand) == slots
    assert capacity.fits([demand] * (slots - 1), demand) == (slots > 0)
    assert not capacity.fits([demand] * slots, demand)


def test_a_cluster_without_known_limits_doubles_until_its_autoscaler_stops_it() -> None:
    nodes, grown = 0, []
    for _ in range(5):
        slots = ClusterCapacity((HEAD, *[{"CPU": 1.0}] * nodes), autoscales=True).slots(ONE)
        nodes = min(slots, 6)  # the autoscaler follows, up to six nodes
        grown.append(nodes)
    assert grown == [1, 2, 4, 6, 6]


def test_what_even_the_full_cluster_cannot_place_is_refused_with_what_is_missing() -> None:
    with pytest.raises(SpecError, match="there is room for at most 4 of 6 workers") as error:
        ClusterCapacity((HEAD,), True, FOUR_GPU_NODES).check_fits(Demand(6, 1, 1.0))
    assert "5 nodes" in error.value.what
    assert "8 CPUs and 1 GPUs" in error.value.what


def test_without_an_autoscaler_the_living_nodes_are_all_there_is() -> None:
    with pytest.raises(SpecError, match="room for at most 0 of 1 workers"):
        ClusterCapacity((HEAD,), autoscales=False).check_fits(ONE)
    ClusterCapacity((HEAD, {"CPU": 1.0})).check_fits(ONE)


@pytest.mark.parametrize("capacity", [ClusterCapacity((HEAD,), True, FOUR_GPU_NODES), ClusterCapacity((HEAD,), True)])
def test_scaling_from_zero_is_not_refused(capacity: ClusterCapacity) -> None:
    capacity.check_fits(Demand(1, 8, 1.0))
    assert capacity.slots(Demand(1, 8, 1.0)) > 0


def test_what_nobody_can_know_to_be_too_much_waits() -> None:
    ClusterCapacity((HEAD,), autoscales=True).check_fits(Demand(1, 1000, 0.0))


def test_the_number_is_asked_for_anew_as_nodes_come_and_go_and_never_beyond_the_users_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, nodes = 0.0, 1
    monkeypatch.setattr("fasray.execution.autoscaler.time.monotonic", lambda: now)
    looked = []

    def look() -> ClusterCapacity:
        looked.append(now)
        return ClusterCapacity(tuple({"CPU": 1.0} for _ in range(nodes)))

    room, bounded = Room(None, look), Room(2, look)
    seen = []
    for now, nodes in [(0.0, 1), (0.5, 3), (1.5, 3), (3.0, 0)]:  # noqa: B007 - read by look()
        seen.append((room.count(ONE), bounded.count(ONE)))
        for one, count in zip((room, bounded), seen[-1], strict=True):
            assert [one.fits([ONE] * held, ONE) for held in range(4)] == [held < count for held in range(4)]
    assert seen == [(1, 1), (1, 1), (3, 2), (0, 0)]
    assert len(looked) == 6, "within a second it is not asked for again"


def test_a_ray_up_file_says_how_far_its_autoscaler_goes(tmp_path: Path) -> None:
    for name, card in (("aws.yaml", "A10G"), ("gcp.yaml", "L4")):
        limits = read_limits(CLUSTERS / name)
        node = {"CPU": 8.0, "GPU": 1.0, f"accelerator_type:{card}": 1.0}
        assert limits == AutoscalerLimits((NodeGroup(node, 4),), 4), name
    changed = yaml.safe_load((CLUSTERS / "aws.yaml").read_text())
    worker = next(name for name in changed["available_node_types"] if name != changed["head_node_type"])
    del changed["available_node_types"][worker]["max_workers"]
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump({**changed, "max_workers": 7}))
    assert read_limits(path).groups[0].max_nodes == 7


@pytest.mark.parametrize("name", ["raycluster.yaml", "rayjob.yaml"])
def test_so_does_a_file_for_kuberay(name: str) -> None:
    (group,) = read_limits(CLUSTERS / "kuberay" / name).groups
    assert (group.resources["CPU"], group.resources["GPU"], group.max_nodes) == (8.0, 1.0, 4)


@pytest.mark.parametrize(
    "text", ["", "a: 1", "[1, 2]", "available_node_types: {x: {}}", "kind: RayCluster", "kind: RayJob", ": : :"]
)
def test_another_file_is_refused_with_the_variable_that_names_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(text)
    with pytest.raises(SpecError, match="not a cluster configuration") as error:
        read_limits(path)
    assert error.value.where == str(path)
    assert "FASRAY_CLUSTER_FILE" in error.value.remedy
    with pytest.raises(SpecError):
        read_limits(tmp_path / "nowhere.yaml")
