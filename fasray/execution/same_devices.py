"""Keeps a run on the kinds of devices that it was started on, unless its user wants otherwise."""

from __future__ import annotations

import re
from collections.abc import Collection

from fasray.errors import SpecError
from fasray.execution.hardware import device_for
from fasray.execution.placement import Placement
from fasray.runs.events import Placed
from fasray.sweep.coordinator import Coordinator

CPU = "cpu"
ANY_DEVICE_OPTION = "--any-device"


def devices_of(placement: Placement, methods: Collection[str]) -> frozenset[str]:
    """Return what trials will be computed on: ``cpu``, and kinds of cards as Ray names them, empty for unknown ones."""
    used = {device_for(demand) for method in methods for demand in placement.options(method)}
    cards = {kind.name for kind in placement.kinds} or {""}
    return frozenset(({CPU} & used) | (cards if used - {CPU} else set()))


def check_same_devices(coordinator: Coordinator, placed: Collection[Placed], devices: Collection[str]) -> None:
    """Refuse to go on with a run on a kind of device that none of its numbers was computed on.

    Args:
        coordinator: that has replayed the log.
        placed: what the log says of the cards that trials were given; those are known kinds, too.
        devices: of :func:`devices_of`.

    Raises:
        SpecError: names both kinds, and the option that allows it.
    """
    recorded = sorted({r.device for record in coordinator.records.values() for r in record.readings if r.device})
    known = [*recorded, *({each.card for each in placed} if set(recorded) - {CPU} else ())]
    new = sorted(device for device in devices if not any(_is_kind(name, device) for name in known))
    if recorded and new:
        raise another_device(recorded, [device or "a GPU" for device in new])


def another_device(recorded: Collection[str], new: Collection[str]) -> SpecError:
    """Return the error of a run or a trial that would go on on another kind of device."""
    return SpecError(
        f"what is there so far was computed on {', '.join(recorded)}; it would go on on {', '.join(new)}, which rounds "
        "differently",
        where="resuming on another kind of device",
        remedy=f"resume it where it was, or add {ANY_DEVICE_OPTION} to mix both",
    )


def _is_kind(device: str, kind: str) -> bool:
    """Return whether a device, ``NVIDIA A100-SXM4-80GB``, is of a kind, ``A100``; any card is of an unknown one."""
    if CPU in (device, kind) or not kind:
        return device == kind if kind else device != CPU
    words, wanted = (re.split(r"[\s-]+", name.casefold()) for name in (device, kind))
    return any(words[at : at + len(wanted)] == wanted for at in range(len(words)))
