"""The named protocols, their groups, and how names in a sweep become protocols."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from fasray.errors import ProtocolError, SpecError, did_you_mean
from fasray.protocols.oulu import OULU_DOMAIN, official_runs
from fasray.protocols.protocol import ALSO, INNER, Protocol, TargetSplit, with_same_sources

DOMAIN_TITLES = {
    "O": "OULU-NPU",
    "C": "CASIA-FASD",
    "I": "Replay-Attack (Idiap)",
    "M": "MSU-MFSD",
    "Y": "ROSE-Youtu",
    "CA": "CelebA-Spoof",
    "SURF": "CASIA-SURF",
    "CeFA": "CASIA-SURF CeFA",
    "WMCA": "WMCA",
}
"""What the letters and names of domains mean; a generated set borrows them."""

_LETTER_PROTOCOLS = {
    "ocim": ("O&C&I->M", "O&M&I->C", "O&C&M->I", "I&C&M->O"),
    "limited-source": ("M&I->C", "M&I->O"),
    "single-source": tuple(f"{source}->{target}" for source, target in itertools.permutations("OCIM", 2)),
    "cimy": ("C&I&M->Y", "C&I&Y->M", "C&M&Y->I", "I&M&Y->C"),
    "wcs": ("SURF&CeFA->WMCA", "SURF&WMCA->CeFA", "CeFA&WMCA->SURF"),
}

GROUPS: dict[str, tuple[str, ...]] = {
    **_LETTER_PROTOCOLS,
    "oulu-npu": tuple(official_runs()),
    "oulu-npu-3": tuple(name for name in official_runs() if name.startswith("oulu-npu-3.")),
    "oulu-npu-4": tuple(name for name in official_runs() if name.startswith("oulu-npu-4.")),
    "one-source-12": _LETTER_PROTOCOLS["single-source"],
    "celeba-7": ("CA->M,C,I,O,WMCA,CeFA,SURF",),
}
"""Group name -> names of its protocols, in the order of the literature's tables."""

_MEANS = ("one-source-12", "celeba-7", "wcs")
"""Groups of which the literature reports the mean, too; a table has it where a sweep asks for the group by name."""

_GROUP_OF = {name: group for group, members in _LETTER_PROTOCOLS.items() for name in members}
_OULU_RUNS = official_runs()
_DOMAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Listing:
    """One line of ``fasray protocols``."""

    name: str
    group: str
    sources: str
    target: str
    domains: int
    """Number of training domains."""
    headline: str
    """``hter`` or ``acer``."""
    note: str


def names() -> list[str]:
    """Return the names of all registered protocols, group by group."""
    return [*_GROUP_OF, *_OULU_RUNS]


def parse(name: str, target_split: TargetSplit = "train+test") -> Protocol:
    """Return the protocol of one name: a registered one or any ``A&B->C``; spaces do not count.

    ``A->B,C`` is ``A->B`` and ``A->C``, which train the same (``Protocol.parts``). ``A&B&C->T/A`` is the inner protocol
    of ``A&B&C->T`` that leaves A out (``Protocol.without``). ``target_split`` is ignored by OULU-NPU's own protocols,
    whose target is the official test split.

    Raises:
        SpecError: the name is malformed.
        ProtocolError: no such protocol, a source is named twice, or the target is among the sources.
    """
    plain = "".join(name.split())
    outer, inner, left_out = plain.rpartition(INNER)
    if inner:
        return parse(outer, target_split).without(left_out)
    if plain in _OULU_RUNS:
        stem, _, run = plain.partition(".")
        return Protocol(
            plain,
            "oulu-npu",
            sources=(OULU_DOMAIN,),
            target=OULU_DOMAIN,
            target_split="test",
            oulu=_OULU_RUNS[plain],
            aggregate=stem if run else "",
            headline="acer",
        )
    if "->" not in plain:
        raise ProtocolError(
            f"there is no protocol {name!r}", where="protocols", remedy=did_you_mean(plain, [*GROUPS, *names()])
        )
    left, _, target = plain.partition("->")
    if ALSO in target:
        targets = target.split(ALSO)
        if len(set(targets)) < len(targets):
            raise ProtocolError(
                f"protocol {name!r} names a target twice", where="protocols", remedy="name each target domain once"
            )
        (joined,) = with_same_sources([parse(f"{left}->{one}", target_split) for one in targets])
        return joined
    sources = tuple(left.split("&"))
    for domain in (*sources, target):
        if not _DOMAIN.fullmatch(domain):
            raise SpecError(
                f"{name!r} is not a protocol: {domain!r} is no domain's name",
                where="protocols",
                remedy="write sources and target like O&C&I->M",
            )
    if len(set(sources)) < len(sources):
        raise ProtocolError(
            f"protocol {name!r} names a source twice", where="protocols", remedy="name each source domain once"
        )
    if target in sources:
        raise ProtocolError(
            f"leak in protocol {name!r}: the target {target!r} is among its sources",
            where="protocols",
            remedy="a target domain must be unseen; leave it out of the sources",
        )
    canonical = f"{'&'.join(sources)}->{target}"
    return Protocol(canonical, _GROUP_OF.get(canonical, "custom"), sources, target, target_split)


def part_names(name: str) -> tuple[str, ...]:
    """Return the names of the protocols with one target each that a name means, as ``Protocol.parts`` does.

    >>> part_names("O->C,I"), part_names("O&C->I,M/O"), part_names("O&C&I->M")
    (('O->C', 'O->I'), ('O&C->I/O', 'O&C->M/O'), ('O&C&I->M',))
    """
    outer, inner, left_out = name.partition(INNER)
    sources, arrow, targets = outer.partition("->")
    return tuple(f"{sources}{arrow}{target}{inner}{left_out}" for target in targets.split(ALSO))


def outer_name(name: str) -> str:
    """Return the name of the protocol that an inner one belongs to; of any other its own."""
    return name.partition(INNER)[0]


def resolve(
    wanted: Sequence[str], available_domains: Iterable[str], target_split: TargetSplit = "train+test"
) -> list[Protocol]:
    """Return the protocols that names and groups stand for, in the order asked, each once.

    Args:
        wanted: group names, protocol names, any ``A&B->C``, or ``A&B->C,D`` for one protocol for each target.
        available_domains: the domains that the data has.
        target_split: see ``Protocol``.

    Raises:
        SpecError: a name is malformed or nothing is wanted.
        ProtocolError: no such protocol, or a domain that it needs is not in the data.
    """
    if not wanted:
        raise SpecError("no protocol is named", where="protocols", remedy=f"groups: {', '.join(GROUPS)}")
    available = sorted(set(available_domains))
    found: dict[str, Protocol] = {}
    for protocol in _asked(wanted, target_split):
        missing = [domain for domain in protocol.datasets if domain not in available]
        if missing:
            raise ProtocolError(
                f"protocol {protocol.name} needs domain {missing[0]!r}, which is not in the data",
                where="protocols",
                remedy=f"the data has: {', '.join(available) or 'no domain'}",
            )
        for part in protocol.parts:
            found.setdefault(part.name, replace(part, group=_GROUP_OF.get(part.name, part.group)))
    return list(found.values())


def names_in_order(wanted: Iterable[str]) -> list[str]:
    """Return the names of the protocols that names and groups stand for, as :func:`resolve` orders them.

    >>> names_in_order(["O->C,I", "O->C", "M&I->C"])
    ['O->C', 'O->I', 'M&I->C']
    """
    return list(dict.fromkeys(part.name for protocol in _asked(wanted) for part in protocol.parts))


def mean_rows(wanted: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the means over protocols that a table has, by name, with the names of the protocols in each.

    There is one for every protocol that is asked with several targets, for each group of ``_MEANS`` that is asked by
    name, and for each family of runs (``Protocol.aggregate``) of which all runs are asked in whatever way.

    Args:
        wanted: names and groups, as the sweep file has them.

    >>> mean_rows(["O->C,I", "O->M"])
    {'O->C,I': ('O->C', 'O->I')}
    """
    wanted = tuple("".join(item.split()) for item in wanted)
    found: dict[str, tuple[str, ...]] = {}
    for item in wanted:
        if item in _MEANS:
            found[item] = tuple(names_in_order([item]))
        elif item not in GROUPS and len(members := parse(item).parts) > 1:
            found[parse(item).name] = tuple(member.name for member in members)
    asked = dict.fromkeys(names_in_order(wanted))
    for family in dict.fromkeys(parse(name).aggregate for name in asked):
        if family and all(member in asked for member in GROUPS[family]):
            found[family] = GROUPS[family]
    return found


def _asked(wanted: Iterable[str], target_split: TargetSplit = "train+test") -> Iterator[Protocol]:
    """Yield the protocol of each name, those of a group one by one."""
    for item in wanted:
        yield from (parse(name, target_split) for name in GROUPS.get("".join(item.split()), (item,)))


def describe() -> list[Listing]:
    """Return one line per registered protocol for people to read."""
    return [_listing(parse(name)) for name in names()]


def _listing(protocol: Protocol) -> Listing:
    if protocol.oulu is None:
        sources = ", ".join(DOMAIN_TITLES.get(domain, domain) for domain in protocol.sources)
        target = DOMAIN_TITLES.get(protocol.target, protocol.target)
        note = "target: train + test videos, without dev"
    else:
        seen, unseen = protocol.oulu.source, protocol.oulu.target
        sources, target = (
            f"phones {_span(rule.phones)}, sessions {_span(rule.sessions)}, instruments {_span(rule.instruments)}"
            for rule in (seen, unseen)
        )
        note = "official train, dev and test subjects"
        if protocol.aggregate:
            note += f"; one of six runs of {protocol.aggregate}"
    return Listing(protocol.name, protocol.group, sources, target, len(protocol.domains), protocol.headline, note)


def _span(numbers: Sequence[int]) -> str:
    run = len(numbers) > 2 and list(numbers) == list(range(numbers[0], numbers[-1] + 1))
    return f"{numbers[0]}-{numbers[-1]}" if run else ",".join(map(str, numbers))
