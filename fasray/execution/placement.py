"""What each trial holds, and which may start now: by its method, the cards that there are, and what runs already."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Protocol

from fasray.execution.autoscaler import ClusterCapacity, Room, current_capacity
from fasray.execution.capacity import Demand
from fasray.execution.hardware import CardKind, card_kinds, this_machine
from fasray.execution.memory_file import Measured, MemoryFile, short_trials
from fasray.execution.shares import bytes_needed, cores_of_trial, doubled, share_of, trials_per_card
from fasray.runs.events import Event, Placed
from fasray.sweep.coordinator import Assignment, Coordinator
from fasray.sweep.plan import Plan
from fasray.sweep.spec import SweepSpec


class Places(Protocol):
    """Says what a trial may hold now, given what is held."""

    def find(self, method: str) -> Demand | None:
        """Return what the next trial of a method would hold, if there is room for it now."""

    def hold(self, trial: str, demand: Demand) -> None:
        """Note that a trial holds this from now on."""

    def release(self, trial: str) -> None:
        """Note that a trial holds nothing any more."""


class EqualPlaces:
    """Every trial holds the same.

    Args:
        demand: of each trial.
        slots: returns how many may run now; called often.
    """

    def __init__(self, demand: Demand, slots: Callable[[], int] = lambda: 1) -> None:
        self._demand, self._slots = demand, slots
        self._held: set[str] = set()

    def find(self, method: str) -> Demand | None:
        """Return the demand as long as fewer trials run than may."""
        return self._demand if len(self._held) < self._slots() else None

    def hold(self, trial: str, demand: Demand) -> None:
        """Count a trial."""
        self._held.add(trial)

    def release(self, trial: str) -> None:
        """Count it no more."""
        self._held.discard(trial)


class Placement:
    """Where the trials of a sweep go.

    A number of GPUs in the sweep file holds for all trials. With ``auto`` a trial gets, on each kind of card, the share
    that its method needs there; where there are several kinds, a trial is tied to one. A method that was not measured
    gets whole cards. Where there are no GPUs, trials hold CPU cores only.

    Args:
        spec: of the sweep.
        least_share: returns the least share for a method on a kind of card since its trials ran out of memory there; 0
            if none did.
        room: of the cluster.
        kinds: of cards that the cluster has or may get.
    """

    def __init__(
        self,
        spec: SweepSpec,
        least_share: Callable[[str, str], float],
        room: Room,
        kinds: tuple[CardKind, ...] = (),
    ) -> None:
        self.kinds = kinds
        self.measured: dict[str, Measured] = {}
        self._spec, self._least_share, self._room = spec, least_share, room
        self._held: dict[str, Demand] = {}
        self._asked: tuple[ClusterCapacity, list[list[Demand]]] | None = None
        self._at_once = 0

    def find(self, method: str) -> Demand | None:
        """Return what the next trial of a method would hold, on the first kind of card where there is room now."""
        held = self._held.values()
        return next((demand for demand in self.options(method) if self._room.fits(held, demand)), None)

    def hold(self, trial: str, demand: Demand) -> None:
        """Note that a trial holds this from now on."""
        self._held[trial] = demand

    def release(self, trial: str) -> None:
        """Note that a trial holds nothing any more."""
        self._held.pop(trial, None)

    def options(self, method: str) -> list[Demand]:
        """Return what a trial of a method may hold, the preferred one first."""
        resources = self._spec.resources
        if resources.gpus_per_worker != "auto":
            cores = min((kind.cores for kind in self.kinds), default=1.0)
            gpus = self._at_least(resources.gpus_per_worker, method, "")
            return [self._demand(gpus, cores)]
        if not self.kinds:
            return [self._demand(0.0, 1.0)]
        tied = len(self.kinds) > 1
        return [
            self._demand(self._at_least(self._share(method, kind), method, kind.name), kind.cores, tied * kind.name)
            for kind in self.kinds
        ]

    def least_worker(self) -> dict[str, float]:
        """Return what a node must have, as Ray names it, to hold any trial's worker."""
        options = [demand for method in self._spec.methods for demand in self.options(method)]
        gpus = min(demand.gpus for demand in options)
        return {"CPU": min(demand.cpus for demand in options), **({"GPU": gpus} if gpus else {})}

    def room_for_faces(self, method: str, demand: Demand) -> int | None:
        """Return how many bytes of its card a trial may fill with a copy of the faces; None if that is not known."""
        measured = self.measured.get(demand.kind or (self.kinds[0].name if self.kinds else ""))
        if not demand.gpus or measured is None or method not in measured.peaks:
            return None
        return max(0, int(min(demand.gpus, 1.0) * measured.card_bytes - bytes_needed(measured.peaks[method])))

    def trials_at_once(self) -> int:
        """Return how many trials run at once as long as every method has some left, at least 1."""
        asked = self._room.capacity(), [self.options(method) for method in self._spec.methods]
        if asked != self._asked:
            self._asked, self._at_once = asked, self._room.fill(asked[1])
        return max(self._at_once, len(self._held), 1)

    def shared_kinds(self) -> list[CardKind]:
        """Return the kinds of cards on which several trials may have room: where memory must be known."""
        alone = self._spec.resources.gpus_per_worker != "auto" or self._spec.in_trainer
        return [] if alone else [kind for kind in self.kinds if kind.cards and self._most(kind) > 1]

    def check_fits(self, capacity: ClusterCapacity) -> None:
        """Refuse a sweep with a method for whose trials even the full cluster has no room.

        Raises:
            SpecError: with what is missing.
        """
        for method in self._spec.methods:
            options = self.options(method)
            if not any(capacity.can_place(demand) for demand in options):
                capacity.check_fits(options[0])

    def decisions(self) -> list[Placed]:
        """Return what trials hold of each kind of card, as the log keeps it; nothing where there are no GPUs."""
        found = []
        for method in self._spec.methods:
            for kind, demand in zip(self.kinds, self.options(method), strict=False):
                measured = self.measured.get(kind.name)
                card, size = (measured.card, measured.card_bytes) if measured else (kind.name, None)
                peak = measured.peaks.get(method) if measured else None
                placed = Placed(
                    method=method, card=card, gpus=demand.gpus, cpus=demand.cpus, peak_bytes=peak, card_bytes=size
                )
                found += [placed] if demand.gpus else []
        return found

    def describe(self) -> Iterator[str]:
        """Yield what ``auto`` has decided, one line for each kind of card; nothing where the sweep file decides."""
        if self._spec.resources.gpus_per_worker != "auto":
            return
        if not self.kinds:
            yield "no GPUs: trials run on CPU cores"
        for kind in self.kinds:
            measured = self.measured.get(kind.name)
            name = (measured.card if measured else "") or kind.name or "GPU"
            memory = f", {measured.card_bytes / 2**30:.3g} GiB each" if measured else ""
            known = (
                ""
                if measured or kind not in self.shared_kinds()
                else "; less where a first run shows that less will do"
            )
            count = f"{kind.cards} x " if kind.cards else ""
            yield f"{count}{name}{memory}: {'; '.join(self._shares_in_words(kind))}{known}"

    def _shares_in_words(self, kind: CardKind) -> Iterator[str]:
        by_share: dict[float, list[str]] = {}
        for method in self._spec.methods:
            share = self._at_least(self._share(method, kind), method, kind.name)
            peak = self.measured[kind.name].peaks.get(method) if kind.name in self.measured else None
            by_share.setdefault(share, []).append(method + (f" ({peak / 2**30:.3g} GiB)" if peak else ""))
        for share, methods in sorted(by_share.items()):
            what = "a whole card each" if share == 1 else f"{share:g} of a card each"
            yield f"{what} for trials of {', '.join(methods)}"

    def _share(self, method: str, kind: CardKind) -> float:
        measured = self.measured.get(kind.name)
        if measured is None or method not in measured.peaks or self._spec.in_trainer:
            return 1.0
        return share_of(trials_per_card(measured.peaks[method], measured.card_bytes, self._most(kind)))

    def _most(self, kind: CardKind) -> int:
        """Return how many trials may share a card: each needs a core."""
        return max(1, min(self._spec.resources.most_per_gpu, int(kind.cores // self._spec.resources.threads)))

    def _at_least(self, gpus: float, method: str, kind: str) -> float:
        return max(gpus, self._least_share(method, kind)) if gpus else gpus

    def _demand(self, gpus: float, cores: float, kind: str = "") -> Demand:
        resources, data_cpus = self._spec.resources, self._spec.data_cpus
        cpus: float = resources.threads
        if resources.cpus_per_worker == "auto" and gpus:
            cpus = cores_of_trial(cores, gpus) - data_cpus
            cpus = cpus if cpus >= 1 or not data_cpus else 1
        return Demand(resources.workers, cpus or 1, gpus, data_cpus, kind)


def room_for(spec: SweepSpec, capacity: Callable[[], ClusterCapacity] = current_capacity) -> Room:
    """Return the room for the trials of a sweep, within its own limit."""
    limit = spec.resources.max_concurrent
    return Room(None if limit == "auto" else limit, capacity)


def placement_here(plan: Plan, pool: str) -> Placement:
    """Return where the trials of a sweep would go on this machine, by what is known of it; starts nothing.

    Args:
        plan: of the sweep.
        pool: key of its pool.
    """
    capacity = ClusterCapacity((this_machine(),))
    kinds = card_kinds(capacity)
    placement = Placement(plan.spec, lambda method, kind: 0.0, room_for(plan.spec, lambda: capacity), kinds)
    if kinds and (known := MemoryFile(pool).known(short_trials(plan))):
        placement.measured = {kinds[0].name: known}
    return placement


def least_share_of(coordinator: Coordinator) -> Callable[[str, str], float]:
    """Return a function that gives a method's least share of a kind of card, by what the log has on memory."""

    def least(method: str, kind: str) -> float:
        return doubled(max(coordinator.out_of_memory.get((method, name), 0.0) for name in {kind, ""}))

    return least


def next_placed(
    coordinator: Coordinator, places: Places, busy: Collection[str] = ()
) -> tuple[Assignment, Demand] | None:
    """Hand out the next trial for which there is room, and what it will hold; None if there is none.

    Args:
        coordinator: of the sweep.
        places: says what there is room for.
        busy: trials that must not be taken up again yet.
    """
    asked: dict[str, Demand | None] = {}

    def fits(method: str, trial: str) -> bool:
        if trial in busy:
            return False
        if method not in asked:
            asked[method] = places.find(method)
        return asked[method] is not None

    assignment = coordinator.next_assignment(fits)
    demand = assignment and asked[assignment.cell.method]
    return (assignment, demand) if assignment and demand else None


class Announcer:
    """Says and logs what trials hold, at the start and after each correction.

    Args:
        placement: that decides.
        log: writes one event.
        say: shows one line.
    """

    def __init__(self, placement: Placement, log: Callable[[Event], None], say: Callable[[str], None]) -> None:
        self._placement, self._log, self._say = placement, log, say
        self._logged: set[Placed] = set()
        self._said: set[str] = set()

    def update(self) -> None:
        """Log and say what has not been yet."""
        for placed in self._placement.decisions():
            if placed not in self._logged:
                self._logged.add(placed)
                self._log(placed)
        for line in self._placement.describe():
            if line not in self._said:
                self._said.add(line)
                self._say(line)
