"""One protocol: the domains that train, the unseen ones that judge, and the rule that gives each row its role."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from fasray.errors import ProtocolError, SpecError, did_you_mean
from fasray.protocols.checks import check_columns, check_roles
from fasray.protocols.crossing import DEV_FRACTION, TARGET_FRACTION, Crossing, TargetSplit, shot_rows
from fasray.protocols.filters import Part, parse_part
from fasray.protocols.lists import SHARED, FixedLists, is_listed
from fasray.protocols.oulu import OuluRun, oulu_roles
from fasray.protocols.roles import Roles, RowTable

RULE_VERSION = 1
"""Part of every fingerprint: raise it when a rule of this package changes who gets which role."""

INNER = "/"
"""Stands between the name of a protocol and the source domain that its inner protocol leaves out."""

ALSO = ","
"""Stands between the targets of protocols with the same sources, which one training serves."""

ARROW = "->"
"""Stands between sources and targets; names without it are registered ones."""

EXTRA = "+"
"""Stands before each extra source, and before the number of shots of a target."""


@dataclass(frozen=True)
class Protocol:
    """Who is source and who is target; ``assign`` applies it to a table of rows by the rules of ``crossing``.

    OULU-NPU's own protocols follow their official splits instead (``oulu``).

    With shots, that many live and as many attack videos of the target train as a domain of their own; none of them is
    source-dev. The people in them are not judged. The literature leaves out the shots' videos alone (the lists of Huang
    et al., ECCV 2022, that FLIP publishes), so that it judges people whom it has seen in training: ``shots_by_video``
    does the same, and the name says so.
    """

    name: str
    group: str
    """The group it is listed in; ``custom`` for any other A&B->C."""
    sources: tuple[str, ...]
    """Datasets that train, or parts of such (``filters``), in the order of the domain ids."""
    target: str
    """Dataset that judges, or a part of one."""
    target_split: TargetSplit = "train+test"
    """Which official splits of a target that is not among the sources judge; the literature leaves out ``dev``."""
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
    extra: tuple[str, ...] = ()
    """Those of the sources, the last ones, that the protocol has in addition to the literature's: ``O&C&I+CA->M``."""
    shots: int = 0
    """Videos of each class of the target that train."""
    shots_by_video: bool = False
    """Whether the people of the shots are judged on their other videos."""
    lists: FixedLists | None = None
    """Those of a protocol of lists; None if they were not read, as wherever a name is all that is needed."""

    def __post_init__(self) -> None:
        if self.target_split not in get_args(TargetSplit):
            raise SpecError(
                f"{self.target_split!r} is not a target split",
                where="target_split",
                remedy=did_you_mean(self.target_split, get_args(TargetSplit)),
            )

    @property
    def listed(self) -> str:
        """What follows the @ in the name of a protocol of lists, their hash first; empty: rules give the roles."""
        return self.name.partition("@")[2] if is_listed(self.name) else ""

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the training domains: the sources, for OULU-NPU runs the phones seen in training, then the shots.

        Fixed lists have none by name: ``assign`` finds theirs in the data.
        """
        if self.oulu is not None:
            return self.oulu.domains
        return (*self.sources, *([shot_name(self.target, self.shots, self.shots_by_video)] if self.shots else []))

    @property
    def datasets(self) -> tuple[str, ...]:
        """Every dataset that must be in the data, sources first; lists name videos, and no dataset."""
        if self.listed:
            return ()
        return tuple(dict.fromkeys(part.domain for part in (*self.source_parts, *self.target_parts)))

    @property
    def source_parts(self) -> tuple[Part, ...]:
        """The sources, read."""
        return tuple(parse_part(text, self.name) for text in self.sources)

    @property
    def target_parts(self) -> tuple[Part, ...]:
        """The targets, read; none of a protocol of lists."""
        return tuple(parse_part(text, self.name) for text in (self.target, *self.also) if text)

    @property
    def marks(self) -> tuple[str, ...]:
        """What parts the protocol from the one that the literature compares on; no table may leave it out."""
        rule = ", whose people are judged" if self.shots_by_video else ""
        shots = [f"{self.shots}-shot{rule}"] if self.shots else []
        return (*(f"+{source}" for source in self.extra), *shots, *(["shared people"] if self._shares_people else []))

    @property
    def in_words(self) -> str:
        """A sentence on who trains and who judges."""
        if self.listed:
            people = ", some of them of the same people" if self._shares_people else ""
            return f"Fixed lists say which videos train, which choose and which judge{people}."
        seen = "people whom it has never seen" if self._on_both_sides else "which it has never seen"
        if self.shots:
            judged = " and whose people are judged on other videos" if self.shots_by_video else ""
            seen = f"of which {self.shots} videos of each class train{judged}"
        return f"Trains on {', '.join(self.domains)}; judged on {', '.join((self.target, *self.also))}, {seen}."

    @property
    def source_name(self) -> str:
        """Name of what trains: ``O&C&I`` of ``O&C&I->M``; the protocol's own where no other trains the same."""
        if self._trains_alone:
            return self.name
        usual = self.sources[: len(self.sources) - len(self.extra)]
        return "&".join(usual) + "".join(f"{EXTRA}{source}" for source in self.extra)

    @property
    def _shares_people(self) -> bool:
        """Whether fixed lists may have people on several sides."""
        return self.listed.endswith(SHARED)

    @property
    def _on_both_sides(self) -> list[str]:
        """Datasets that train and judge, sorted."""
        return sorted({part.domain for part in self.source_parts} & {part.domain for part in self.target_parts})

    @property
    def _trains_alone(self) -> bool:
        """Whether what trains depends on more than the sources, so that it belongs to this protocol alone."""
        return self.oulu is not None or self.shots > 0 or ARROW not in self.name

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
        divided = {
            part.domain for part in self.source_parts if part.domain in self._on_both_sides and not part.asks("split")
        }
        reasons = {
            "its domains are the phones of one dataset": self.oulu,
            "it is an inner protocol already": self.inner_of,
            "its target takes part in training": self.shots,
            f"the people of {', '.join(sorted(divided))} are divided between training and target": divided,
            "fixed lists say what trains": self.listed,
        }
        if kind := next((reason for reason, holds in reasons.items() if holds), ""):
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
            extra=tuple(source for source in self.extra if source != domain),
        )

    def fingerprint(self) -> str:
        """Return 16 hex digits that change whenever any rule changes who gets which role."""
        if self.listed:
            return _short_hash({"version": RULE_VERSION, "lists": self.listed})
        rules = {
            "version": RULE_VERSION,
            "sources": self.sources,
            "target": self.target,
            "target_split": "test" if self.oulu else self.target_split,
            "dev": "official" if self.oulu else f"official dev split, else {DEV_FRACTION} of subjects by sha256 rank",
            "oulu": asdict(self.oulu) if self.oulu else None,
            **({"inner_of": self.inner_of} if self.inner_of else {}),
            **({"also": self.also} if self.also else {}),
            **self._rules_of_sources(),
        }
        return _short_hash(rules)

    def source_fingerprint(self) -> str:
        """Return 16 hex digits that change whenever any rule changes what trains and what chooses.

        Protocols that differ in their targets alone have the same one.
        """
        if self._trains_alone:
            return self.fingerprint()
        rules = {
            "version": RULE_VERSION,
            "sources": self.sources,
            "dev": f"official dev split, else {DEV_FRACTION} of subjects by sha256 rank",
            **({"left_out": self.target, "inner_of": self.inner_of_sources} if self.inner_of else {}),
            **self._rules_of_sources(),
        }
        return _short_hash(rules)

    def _rules_of_sources(self) -> dict[str, Any]:
        """Return what few protocols have, so that the others keep the fingerprints of before there was such."""
        both = [] if self.oulu else self._on_both_sides
        return {
            **({"both_sides": both, "divided": f"official, else {TARGET_FRACTION} of subjects"} if both else {}),
            **({"extra": self.extra} if self.extra else {}),
            **({"shots": self.shots, "shots_by_video": self.shots_by_video} if self.shots else {}),
        }

    def assign(self, table: RowTable) -> Roles:
        """Return the role of every row of ``table``.

        The answer depends on the rows' content alone; rows of other datasets have no role.

        Raises:
            ProtocolError: a dataset is missing, a role is empty, or a subject would be in two roles.
            DataError: a subject is in two splits, a domain or one of its roles has one class only, a value that the
                protocol must read is not known.
        """
        if self.listed and self.lists is None:
            raise ProtocolError(f"the lists of protocol {self.name} were not read", where="protocols")
        if self.lists is not None:
            roles = self.lists.roles(table)
            check_columns(table, roles.domains, self.name)
        else:
            check_columns(table, self.datasets, self.name)
            roles = oulu_roles(table, self.oulu) if self.oulu is not None else self._cross_dataset_roles(table)
        check_roles(table, roles, self.name, self._shared_people())
        return roles

    def _shared_people(self) -> Literal["none", "shots", "all"]:
        return "all" if self._shares_people else "shots" if self.shots_by_video else "none"

    def _cross_dataset_roles(self, table: RowTable) -> Roles:
        crossing = Crossing(table, self.source_parts, self.target_parts, self.target_split, self.name)
        domain_id, dev = crossing.source_rows()
        targets = {
            protocol.name: crossing.target_rows(part)
            for protocol, part in zip(self.parts, self.target_parts, strict=True)
        }
        shots = np.zeros(0, np.int64)
        if self.shots:
            rows = targets[self.name]
            shots = shot_rows(table, rows, self.shots, self.target_parts[0].domain)
            domain_id[shots] = len(self.sources)
            seen = table.video if self.shots_by_video else table.subject
            targets[self.name] = rows[~np.isin(seen[rows], seen[shots])]
        return Roles(
            np.flatnonzero((domain_id >= 0) & ~dev),
            np.flatnonzero(dev),
            np.unique(np.concatenate(list(targets.values()))),
            self.domains,
            domain_id,
            targets if self.also else {},
            shots,
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


def shot_name(target: str, shots: int, by_video: bool) -> str:
    """Return how a target with shots is written: ``M+5shot``, or ``M+5shot-videos``."""
    return f"{target}{EXTRA}{shots}shot{'-videos' if by_video else ''}"


def _short_hash(rules: Any) -> str:
    canonical = json.dumps(rules, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
