"""OULU-NPU's own four protocols: which sessions, phones and attack instruments train, and which are unseen.

Boulkenafet et al., "OULU-NPU: a mobile face presentation attack database with real-world variations", FG 2017,
section IV. 55 subjects (20 train, 15 dev, 20 test) x 6 phones x 3 sessions x 5 kinds of video (live, print by two
printers, replay on two displays). Protocol 1 leaves a session out, 2 the instruments, 3 a phone (six runs), 4 all
three (six runs). Dev follows the train filter, the target is the official test split under the test filter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fasray.errors import DataError
from fasray.protocols.roles import LIVE, Roles, RowTable

OULU_DOMAIN = "O"
PHONES = (1, 2, 3, 4, 5, 6)
_TRAILING_NUMBER = re.compile(r"(\d+)$")


@dataclass(frozen=True)
class OuluFilter:
    """Which videos of a split take part; live videos pass any ``instruments``."""

    phones: tuple[int, ...] = PHONES
    sessions: tuple[int, ...] = (1, 2, 3)
    instruments: tuple[int, ...] = (1, 2)
    """1: printer 1 and display 1 (file types 2 and 4); 2: printer 2 and display 2 (types 3 and 5)."""


@dataclass(frozen=True)
class OuluRun:
    """One run of one protocol: the filter of train and dev, and that of test."""

    source: OuluFilter
    target: OuluFilter

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the training domains: the phones that are seen."""
        return tuple(phone_name(phone) for phone in self.source.phones)


def phone_name(phone: int) -> str:
    """Return the training domain's name of a phone, for example ``O/phone3``."""
    return f"{OULU_DOMAIN}/phone{phone}"


def official_runs() -> dict[str, OuluRun]:
    """Return the 14 published runs by name."""
    runs = {
        "oulu-npu-1": OuluRun(OuluFilter(sessions=(1, 2)), OuluFilter(sessions=(3,))),
        "oulu-npu-2": OuluRun(OuluFilter(instruments=(1,)), OuluFilter(instruments=(2,))),
    }
    others = {k: tuple(phone for phone in PHONES if phone != k) for k in PHONES}
    for k in PHONES:
        runs[f"oulu-npu-3.{k}"] = OuluRun(OuluFilter(phones=others[k]), OuluFilter(phones=(k,)))
    for k in PHONES:
        runs[f"oulu-npu-4.{k}"] = OuluRun(
            OuluFilter(phones=others[k], sessions=(1, 2), instruments=(1,)),
            OuluFilter(phones=(k,), sessions=(3,), instruments=(2,)),
        )
    return runs


def oulu_roles(table: RowTable, run: OuluRun) -> Roles:
    """Return the rows of one run; nothing is checked yet but that the columns can be read.

    The number at the end of ``camera``, ``session`` and ``instrument`` is what counts (``phone3``, ``session2``,
    ``print1`` or ``printer1``).

    Raises:
        DataError: a camera, a session or an attack's instrument of domain O does not end in a number.
    """
    rows = np.flatnonzero(table.domain == OULU_DOMAIN)
    phone = _numbers(table.camera[rows], "camera")
    session = _numbers(table.session[rows], "session")
    instrument = np.zeros(len(rows), np.int64)
    attack = table.label[rows] != LIVE
    instrument[attack] = _numbers(table.instrument[rows][attack], "instrument")

    def passing(rule: OuluFilter, split: str) -> NDArray[np.bool_]:
        of_split = np.asarray(table.split[rows] == split)
        seen = np.isin(phone, rule.phones) & np.isin(session, rule.sessions)
        return np.asarray(of_split & seen & (~attack | np.isin(instrument, rule.instruments)), np.bool_)

    train, dev, test = passing(run.source, "train"), passing(run.source, "dev"), passing(run.target, "test")
    position = np.full(max(PHONES) + 1, -1, np.int64)
    position[list(run.source.phones)] = np.arange(len(run.source.phones))
    domain_id = np.full(len(table.label), -1, np.int64)
    domain_id[rows[train | dev]] = position[phone[train | dev]]
    return Roles(rows[train], rows[dev], rows[test], run.domains, domain_id)


def _numbers(values: NDArray[np.str_], column: str) -> NDArray[np.int64]:
    distinct, inverse = np.unique(values, return_inverse=True)
    found = [_TRAILING_NUMBER.search(str(value)) for value in distinct]
    bad = [str(value) for value, match in zip(distinct, found, strict=True) if match is None]
    if bad:
        raise DataError(
            f"{column} {bad[0]!r} of domain {OULU_DOMAIN} does not end in its number",
            where=column,
            remedy="OULU-NPU protocols need cameras phone1..phone6, sessions 1..3 and instruments ..1, ..2;"
            " other data under the letter O can only take part in protocols of the form A&B->C",
        )
    numbers = np.array([int(match.group(1)) for match in found if match is not None], np.int64)
    return numbers[inverse]
