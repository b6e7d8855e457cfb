"""A dataset, or some of its rows: ``C[attack!=mask,session=1|2]``, the parts of which protocols are made."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fasray.errors import DataError, ProtocolError, SpecError, did_you_mean
from fasray.protocols.roles import LIVE, SPLITS, RowTable

KEYS = {
    "attack": "attack_type",
    "instrument": "instrument",
    "session": "session",
    "camera": "camera",
    "split": "split",
    "modality": "modality",
    "ethnicity": "ethnicity",
    "sex": "sex",
    "age": "age_group",
}
"""What a condition can ask for, and the column that has it."""

OF_ATTACKS = ("attack", "instrument")
"""Keys that live rows do not have: conditions on them let every live row pass."""

UNKNOWN = "unknown"
"""How a condition names a value that the data does not have; the column is empty there."""

_DOMAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_CONDITION = re.compile(r"(?P<key>[^=!]*)(?P<sign>!?=)(?P<values>[^=!]*)")
_VALUE = re.compile(r"[^\[\]|,=!<>\s]+")


@dataclass(frozen=True, order=True)
class Condition:
    """Rows pass whose value is listed, or with ``excludes`` whose value is not."""

    key: str
    """One of ``KEYS``."""
    excludes: bool
    values: tuple[str, ...]
    """Sorted, each once; ``unknown`` for an empty column."""

    def __str__(self) -> str:
        return f"{self.key}{'!=' if self.excludes else '='}{'|'.join(self.values)}"


@dataclass(frozen=True)
class Part:
    """Rows of one dataset: all of them, or those that pass every condition."""

    domain: str
    conditions: tuple[Condition, ...] = ()
    """Sorted, so that parts that mean the same are equal."""

    def __str__(self) -> str:
        return self.domain + (f"[{','.join(map(str, self.conditions))}]" if self.conditions else "")

    def asks(self, key: str) -> bool:
        """Return whether a condition reads a key."""
        return any(condition.key == key for condition in self.conditions)

    def rows(self, table: RowTable, protocol: str) -> NDArray[np.bool_]:
        """Return [N] which rows of a table are of this part.

        A condition on a row whose value is unknown is neither true nor false, unless conditions on that key name
        ``unknown``; no row may depend on it that the other conditions let pass. Their order does not count.

        Args:
            table: the rows.
            protocol: whose part this is, for messages.

        Raises:
            ProtocolError: no row of the dataset has a value that a condition lists.
            DataError: rows have an unknown value that decides.
        """
        passes, open_keys = np.asarray(table.domain == self.domain, np.bool_), {}
        own, attack = passes.copy(), np.asarray(table.label != LIVE)
        for condition in self.conditions:
            value = without_blanks(column(table, KEYS[condition.key]))
            read = own & attack if condition.key in OF_ATTACKS else own
            self._check_values(condition, value[read], protocol)
            unknown = read & np.isin(value, ("", UNKNOWN))
            listed = np.isin(value, condition.values) | (unknown & (UNKNOWN in condition.values))
            if not any(UNKNOWN in other.values for other in self.conditions if other.key == condition.key):
                open_keys[condition.key] = unknown
                read = read & ~unknown
            passes &= ~read | (listed != condition.excludes)
        for key, unknown in open_keys.items():
            if count := int((passes & unknown).sum()):
                raise DataError(
                    f"protocol {protocol}: {key!r} of {count} of the {int(own.sum())} rows of {self.domain} is unknown,"
                    f" and [{','.join(map(str, self.conditions))}] must read it",
                    where=KEYS[key],
                    remedy=f"add |{UNKNOWN} to the values of {key} to take these rows, {key}!={UNKNOWN} to drop them",
                )
        return passes

    def _check_values(self, condition: Condition, value: NDArray[np.str_], protocol: str) -> None:
        known = set(np.unique(value).tolist()) - {UNKNOWN, ""}
        for wanted in condition.values:
            if wanted not in known | {UNKNOWN} and not (condition.key == "split" and wanted in SPLITS):
                raise ProtocolError(
                    f"protocol {protocol}: no row of {self.domain} has {condition.key} {wanted!r}",
                    where="protocols",
                    remedy=did_you_mean(wanted, known) if known else "it is unknown in every row of this data",
                )


def column(table: RowTable, name: str) -> NDArray[np.str_]:
    """Return a column of words; one that the table does not have is unknown in every row."""
    found: NDArray[Any] | None = getattr(table, name, None)
    return np.full(len(table.label), "") if found is None else found


def without_blanks(values: NDArray[np.str_]) -> NDArray[np.str_]:
    """Return words without white space, as the names of protocols have them."""
    distinct, places = np.unique(values, return_inverse=True)
    return np.array(["".join(word.split()) for word in distinct.tolist()], np.str_)[places]


@lru_cache(maxsize=1024)
def parse_part(text: str, protocol: str) -> Part:
    """Return the part that a text without blanks means.

    Args:
        text: ``C`` or ``C[attack!=mask,session=1|2]``.
        protocol: where it was found, for messages.

    Raises:
        SpecError: it is malformed, a key is unknown, or a value is listed twice.
    """
    domain, bracket, rest = text.partition("[")
    if not _DOMAIN.fullmatch(domain):
        raise SpecError(
            f"{protocol!r} is not a protocol: {domain!r} is no domain's name",
            where="protocols",
            remedy="write sources and target like O&C&I->M",
        )
    if not bracket:
        return Part(domain)
    if not rest.endswith("]") or "[" in rest or "]" in rest[:-1]:
        raise _malformed(protocol, text, "a filter begins with [ after the domain's name and ends with ]")
    conditions = [_condition(part, protocol) for part in rest[:-1].split(",")]
    return Part(domain, tuple(sorted(set(conditions))))


def _condition(text: str, protocol: str) -> Condition:
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise _malformed(protocol, text, "a condition is key=value, key=value|value, or key!=value")
    if match["key"] not in KEYS:
        raise _malformed(
            protocol, text, f"{match['key']!r} is not a key of filters; {did_you_mean(match['key'], KEYS)}"
        )
    values = match["values"].split("|")
    for value in values:
        if not _VALUE.fullmatch(value):
            raise _malformed(protocol, text, f"{match['key']!r} has an empty value, or one with a sign of the grammar")
    if len(set(values)) < len(values):
        raise _malformed(protocol, text, f"{match['key']!r} lists a value twice")
    if match["key"] == "split" and (wrong := sorted(set(values) - {*SPLITS})):
        raise _malformed(protocol, text, f"{wrong[0]!r} is no split; {did_you_mean(wrong[0], SPLITS)}")
    return Condition(match["key"], match["sign"] == "!=", tuple(sorted(values)))


def _malformed(protocol: str, text: str, remedy: str) -> SpecError:
    place = protocol.find(text) if text else -1
    at = f", character {place + 1}" if place >= 0 else ""
    return SpecError(f"protocol {protocol!r} is malformed at {text!r}{at}", where="protocols", remedy=remedy)
