"""One protocol: the domains that train, the unseen ones that judge, and the rule that gives each row its role."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fasray.errors import DataError, ProtocolError, SpecError, did_you_mean
from fasray.protocols.checks import check_columns, check_roles
from fasray.protocols.oulu import OuluRun, oulu_roles
from fasray.protocols.roles import Roles, RowTable

RULE_VERSION = 1
"""Part of every fingerprint: raise it when a rule of this package changes who gets which role."""

DEV_FRACTION = 0.2
"""Share of a source domain's subjects that become source-dev where the dataset has no official dev split."""

INNER = "/"
"""Stands between the name of a protocol and the source domain that its inner protocol leaves out."""

ALSO = ","
"""Stands between the targets of protocols with the same sources, which one training serves."""

TargetSplit = Literal["train+test", "all", "test"]
_TARGET_SPLITS: dict[str, tuple[str, ...]] = {
    "train+test": ("train", "test"),
    "all": ("train", "dev", "test"),
    "test": ("test",),
}


@dataclass(frozen=True)
class Protocol:
    """Who is source and who is target; ``assign`` applies it to a table of rows.

    Source rows: a domain with official ``dev`` rows keeps them as source-dev and trains on the others; any other
    domain gives ``DEV_FRACTION`` of its subjects, those of the lowest sha256(domain|subject), to source-dev. Target
    rows: ``target_split``. OULU-NPU's own protocols follow their official splits instead (``oulu``).
    """

    name: str
    group: str
    """The group it is listed in; ``custom`` for any other A&B->C."""
    sources: tuple[str, ...]
    """Datasets that train, in the order of the domain ids."""
    target: str
    """Dataset that judges."""
    target_split: TargetSplit = "train+test"
    """Which official splits of the target judge; the literature's lists leave out ``dev``."""
    oulu: OuluRun | None = None
    """Filters of an OULU-NPU run; its training domains are the phones."""
    aggregate: str = ""
    """Name under which the metrics of this run and its siblings are averaged (``oulu-npu-3``); empty: alone."""
    headline: Literal["hter", "acer"] = "hter"
    """The figure that the protocol's literature reports."""
    inner_of: str = ""
    """Fingerprint of the protocol that this one is an inner one of (``without``); empty for any other."""
    inner_of_sources: str = ""
    """Source fingerprint of that protocol."""
    also: tuple[str, ...] = ()
    """Further targets: ``O->C,I,M`` is three protocols (``parts``) that train the same."""

    def __post_init__(self) -> None:
        if self.target_split not in get_args(TargetSplit):
            raise SpecError(
                f"{self.target_split!r} is not a target split",
                where="target_split",
                remedy=did_you_mean(self.target_split, get_args(TargetSplit)),
            )

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the training domains: the sources, or for OULU-NPU runs the phones seen in training."""
        return self.oulu.domains if self.oulu is not None else self.sources

    @property
    def datasets(self) -> tuple[str, ...]:
        """Every dataset that must be in the data, sources first."""
        return tuple(dict.fromkeys((*self.sources, self.target, *self.also)))

    @property
    def source_name(self) -> str:
        """Name of what trains: ``O&C&I`` of ``O&C&I->M``; an OULU-NPU run is the only one with its sources."""
        return self.name if self.oulu is not None else "&".join(self.sources)

    @property
    def parts(self) -> tuple[Protocol, ...]:
        """The protocols with one target each that this one means; itself if there is one target."""
        if not self.also:
            return (self,)
        single = replace(self, also=())
        return tuple(
            replace(single, name=f"{self.source_name}->{target}", target=target) for target in (self.target, *self.also)
        )

    def without(self, domain: str) -> Protocol:
        """Return the inner protocol ``A&B&C->T/A``: B and C train, A judges, and T takes no part in it.

        It is not ``B&C->A``: its fingerprint says whose inner protocol it is, so that its trials are its own.

        Raises:
            ProtocolError: there is no such source domain, none would be left, or the protocol has no inner ones.
        """
        if self.oulu is not None or self.inner_of:
            kind = "its domains are the phones of one dataset" if self.oulu else "it is an inner protocol already"
            raise ProtocolError(f"no source domain of {self.name} can be left out: {kind}", where="protocols")
        if domain not in self.sources:
            raise ProtocolError(
                f"{domain!r} is not among the sources of {self.name}",
                where="protocols",
                remedy=did_you_mean(domain, self.sources),
            )
        if len(self.sources) < 2:
            raise ProtocolError(f"{domain} cannot be left out of {self.name}: it is the only source", where="protocols")
        sources = tuple(source for source in self.sources if source != domain)
        return Protocol(
            f"{self.name}{INNER}{domain}",
            "inner",
            sources,
            domain,
            self.target_split,
            inner_of=self.fingerprint(),
            inner_of_sources=self.source_fingerprint(),
        )

    def fingerprint(self) -> str:
        """Return 16 hex digits that change whenever any rule changes who gets which role."""
        rules = {
            "version": RULE_VERSION,
            "sources": self.sources,
            "target": self.target,
            "target_split": "test" if self.oulu else self.target_split,
            "dev": "official" if self.oulu else f"official dev split, else {DEV_FRACTION} of subjects by sha256 rank",
            "oulu": asdict(self.oulu) if self.oulu else None,
            **({"inner_of": self.inner_of} if self.inner_of else {}),
            **({"also": self.also} if self.also else {}),
        }
        return _short_hash(rules)

    def source_fingerprint(self) -> str:
        """Return 16 hex digits that change whenever any rule changes what trains and what chooses.

        Protocols that differ in their targets alone have the same one.
        """
        if self.oulu is not None:
            return self.fingerprint()
        rules = {
            "version": RULE_VERSION,
            "sources": self.sources,
            "dev": f"official dev split, else {DEV_FRACTION} of subjects by sha256 rank",
            **({"left_out": self.target, "inner_of": self.inner_of_sources} if self.inner_of else {}),
        }
        return _short_hash(rules)

    def assign(self, table: RowTable) -> Roles:
        """Return the role of every row of ``table``.

        The answer depends on the rows' content alone; rows of other datasets have no role.

        Raises:
            ProtocolError: a dataset is missing, a role is empty, or a subject would be in two roles.
            DataError: a subject is in two splits, a domain or one of its roles has one class only, a value that the
                protocol must read is not known.
        """
        check_columns(table, self.datasets, self.name)
        roles = oulu_roles(table, self.oulu) if self.oulu is not None else self._cross_dataset_roles(table)
        check_roles(table, roles, self.name)
        return roles

    def _cross_dataset_roles(self, table: RowTable) -> Roles:
        domain_id = np.full(len(table.label), -1, np.int64)
        dev = np.zeros(len(table.label), np.bool_)
        for position, domain in enumerate(self.sources):
            rows = np.flatnonzero(table.domain == domain)
            domain_id[rows] = position
            official = np.asarray(table.split[rows] == "dev")
            if official.any():
                dev[rows] = official
            else:
                dev[rows] = np.isin(table.subject[rows], dev_subjects(domain, table.subject[rows]))
        judged = np.isin(table.split, _TARGET_SPLITS[self.target_split])
        targets = {part.name: np.flatnonzero((table.domain == part.target) & judged) for part in self.parts}
        source = domain_id >= 0
        train, source_dev = np.flatnonzero(source & ~dev), np.flatnonzero(dev)
        return Roles(
            train,
            source_dev,
            np.unique(np.concatenate(list(targets.values()))),
            self.sources,
            domain_id,
            targets if self.also else {},
        )


def with_same_sources(protocols: Sequence[Protocol]) -> list[Protocol]:
    """Return the protocols with those joined into one that differ in their targets alone, by their first."""
    found: dict[str, list[Protocol]] = {}
    for protocol in protocols:
        found.setdefault(protocol.source_fingerprint(), []).append(protocol)
    return [_joined(same) for same in found.values()]


def _joined(protocols: Sequence[Protocol]) -> Protocol:
    first, also = protocols[0], tuple(protocol.target for protocol in protocols[1:])
    if not also:
        return first
    return replace(first, name=ALSO.join((first.name, *also)), group="custom", also=also)


def _short_hash(rules: Any) -> str:
    canonical = json.dumps(rules, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def dev_subjects(domain: str, subjects: NDArray[np.str_]) -> list[str]:
    """Return the subjects of a domain that choose instead of training: at least one, never all.

    Rank by sha256 and not a draw: adding a person moves few others, and no seed decides.

    Raises:
        DataError: the domain has one subject only.
    """
    everyone = [str(name) for name in np.unique(subjects)]
    if len(everyone) < 2:
        raise DataError(
            f"domain {domain!r} has one subject only, so none can be kept from training",
            where=domain,
            remedy="a source domain needs two subjects or an official dev split",
        )
    ranked = sorted(everyone, key=lambda name: hashlib.sha256(f"{domain}|{name}".encode()).hexdigest())
    count = min(max(1, round(DEV_FRACTION * len(everyone))), len(everyone) - 1)
    return ranked[:count]
