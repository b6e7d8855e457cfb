"""Refuse an assignment of rows that would leak, or that cannot be judged: who overlaps, what is missing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fasray.errors import DataError, ProtocolError
from fasray.protocols.roles import CLASS_NAMES, SPLITS, Roles, RowTable


def check_columns(table: RowTable, domains: Iterable[str], protocol: str) -> None:
    """Check the domains that a protocol uses before rows are assigned.

    Raises:
        ProtocolError: a domain is not in the data.
        DataError: a label is neither 0 nor 1, a split is unknown, a subject is in two splits, a class is missing.
    """
    available = sorted(set(np.unique(table.domain).tolist()))
    for domain in dict.fromkeys(domains):
        rows = np.flatnonzero(table.domain == domain)
        if not len(rows):
            raise ProtocolError(
                f"protocol {protocol} needs domain {domain!r}, which is not in the data",
                remedy=f"the data has: {', '.join(available) or 'no rows at all'}",
            )
        label, split = table.label[rows], table.split[rows]
        if not np.isin(label, tuple(CLASS_NAMES)).all():
            raise DataError(
                f"a label of domain {domain!r} is neither 1 (live) nor 0 (attack)",
                where="label",
                remedy="prepare the data again",
            )
        unknown = sorted(set(np.unique(split).tolist()) - set(SPLITS))
        if unknown:
            raise DataError(
                f"split {unknown[0]!r} of domain {domain!r} is unknown",
                where="split",
                remedy=f"a split is one of: {', '.join(SPLITS)}",
            )
        _check_classes(label, domain, "")
        _check_splits(table.subject[rows], split, domain)


def check_roles(
    table: RowTable, roles: Roles, protocol: str, shared_people: Literal["none", "shots", "all"] = "none"
) -> None:
    """Check an assignment: no role is empty or one-sided and no subject has two roles.

    Args:
        table: the rows.
        roles: what they are used for.
        protocol: its name, for messages.
        shared_people: who may have two roles, on different videos: the people of the shots, or everyone.

    Raises:
        ProtocolError: a role is empty, or a subject is in two roles (a leak).
        DataError: train or source-dev of a training domain, or the target, has one class only.
    """
    parts = {"train": roles.train, "source-dev": roles.source_dev, "target": roles.target}
    for role, rows in parts.items():
        if not len(rows):
            raise ProtocolError(
                f"protocol {protocol} has no {role} rows in this data",
                remedy="look at the data's splits, sessions and cameras with `fasray data stats`",
            )
    few = set(roles.domain_id[roles.shots].tolist())
    for position, domain in enumerate(roles.domains):
        for role in ("train",) if position in few else ("train", "source-dev"):
            rows = parts[role][roles.domain_id[parts[role]] == position]
            _check_classes(table.label[rows], domain, role)
    for name, rows in (roles.targets or {protocol: roles.target}).items():
        if not len(rows):
            raise ProtocolError(
                f"protocol {name} has no target rows in this data",
                remedy=f"leave it out of {protocol}, or look at the data's splits with `fasray data stats`",
            )
        _check_classes(table.label[rows], str(table.domain[rows[0]]), "target")
    subjects = {role: np.unique(table.subject[rows]) for role, rows in parts.items()}
    for one, other in (("train", "source-dev"), ("train", "target"), ("source-dev", "target")):
        both = np.intersect1d(subjects[one], subjects[other])
        if len(both) and (one, other) == ("train", "target") and shared_people == "shots":
            both = np.intersect1d(both, table.subject[np.setdiff1d(roles.train, roles.shots)])
        if len(both) and shared_people != "all":
            raise ProtocolError(
                f"leak in protocol {protocol}: {_some(both)} in both {one} and {other}",
                remedy="a person may have one role only; give people of different domains different subject names",
            )
    videos = np.intersect1d(table.video[roles.shots], table.video[roles.target])
    if len(videos):
        raise ProtocolError(f"leak in protocol {protocol}: video {videos[0]!r} is a shot and would be judged")


def _check_classes(label: NDArray[np.int8], domain: str, role: str) -> None:
    for value, name in CLASS_NAMES.items():
        if not (label == value).any():
            part = f"the {role} rows of domain {domain!r} have" if role else f"domain {domain!r} has"
            raise DataError(
                f"{part} no {name} faces, only one class",
                where=domain,
                remedy="a domain needs live and attack faces in each role; add the missing ones or leave it out",
            )


def _check_splits(subject: NDArray[np.str_], split: NDArray[np.str_], domain: str) -> None:
    names, inverse = np.unique(subject, return_inverse=True)
    splits_of = sum((np.bincount(inverse[split == name], minlength=len(names)) > 0).astype(int) for name in SPLITS)
    twice = names[np.asarray(splits_of) > 1]
    if len(twice):
        raise DataError(
            f"{_some(twice)} of domain {domain!r} in two splits",
            where="split",
            remedy="a person belongs to one of train, dev and test; correct the split or the subject's name",
        )


def _some(subjects: NDArray[np.str_], limit: int = 5) -> str:
    shown = ", ".join(repr(str(name)) for name in subjects[:limit])
    more = f" and {len(subjects) - limit} more" if len(subjects) > limit else ""
    return f"subject{'s' if len(subjects) > 1 else ''} {shown}{more}"
