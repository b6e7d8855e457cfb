"""How a protocol is written: ``O&C[attack!=mask]+CA->M[attack=print|replay]+5shot``, and what parts a name has.

    protocol  = sources "->" target {"," target}
    sources   = part {"&" part} {"+" part}         after a plus: extra sources
    target    = part ["+" number "shot" ["-videos"]]
    part      = domain ["[" condition {"," condition} "]"]
    condition = key ("=" | "!=") value {"|" value}

White space does not count. ``NAME/A`` is the inner protocol of ``NAME`` that leaves its source A out.
"""

from __future__ import annotations

import re

from fasray.errors import ProtocolError, SpecError
from fasray.protocols.crossing import TargetSplit
from fasray.protocols.filters import Part, parse_part
from fasray.protocols.protocol import ALSO, ARROW, EXTRA, INNER, Protocol, shot_name, with_same_sources

_SHOT = re.compile(r"(?P<part>.+)\+(?P<shots>[0-9]+)shot(?P<videos>-videos)?")


def plain(name: str) -> str:
    """Return a name without white space."""
    return "".join(name.split())


def read_protocol(name: str, target_split: TargetSplit, published: bool = False) -> Protocol:
    """Return the protocol that a text with an arrow describes; see ``Protocol`` for what it means.

    Args:
        name: the text.
        target_split: of targets that are not among the sources.
        published: whether a whole dataset may be on both sides; in a sweep file that is taken for a slip.

    Raises:
        SpecError: the text is malformed.
        ProtocolError: a source or a target is named twice, the target is among the sources, or several targets do not
            train the same.
    """
    left, _, right = plain(name).partition(ARROW)
    targets = _split(right, ALSO)
    if len(set(targets)) < len(targets):
        raise ProtocolError(
            f"protocol {name!r} names a target twice", where="protocols", remedy="name each target domain once"
        )
    found = with_same_sources([_single(left, target, name, target_split, published) for target in targets])
    if len(found) > 1:
        raise ProtocolError(
            f"the targets of {name!r} do not train the same",
            where="protocols",
            remedy="write a protocol for each target that has shots, or that is a part of a source's dataset",
        )
    return found[0]


def _single(left: str, right: str, name: str, target_split: TargetSplit, published: bool) -> Protocol:
    usual, *extra = (tuple(_split(part, "&")) for part in _split(left, EXTRA))
    if any(len(more) > 1 for more in extra):
        raise SpecError(
            f"{name!r} is not a protocol: {EXTRA}{'&'.join(extra[-1])} are two sources after one plus",
            where="protocols",
            remedy="write a plus before each extra source, as in O&C&I+CA->M",
        )
    shot = _SHOT.fullmatch(right)
    sources = [parse_part(text, name) for text in (*usual, *(more[0] for more in extra))]
    target = parse_part(shot["part"] if shot else right, name)
    _check(sources, target, name, published)
    shots, by_video = (int(shot["shots"]), bool(shot["videos"])) if shot else (0, False)
    if shot and (shots < 1 or any(part.domain == target.domain for part in sources)):
        why = "0 shots are none" if shots < 1 else f"{target.domain} trains already"
        raise ProtocolError(
            f"protocol {name!r} cannot have shots: {why}", where="protocols", remedy=f"leave out {EXTRA}{shots}shot"
        )
    written = "&".join(map(str, sources[: len(usual)])) + "".join(f"{EXTRA}{part}" for part in sources[len(usual) :])
    judged = shot_name(str(target), shots, by_video) if shots else str(target)
    return Protocol(
        f"{written}{ARROW}{judged}",
        "custom",
        tuple(map(str, sources)),
        str(target),
        target_split,
        extra=tuple(map(str, sources[len(usual) :])),
        shots=shots,
        shots_by_video=by_video,
    )


def _check(sources: list[Part], target: Part, name: str, published: bool) -> None:
    if len(set(sources)) < len(sources):
        raise ProtocolError(
            f"protocol {name!r} names a source twice", where="protocols", remedy="name each source domain once"
        )
    if not (target.conditions or published) and target in sources:
        raise ProtocolError(
            f"leak in protocol {name!r}: the target {str(target)!r} is among its sources",
            where="protocols",
            remedy="a target domain must be unseen; leave it out of the sources, or divide it by a filter, as in "
            f"{target}[split=train|dev]->{target}[split=test]",
        )


def part_names(name: str) -> tuple[str, ...]:
    """Return the names of the protocols with one target each that a name means, as ``Protocol.parts`` does.

    >>> part_names("O->C,I"), part_names("O&C->I,M/O"), part_names("O&C[camera=a,session=1]->M")
    (('O->C', 'O->I'), ('O&C->I/O', 'O&C->M/O'), ('O&C[camera=a,session=1]->M',))
    """
    outer, left_out = inner_split(name)
    sources, arrow, targets = outer.partition(ARROW)
    inner = f"{INNER}{left_out}" if left_out else ""
    return tuple(f"{sources}{arrow}{target}{inner}" for target in _split(targets, ALSO))


def outer_name(name: str) -> str:
    """Return the name of the protocol that an inner one belongs to; of any other its own."""
    return inner_split(name)[0]


def inner_split(name: str) -> tuple[str, str]:
    """Return the name of the outer protocol and the source that an inner one leaves out; empty if it is not inner."""
    *outer, last = _split(name, INNER)
    return (INNER.join(outer), last) if outer else (last, "")


def _split(text: str, sign: str) -> list[str]:
    """Split at a sign, but not within brackets."""
    return re.split(re.escape(sign) + r"(?![^\[\]]*\])", text)
