"""Whether trials of different demands fit on a cluster together: each worker on one node, each share on one card."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from fasray.execution.capacity import Demand, accelerator

_ROUNDING = 1e-6
_MOST_TRIES = 2000
"""Workers that are placed before the search is given up; without a wrong turn it takes one each."""


@dataclass(frozen=True)
class _Node:
    cpus: float
    cards: tuple[float, ...]
    """What is free of each, ascending."""
    kinds: frozenset[str]


def fit_together(nodes: Iterable[Mapping[str, float]], demands: Sequence[Demand]) -> bool:
    """Return whether all the trials fit on the nodes at once.

    Where shares of different sizes meet, a search over all placements decides; on a large cluster it may be given up,
    and then the trials are said not to fit.

    Args:
        nodes: resources of each node, as Ray names them.
        demands: one for each trial.
    """
    free = [_node(resources) for resources in nodes]
    if sum((one.cpus + one.data_cpus) * one.workers for one in demands) > sum(node.cpus for node in free) + _ROUNDING:
        return False
    workers = [one for one in demands for _ in range(one.workers)]
    workers.sort(key=lambda one: (one.gpus, one.cpus, one.kind), reverse=True)
    return _placed(free, workers, 0, [_MOST_TRIES + len(workers)])


def _node(resources: Mapping[str, float]) -> _Node:
    kinds = frozenset(name for name in resources if name.startswith(accelerator("")))
    return _Node(resources.get("CPU", 0.0), (1.0,) * int(resources.get("GPU", 0)), kinds)


def _placed(nodes: list[_Node], workers: Sequence[Demand], done: int, tries: list[int]) -> bool:
    if done == len(workers):
        return True
    seen = set()
    for _, number, left in sorted(_places(nodes, workers[done]), key=lambda place: place[:2]):
        before = nodes[number]
        if (before, left) in seen:
            continue
        seen.add((before, left))
        tries[0] -= 1
        if tries[0] < 0:
            return False
        nodes[number] = left
        if _placed(nodes, workers, done + 1, tries):
            return True
        nodes[number] = before
    return False


def _places(nodes: Sequence[_Node], worker: Demand) -> Iterator[tuple[tuple[float, float], int, _Node]]:
    """Yield each place for a worker: what it leaves free there (less is better), the node's number, the node then."""
    for number, node in enumerate(nodes):
        if node.cpus + _ROUNDING < worker.cpus or (worker.kind and accelerator(worker.kind) not in node.kinds):
            continue
        cpus = node.cpus - worker.cpus
        for rest, cards in _cards_left(node.cards, worker.gpus):
            yield (rest, cpus), number, replace(node, cpus=cpus, cards=cards)


def _cards_left(cards: tuple[float, ...], gpus: float) -> Iterator[tuple[float, tuple[float, ...]]]:
    """Yield what may be left of a node's cards, with what is then free of the card that is taken."""
    if not gpus:
        yield float(len(cards)), cards
    elif gpus >= 1:
        whole = [number for number, free in enumerate(cards) if free >= 1 - _ROUNDING][: int(gpus)]
        if len(whole) == int(gpus):
            yield 0.0, tuple(sorted(0.0 if number in whole else free for number, free in enumerate(cards)))
    else:
        for number, free in enumerate(cards):
            if free + _ROUNDING >= gpus:
                yield free - gpus, tuple(sorted((*cards[:number], free - gpus, *cards[number + 1 :])))
