"""UniAttackData: CeFA's way of recording, 1800 subjects, with digital and adversarial attacks on each; colour only.

Fang et al., "Unified physical-digital face attack detection", IJCAI 2024; names from the owners' lists.

``[Data/]``, a folder of pictures (or one) is a video; R the group and its folder, AF ``africa``, CA ``central-asia``,
EA ``east-asia``, NNN the subject, 000 to 599 of each group:

==============================================================  =====================================
live/GROUP/R-NNN/real.rssdk/color                               live, 1800
spoof/GROUP/R-NNN/{cloth-indoor,cloth-outdoor,screen-rs}/color  print and replay, 5400
adv-attacks/A/PREFIX_GROUP-112x112/R-NNN                        adversarial, six A of the live, 10706
{FaceDancer,InsightFace}/GROUP/R-NNN-To-R-NNN/real.rssdk/color  swapped faces, 1800 and 1793
{simswap,SAFA}/GROUP/R-NNN-To-R-NNN, DaGAN/GROUP_faces/...      swapped and driven faces, 1800 each
OneShotTH/GROUP/R-NNN-To-refN                                   talking heads, 1800
==============================================================  =====================================

GROUP is that of the subject whose name comes first, of FaceDancer of the second; that one is the subject here, and the
other of a pair is not recorded. Digital attacks have ``attack_type`` ``other``.

The owners divide videos, not subjects, by lists: in a copy that has them, a subject has the split of its live video in
protocol 1 (600 train, 300 dev, 900 test); in one that has not, everybody is of split train. Attacks of a subject may be
on any side in the lists themselves, which ``fasray protocol import`` takes.

The lists hold 28699 of the paper's 28706 videos; which seven are not in them was not established, nor what the pictures
in a folder are called.

The pictures come cut to the face.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from fasray.faces.corpora.frame_folders import ListedCorpus
from fasray.faces.corpora.source_video import SourceVideo

_PLACES = {"africa": "AF", "central-asia": "CA", "east-asia": "EA"}
_ADVERSARIAL = {
    "alma": "alma",
    "advdrop": "advdrop",
    "demiguise": "demiguise",
    "fgtm": "ai_fgtm",
    "ila_da": "ila_da",
    "ssah": "ssah",
}
"""Folder -> what the folder in it begins with."""
_PHYSICAL = {
    "cloth-indoor": ("print", "cloth_indoor"),
    "cloth-outdoor": ("print", "cloth_outdoor"),
    "screen-rs": ("replay", "screen"),
}
_WHO = r"(?P<who>(?:AF|CA|EA)-[0-5]\d\d)"
_OTHER = r"(?:AF|CA|EA)-[0-5]\d\d"
_PLACE = rf"(?P<place>{'|'.join(_PLACES)})"
_PATHS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?P<kind>live)/{_PLACE}/{_WHO}/real\.rssdk/color",
        rf"spoof/{_PLACE}/{_WHO}/(?P<kind>{'|'.join(_PHYSICAL)})/color",
        rf"adv-attacks/(?P<kind>{'|'.join(_ADVERSARIAL)})/(?P<prefix>\w+?)_{_PLACE}-112x112/{_WHO}",
        rf"(?P<kind>FaceDancer)/{_PLACE}/{_OTHER}-To-{_WHO}/real\.rssdk/color",
        rf"(?P<kind>InsightFace)/{_PLACE}/{_WHO}-To-{_OTHER}/real\.rssdk/color",
        rf"(?P<kind>simswap|SAFA)/{_PLACE}/{_WHO}-To-{_OTHER}",
        rf"(?P<kind>DaGAN)/{_PLACE}_faces/{_WHO}-To-{_OTHER}",
        rf"(?P<kind>OneShotTH)/{_PLACE}/{_WHO}-To-ref\d+",
    )
)
_LISTED = (1800, 26899)
"""Live and attack videos."""


class UniAttack(ListedCorpus):
    """See the module."""

    name = "uniattackdata"
    domain = "UniAttackData"
    title = "UniAttackData"
    list_name = "UniAttackData"

    def parse(self, path: str) -> SourceVideo | None:
        """See NamedCorpus. The folder's group must be the subject's."""
        inner = path.removeprefix(self.folder)
        match = next(filter(None, (pattern.fullmatch(inner) for pattern in _PATHS)), None)
        if match is None or not match["who"].startswith(_PLACES[match["place"]]):
            return None
        kind = match["kind"]
        if kind in _ADVERSARIAL and match["prefix"] != _ADVERSARIAL[kind]:
            return None
        instrument = f"adv_{kind}" if kind in _ADVERSARIAL else kind
        shown = ("live", "") if kind == "live" else _PHYSICAL.get(kind, ("other", instrument))
        ethnicity, _, number = match["who"].partition("-")
        return self._video(path, shown, ethnicity + number, "train", ethnicity=ethnicity)

    def people(self, root: str, paths: Sequence[str]) -> dict[str, dict[str, str]]:
        """See NamedCorpus. Splits are those of the owners' lists."""
        return {
            video.subject: {"split": part}
            for protocol, part, entry in self.entries_listed(root)
            if protocol == "1" and (video := self.parse(entry)) is not None and video.label
        }

    def remarks(self, videos: Sequence[SourceVideo]) -> list[str]:
        """Totals alone are compared: splits are the lists'."""
        live = sum(video.label for video in videos)
        found = (live, len(videos) - live)
        live_and_attack = "{} live and {} attack videos; public lists have {} and {}"
        return [] if found == _LISTED else [live_and_attack.format(*found, *_LISTED)]

    def examples(self) -> tuple[SourceVideo, ...]:
        """See Corpus: some of each kind."""
        return self._parsed(_example_paths())


def _example_paths() -> Iterable[str]:
    for place, group in _PLACES.items():
        for number in range(4):
            who, other = f"{group}-{number:03d}", f"{group}-{number + 4:03d}"
            yield f"live/{place}/{who}/real.rssdk/color"
            yield from (f"spoof/{place}/{who}/{kind}/color" for kind in _PHYSICAL)
            yield f"adv-attacks/alma/alma_{place}-112x112/{who}"
            yield f"simswap/{place}/{who}-To-{other}"
