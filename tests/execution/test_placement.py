"""Who gets which share of which card: against brute force over all placements, with memory counted by hand."""

import itertools
import json
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from sweep_fixtures import SWEEP

from fasray.errors import SpecError
from fasray.execution.autoscaler import AutoscalerLimits, ClusterCapacity, NodeGroup, Room
from fasray.execution.capacity import Demand
from fasray.execution.hardware import CardKind, card_kinds, device_for
from fasray.execution.memory_file import Measured
from fasray.execution.packing import fit_together
from fasray.execution.placement import Placement, room_for
from fasray.execution.shares import CONTEXT_BYTES, doubled
from fasray.sweep.spec import SweepSpec
from fasray.sweep.sweep_file import parse_sweep

GIB = 2**30
SHARES = (1.0, 0.5, 0.3333, 0.25)
METHODS = ("erm", "safas", "ssdg")
TEXT = SWEEP.replace("methods:", "methods:\n  ssdg: {space: {}}")


def spec_of(*overrides: str) -> SweepSpec:
    return parse_sweep(TEXT, "sweep.yaml", overrides)


def placement_on(
    nodes: Sequence[Mapping[str, float]],
    spec: SweepSpec,
    memory: Mapping[str, int] | None = None,
    peaks: Mapping[str, int] | None = None,
    *,
    ran_out: Mapping[tuple[str, str], float] | None = None,
) -> Placement:
    capacity = ClusterCapacity(tuple(nodes))
    least = ran_out or {}
    placement = Placement(
        spec, lambda method, kind: doubled(least.get((method, kind), 0.0)), room_for(spec, lambda: capacity),
        card_kinds(capacity),
    )  # fmt: skip
    placement.measured = {kind: Measured(kind, size, peaks or {}) for kind, size in (memory or {}).items()}
    return placement


def any_placement(nodes: Sequence[Mapping[str, float]], demands: Sequence[Demand]) -> bool:
    """Try every assignment of trials to cards."""
    cards = [(number, card) for number, node in enumerate(nodes) for card in range(int(node.get("GPU", 0)))]
    for places in itertools.product(cards, repeat=len(demands)):
        shares: dict[tuple[int, int], float] = {}
        cpus: dict[int, float] = {}
        for place, demand in zip(places, demands, strict=True):
            if demand.kind and f"accelerator_type:{demand.kind}" not in nodes[place[0]]:
                break
            shares[place] = shares.get(place, 0.0) + demand.gpus
            cpus[place[0]] = cpus.get(place[0], 0.0) + demand.cpus
        else:
            if max(shares.values(), default=0) <= 1 and all(used <= nodes[n]["CPU"] for n, used in cpus.items()):
                return True
    return False


def random_nodes(random: np.random.Generator, kinds: Sequence[str]) -> list[dict[str, float]]:
    nodes = []
    for _ in range(random.integers(1, 4)):
        cards = int(random.integers(1, 3))
        kind = {f"accelerator_type:{random.choice(kinds)}": 1.0} if kinds != [""] else {}
        nodes.append({"CPU": float(random.integers(1, 5) * cards), "GPU": float(cards), **kind})
    return nodes


@pytest.mark.parametrize("seed", range(30))
def test_a_trial_starts_exactly_if_brute_force_finds_a_place_and_no_cards_memory_is_exceeded(seed: int) -> None:
    random = np.random.default_rng(seed)
    kinds = [[""], ["T4", "A100"], ["T4", "L4", "A100"]][seed % 3]
    nodes = random_nodes(random, kinds)
    memory = {kind: int(random.integers(8, 81)) * GIB for kind in kinds}
    peaks = {method: int(random.integers(1, 40)) * GIB // 2 for method in METHODS}
    placement = placement_on(nodes, spec_of("resources.cpus_per_worker=1"), memory, peaks)
    held: dict[str, Demand] = {}
    most = 0
    for number in range(14):
        method = METHODS[random.integers(len(METHODS))]
        demand = placement.find(method)
        if demand is None:
            if len(held) > 4:
                continue
            assert not any(any_placement(nodes, [*held.values(), one]) for one in placement.options(method))
            gone = list(held)[random.integers(len(held))]
            placement.release(gone)
            del held[gone]
            continue
        held[str(number)] = demand
        placement.hold(str(number), demand)
        most = max(most, len(held))
        if len(held) <= 5:
            assert any_placement(nodes, list(held.values()))
        kind = demand.kind or placement.kinds[0].name
        assert demand.gpus == 1 or 1.15 * peaks[method] + CONTEXT_BYTES <= demand.gpus * memory[kind] * 1.001
    assert most


def test_where_large_shares_come_first_a_wrong_turn_is_taken_back() -> None:
    shares = [0.5, 0.3333, 0.3333, 0.3333, 0.25, 0.25]  # the half goes with the quarters, the thirds with each other
    demands = [Demand(1, 1, share) for share in shares]
    assert fit_together([{"CPU": 8.0, "GPU": 2.0}], demands)
    assert not fit_together([{"CPU": 8.0, "GPU": 2.0}], [*demands, Demand(1, 1, 0.25)])
    assert not fit_together([{"CPU": 5.0, "GPU": 2.0}], demands)


def test_workers_of_a_trial_may_be_on_several_nodes_and_whole_cards_are_whole() -> None:
    nodes = [{"CPU": 4.0, "GPU": 1.0}, {"CPU": 4.0, "GPU": 2.0}]
    assert fit_together(nodes, [Demand(2, 1, 1.0), Demand(1, 1, 0.5), Demand(1, 1, 0.5)])
    assert not fit_together(nodes, [Demand(2, 1, 1.0), Demand(1, 1, 0.5), Demand(1, 1, 1.0)])
    assert not fit_together(nodes, [Demand(2, 1, 2.0), Demand(1, 1, 0.5)])


def test_a_large_cluster_is_counted_in_no_time() -> None:
    nodes = [{"CPU": 32.0, "GPU": 8.0}] * 8
    demands = [Demand(1, 1, SHARES[number % 4]) for number in range(100)]
    assert fit_together(nodes, demands)
    assert not fit_together(nodes, demands * 3)


@pytest.mark.parametrize(
    ("node", "share", "cpus"),
    [
        ({"CPU": 4.0, "GPU": 1.0}, 0.25, 1),
        ({"CPU": 16.0, "GPU": 1.0}, 0.25, 4),
        ({"CPU": 4.0, "GPU": 4.0}, 1.0, 1),  # a trial needs a core, so no more than four run, on a card each
        ({"CPU": 2.0, "GPU": 4.0}, 1.0, 0.5),  # more cards than cores: all cards are used
        ({"CPU": 9.0, "GPU": 4.0}, 0.5, 1),
        ({"CPU": 64.0, "GPU": 1.0}, 0.25, 4),
    ],
)
def test_small_trials_share_a_card_as_far_as_each_has_a_core(node: dict[str, float], share: float, cpus: float) -> None:
    placement = placement_on([node], spec_of(), {"": 16 * GIB}, dict.fromkeys(METHODS, GIB))
    assert placement.options("erm") == [Demand(1, cpus, share)]
    held = 0
    while demand := placement.find("erm"):
        placement.hold(str(held), demand)
        held += 1
    assert held == node["GPU"] / share


def test_a_method_that_was_not_measured_gets_a_whole_card() -> None:
    placement = placement_on([{"CPU": 8.0, "GPU": 2.0}], spec_of(), {"": 16 * GIB}, {"erm": GIB})
    assert placement.options("erm")[0].gpus == 0.25
    assert placement.options("safas")[0].gpus == 1


def test_a_trial_is_tied_to_a_kind_of_card_only_where_there_are_several() -> None:
    two = [{"CPU": 4.0, "GPU": 1.0, f"accelerator_type:{kind}": 1.0} for kind in ("A100", "T4")]
    memory, peaks = {"A100": 80 * GIB, "T4": 16 * GIB}, {"erm": 6 * GIB}
    assert [(one.kind, one.gpus) for one in placement_on(two, spec_of(), memory, peaks).options("erm")] == [
        ("A100", 0.25),
        ("T4", 0.5),
    ]
    assert placement_on(two[:1], spec_of(), memory, peaks).options("erm")[0].kind == ""
    assert Demand(1, 1, 0.5, kind="T4").of_worker == {"CPU": 1, "GPU": 0.5, "accelerator_type:T4": 0.001}


def test_a_number_in_the_sweep_file_wins_and_no_memory_is_measured() -> None:
    nodes = [{"CPU": 8.0, "GPU": 1.0}]
    given = placement_on(nodes, spec_of("resources.gpus_per_worker=0.5"), {"": 16 * GIB}, {"erm": GIB})
    assert given.options("erm")[0].gpus == 0.5
    assert not given.shared_kinds()
    assert not list(given.describe())
    none = placement_on(nodes, spec_of("resources.gpus_per_worker=0"), {"": 16 * GIB}, {"erm": GIB})
    assert none.options("erm") == [Demand(1, 1, 0.0)]
    assert not none.decisions()


def test_without_gpus_trials_hold_cores_as_ever_and_the_log_says_nothing() -> None:
    placement = placement_on([{"CPU": 2.0}], spec_of())
    assert placement.options("erm") == [Demand(1, 1, 0.0)]
    assert not placement.decisions()
    assert list(placement.describe()) == ["no GPUs: trials run on CPU cores"]
    assert placement_on([{"CPU": 2.0}], spec_of("resources.cpus_per_worker=2")).options("erm") == [Demand(1, 2, 0.0)]


def test_what_was_decided_is_said_with_the_reason() -> None:
    placement = placement_on(
        [{"CPU": 8.0, "GPU": 2.0, "accelerator_type:T4": 1.0}], spec_of(), {"T4": 16 * GIB},
        {"erm": GIB, "safas": 7 * GIB, "ssdg": 20 * GIB},
    )  # fmt: skip
    assert list(placement.describe()) == [
        "2 x T4, 16 GiB each: 0.25 of a card each for trials of erm (1 GiB); a whole card each for trials of ssdg "
        "(20 GiB), safas (7 GiB)"
    ]
    assert [(one.method, one.gpus, one.card_bytes) for one in placement.decisions()] == [
        ("ssdg", 1, 16 * GIB),
        ("erm", 0.25, 16 * GIB),
        ("safas", 1, 16 * GIB),
    ]


def test_a_forecast_counts_trials_of_all_methods_on_all_kinds_of_cards() -> None:
    nodes = [{"CPU": 8.0, "GPU": 1.0, f"accelerator_type:{kind}": 1.0} for kind in ("A100", "T4")]
    memory, peaks = {"A100": 80 * GIB, "T4": 16 * GIB}, {"erm": GIB, "safas": 12 * GIB, "ssdg": 12 * GIB}
    placement = placement_on(nodes, spec_of(), memory, peaks)
    assert placement.trials_at_once() == 8, "ssdg, erm, safas and ssdg on the A100, four of erm on the T4"
    assert placement_on([{"CPU": 8.0, "GPU": 2.0}], spec_of()).trials_at_once() == 2
    assert placement_on([{"CPU": 8.0}], spec_of("resources.max_concurrent=3")).trials_at_once() == 3


def test_a_copy_of_the_faces_gets_what_networks_and_steps_leave_of_a_trials_share() -> None:
    placement = placement_on([{"CPU": 8.0, "GPU": 2.0}], spec_of(), {"": 16 * GIB}, {"erm": 2 * GIB})
    (demand,) = placement.options("erm")
    assert demand.gpus == 0.25
    assert placement.room_for_faces("erm", demand) == int(4 * GIB - 1.15 * 2 * GIB - CONTEXT_BYTES)
    assert placement.room_for_faces("safas", placement.options("safas")[0]) is None, "it was not measured"
    assert placement.room_for_faces("erm", Demand(1, 1, 0.0)) is None


def test_a_method_that_ran_out_of_memory_gets_twice_the_share_of_that_kind_of_card() -> None:
    nodes = [{"CPU": 8.0, "GPU": 1.0, f"accelerator_type:{kind}": 1.0} for kind in ("A100", "T4")]
    placement = placement_on(
        nodes, spec_of(), dict.fromkeys(("A100", "T4"), 80 * GIB), dict.fromkeys(METHODS, GIB),
        ran_out={("erm", "T4"): 0.25},
    )  # fmt: skip
    assert [one.gpus for one in placement.options("erm")] == [0.25, 0.5]
    assert [one.gpus for one in placement.options("safas")] == [0.25, 0.25]
    assert [doubled(share) for share in (0.25, 0.3333, 0.5, 1.0, 2.0)] == [0.5, 0.6666, 1.0, 1.0, 2.0]


@pytest.mark.parametrize("share", ["1.5", "-1", "0.5.1"])
def test_a_share_that_no_card_can_give_is_refused(share: str) -> None:
    with pytest.raises(SpecError, match="gpus_per_worker"):
        spec_of(f"resources.gpus_per_worker={share}")


def kinds_of(alive: Sequence[Mapping[str, float]], *groups: Mapping[str, float]) -> list[tuple[str, int, float]]:
    limits = AutoscalerLimits(tuple(NodeGroup(group, 2) for group in groups), 4) if groups else None
    found = card_kinds(ClusterCapacity(tuple(alive), bool(groups), limits))
    return [(kind.name, kind.cards, kind.cores) for kind in found]


def test_the_kinds_of_cards_are_those_that_are_there_and_those_that_an_autoscaler_may_bring() -> None:
    head, t4 = {"CPU": 2.0}, {"CPU": 8.0, "GPU": 2.0, "accelerator_type:T4": 1.0}
    assert kinds_of([head]) == []
    assert kinds_of([head, t4, {**t4, "CPU": 4.0}]) == [("T4", 4, 2.0)]
    assert kinds_of([head], {"CPU": 8.0}) == []
    assert kinds_of([head], {"CPU": 8.0, "GPU": 1.0}) == [("", 0, 8.0)]
    assert kinds_of([head, t4], {"CPU": 8.0, "GPU": 2.0}) == [("T4", 2, 4.0)], "the one group is taken to bring these"
    assert kinds_of([head, t4], {"CPU": 8.0, "GPU": 2.0}, {"CPU": 8.0, "GPU": 1.0}) == [("T4", 2, 4.0), ("", 0, 4.0)]
    assert kinds_of([head], t4, {"CPU": 8.0, "GPU": 1.0, "accelerator_type:A100": 1.0}) == [
        ("A100", 0, 8.0),
        ("T4", 0, 4.0),
    ]


def test_an_autoscaler_is_asked_for_gpus_from_zero() -> None:
    capacity = ClusterCapacity(({"CPU": 2.0},), True, AutoscalerLimits((NodeGroup({"CPU": 4.0, "GPU": 1.0}, 3),), 3))
    placement = Placement(spec_of(), lambda *_: 0.0, Room(None, lambda: capacity), card_kinds(capacity))
    placement.check_fits(capacity)
    for number in range(3):
        demand = placement.find("erm")
        assert demand == Demand(1, 4, 1.0)
        placement.hold(str(number), demand)
    assert placement.find("erm") is None


def test_the_device_follows_from_what_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FASRAY_LOGICAL_GPUS", raising=False)
    assert [device_for(Demand(1, 1, gpus)) for gpus in (0.0, 0.25)] == ["cpu", "cuda"]
    monkeypatch.setenv("FASRAY_LOGICAL_GPUS", "1")
    assert device_for(Demand(1, 1, 0.25)) == "cpu"
    monkeypatch.setenv("FASRAY_LOGICAL_GPUS", json.dumps({"cards": 1}))
    with pytest.raises(SpecError, match="unknown key 'cards'"):
        device_for(Demand(1, 1, 0.25))


def test_cards_without_a_core_of_their_own_are_named_by_their_kind() -> None:
    assert card_kinds(ClusterCapacity(({"CPU": 1.0, "GPU": 4.0},))) == (CardKind("", 4, 0.25),)
