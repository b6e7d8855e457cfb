"""The named protocols, their groups, and how names in a sweep become protocols."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType

from fasray.errors import ProtocolError, SpecError, did_you_mean
from fasray.protocols.crossing import TargetSplit
from fasray.protocols.filters import Part
from fasray.protocols.grammar import inner_split, plain, read_protocol
from fasray.protocols.lists import FixedLists, is_listed
from fasray.protocols.oulu import OULU_DOMAIN, official_runs
from fasray.protocols.protocol import ARROW, Protocol
from fasray.protocols.published import FILTERED, LISTED, family, needs_lists

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
    "five-shot": tuple(f"{sources}+5shot" for sources in ("O&C&I->M", "O&M&I->C", "O&C&M->I", "I&C&M->O")),
}

_OULU_RUNS = official_runs()


def _runs(stem: str) -> tuple[str, ...]:
    """Return the registered protocols of a corpus, or of one of its protocols."""
    return tuple(name for name in (*_OULU_RUNS, *FILTERED) if name == stem or re.match(rf"{stem}[.-]", name))


GROUPS: dict[str, tuple[str, ...]] = {
    **_LETTER_PROTOCOLS,
    "one-source-12": _LETTER_PROTOCOLS["single-source"],
    "celeba-7": ("CA->M,C,I,O,WMCA,CeFA,SURF",),
    "leave-attack-out": tuple(
        f"SiW-Mv2[attack!={kind}]->SiW-Mv2[attack={kind}]" for kind in ("print", "replay", "mask", "partial", "makeup")
    ),
    **{
        stem: _runs(stem)
        for stem in (
            "oulu-npu", "oulu-npu-3", "oulu-npu-4", "siw-mv2-2", "cefa", "cefa-1", "cefa-2", "cefa-4", "hifimask-2",
        )
    },
}  # fmt: skip
"""Group name -> names of its protocols, in the order of the literature's tables.

``five-shot`` is that of Huang et al., ECCV 2022, but that their people of the shots are not judged here; their rule is
``O&C&I+CA->M+5shot-videos``, with CelebA-Spoof as an extra source, and so on.
"""

_MEANS = ("one-source-12", "celeba-7", "wcs", "five-shot", "leave-attack-out")
"""Groups of which the literature reports the mean, too; a table has it where a sweep asks for the group by name."""

_GROUP_OF = {name: group for group, members in _LETTER_PROTOCOLS.items() for name in members}


_NO_LISTS: Mapping[str, FixedLists] = MappingProxyType({})


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
    return [*_GROUP_OF, *_OULU_RUNS, *FILTERED]


def parse(name: str, target_split: TargetSplit = "train+test", lists: Mapping[str, FixedLists] = _NO_LISTS) -> Protocol:
    """Return the protocol of one name: a registered one, or any that the grammar has; white space does not count.

    ``A->B,C`` is ``A->B`` and ``A->C``, which train the same (``Protocol.parts``). ``A&B&C->T/A`` is the inner protocol
    of ``A&B&C->T`` that leaves A out (``Protocol.without``). ``target_split`` is ignored by OULU-NPU's own protocols,
    whose target is the official test split, and by parts that say which splits they have. ``lists`` are those that
    were read, by full name; a protocol whose lists are not among them can say all but which rows it has.

    Raises:
        SpecError: the name is malformed.
        ProtocolError: no such protocol, one that needs lists, a source or a target is named twice, or the target is
            among the sources.
    """
    found = _parsed(plain(name), target_split)
    return replace(found, lists=lists[found.name]) if found.name in lists else found


@lru_cache(maxsize=4096)  # a table asks for the same few names again and again
def _parsed(name: str, target_split: TargetSplit) -> Protocol:
    """Return the protocol of a name without white space; its lists are not read."""
    outer, left_out = inner_split(name)
    if left_out:
        return _parsed(outer, target_split).without(left_out)
    if is_listed(outer):
        return Protocol(outer, "lists", (), "", "test", headline="acer")
    if outer in _OULU_RUNS:
        return Protocol(
            outer,
            "oulu-npu",
            sources=(OULU_DOMAIN,),
            target=OULU_DOMAIN,
            target_split="test",
            oulu=_OULU_RUNS[outer],
            aggregate=family(outer),
            headline="acer",
        )
    if outer in FILTERED:
        found = read_protocol(FILTERED[outer], "test", published=True)
        return replace(found, name=outer, group=family(outer) or outer, aggregate=family(outer), headline="acer")
    if outer in LISTED:
        raise needs_lists(outer)
    if ARROW not in outer:
        raise ProtocolError(
            f"there is no protocol {name!r}", where="protocols", remedy=did_you_mean(outer, [*GROUPS, *names()])
        )
    found = read_protocol(outer, target_split)
    return replace(found, group=_GROUP_OF.get(found.name, "custom"))


def resolve(
    wanted: Sequence[str],
    available_domains: Iterable[str],
    target_split: TargetSplit = "train+test",
    lists: Mapping[str, FixedLists] = _NO_LISTS,
) -> list[Protocol]:
    """Return the protocols that names and groups stand for, in the order asked, each once.

    Args:
        wanted: group names, protocol names, any ``A&B->C``, or ``A&B->C,D`` for one protocol for each target.
        available_domains: the domains that the data has.
        target_split: see ``Protocol``.
        lists: see ``parse``.

    Raises:
        SpecError: a name is malformed or nothing is wanted.
        ProtocolError: no such protocol, or a domain that it needs is not in the data.
    """
    if not wanted:
        raise SpecError("no protocol is named", where="protocols", remedy=f"groups: {', '.join(GROUPS)}")
    available = sorted(set(available_domains))
    found: dict[str, Protocol] = {}
    for protocol in _asked(wanted, target_split, lists):
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
    wanted = tuple(plain(item) for item in wanted)
    found: dict[str, tuple[str, ...]] = {}
    for item in wanted:
        if item in _MEANS:
            found[item] = tuple(names_in_order([item]))
        elif item not in GROUPS and len(members := (several := parse(item)).parts) > 1:
            found[several.name] = tuple(member.name for member in members)
    asked = dict.fromkeys(names_in_order(wanted))
    for mean in dict.fromkeys(parse(name).aggregate for name in asked):
        if mean and all(member in asked for member in GROUPS[mean]):
            found[mean] = GROUPS[mean]
    return found


def _asked(
    wanted: Iterable[str], target_split: TargetSplit = "train+test", lists: Mapping[str, FixedLists] = _NO_LISTS
) -> Iterator[Protocol]:
    """Yield the protocol of each name, those of a group one by one."""
    for item in wanted:
        yield from (parse(name, target_split, lists) for name in GROUPS.get(plain(item), (item,)))


def describe() -> list[Listing]:
    """Return a line for people for each registered protocol, then for each that only published lists give."""
    note = "follows lists that only its owners give: `fasray protocol import`"
    listed = (Listing(name, "lists", dataset, dataset, 1, "acer", note) for name, (dataset, _) in LISTED.items())
    return [*(_listing(parse(name)) for name in names()), *listed]


def _listing(protocol: Protocol) -> Listing:
    if protocol.oulu is None:
        sources, target = (", ".join(map(_title, parts)) for parts in (protocol.source_parts, protocol.target_parts))
        note = _note(protocol)
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


def _title(part: Part) -> str:
    return f"{DOMAIN_TITLES.get(part.domain, part.domain)}{replace(part, domain='')}"


def _note(protocol: Protocol) -> str:
    if protocol.name in FILTERED:
        siblings = (
            f"; one of {len(GROUPS[protocol.aggregate])} runs of {protocol.aggregate}" if protocol.aggregate else ""
        )
        return f"one corpus, divided by people{siblings}"
    shots = f"; {protocol.shots} live and {protocol.shots} attack videos of it train" if protocol.shots else ""
    return f"target: train + test videos, without dev{shots}"


def _span(numbers: Sequence[int]) -> str:
    run = len(numbers) > 2 and list(numbers) == list(range(numbers[0], numbers[-1] + 1))
    return f"{numbers[0]}-{numbers[-1]}" if run else ",".join(map(str, numbers))
