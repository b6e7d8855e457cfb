"""SiW-Mv2 (Spoof in the Wild with Multiple attacks, version 2): 785 live videos, 915 of fourteen kinds of attack.

Guo et al., "Multi-domain learning for updating face anti-spoofing models", ECCV 2022.

``Live/Live_N.{mov,avi,mp4}`` and ``Spoof/FOLDER/STEM_N.{mov,avi,mp4}``; folders and stems below, prints in ``Paper``
or, as the owners' description has it, ``Print``. Numbers have gaps. Those that exist follow from the owners' lists:
those of protocol 1 without 11 live ones (892 to 902), which no copy has, and the 20 attacks that only protocol 3 has.

Train and test are protocol 1's: of the live names in the order of text every third tests, of attacks the numbers in
``_TEST``. The 20 attacks that protocol 1 leaves out are of split train.

The names do not say who is shown. Every video is a subject of its own here, so that a split by subject is one by video,
and the same person may be on both sides.

Established from the lists in the owners' repository and from public loaders, not from the files themselves: the names
above. The endings of attack videos could not be; any of the three is understood.
"""

from __future__ import annotations

import re

from fasray.faces.corpora.named import NamedCorpus
from fasray.faces.corpora.source_video import SourceVideo

_PATH = re.compile(r"(Live|Spoof/\w+)/(\w+)_([1-9]\d*)\.(mov|avi|mp4)", re.IGNORECASE)
_FOLDERS = {
    "Makeup_Cosmetic": ("Makeup_Co", "makeup"),
    "Makeup_Impersonation": ("Makeup_Im", "makeup"),
    "Makeup_Obfuscation": ("Makeup_Ob", "makeup"),
    "Mannequin": ("Mask_Mann", "mask"),
    "Mask_HalfMask": ("Mask_Half", "mask"),
    "Mask_PaperMask": ("Mask_Paper", "mask"),
    "Mask_TransparentMask": ("Mask_Trans", "mask"),
    "Paper": ("Paper", "print"),
    "Partial_Eye": ("Partial_Eye", "partial"),
    "Partial_FunnyeyeGlasses": ("Partial_Funnyeye", "partial"),
    "Partial_Mouth": ("Partial_Mouth", "partial"),
    "Partial_PaperGlasses": ("Partial_Paperglass", "partial"),
    "Replay": ("Replay", "replay"),
    "Silicone": ("Mask_Silicone", "mask"),
}
_LIVE = (*range(1, 104), *range(105, 505), *range(610, 892))
_LISTED_LIVE = (*_LIVE, *range(892, 903))
_ATTACKS = {
    "Makeup_Co": (*range(5, 16), *range(18, 26), *range(28, 61)),
    "Makeup_Im": (*range(1, 54), *range(56, 64)),
    "Makeup_Ob": range(1, 23),
    "Mask_Half": range(1, 73),
    "Mask_Mann": range(1, 41),
    "Mask_Paper": range(1, 18),
    "Mask_Silicone": range(1, 18),
    "Mask_Trans": range(1, 61),
    "Paper": (*range(1, 81), *range(82, 137)),
    "Partial_Eye": range(1, 58),
    "Partial_Funnyeye": range(1, 180),
    "Partial_Mouth": range(1, 30),
    "Partial_Paperglass": (*range(1, 70), *range(121, 128)),
    "Replay": (*range(1, 62), *range(63, 100)),
}
_TEST = {
    "Makeup_Co": "7 9-10 13 19-20 24 28-29 32 35-40 46-47 49-54",
    "Makeup_Im": "40-53 56-63",
    "Makeup_Ob": "1-4 6 8 15-18",
    "Mask_Half": "1 3-4 7-12 14 18 25 27-28 31-33 40 50 56",
    "Mask_Mann": "6-7 9 11 13-15 25-26 28 30 32-33 40",
    "Mask_Paper": "2 4 6 8 10 12",
    "Mask_Silicone": "1 4-6 13-16",
    "Mask_Trans": "4 6 18 24-50 52-55 57",
    "Paper": "1-3 6 8 10-11 13 23 26 32-33 36-37 40 45-46 48-50 52-56 62 67 69-71 76 78 80 82-83 87-88 97-98 100"
    " 102-104 106 110 116 127-136",
    "Partial_Eye": "4 11-12 15-16 19 22 25 28-30 32 36 38-39 44-46 50-52 54 57",
    "Partial_Funnyeye": "2-5 7-9 13-15 19 22 24 27 36 38-39 41-42 44 46 49 51 55 58 61-62 68-69 72 83-85 89-91 94-95"
    " 100 102 104 108-109 111 114-115 121-122 129-131 134-137 139 143 146-147 149 151 153 155-156",
    "Partial_Mouth": "6 8 10-11 15 18-20 24 26-28",
    "Partial_Paperglass": "1-2 5 8 10 17 19-20 23 25 29 32 34 38-41 50-51 55-56 58 60-61 63-64 123-125",
    "Replay": "9 11 15-16 18-19 24-26 29-30 33-35 40 47-49 54-55 57-58 60-61 64 71-73 76-77 84-85 87 89-91 95-97",
}
"""Attacks that test in protocol 1, as single numbers and ranges with both ends."""


def _test_names() -> frozenset[str]:
    attacks = (
        f"{stem}_{number}"
        for stem, numbers in _TEST.items()
        for first, _, last in (part.partition("-") for part in numbers.split())
        for number in range(int(first), int(last or first) + 1)
    )
    return frozenset((*attacks, *sorted(f"Live_{number}" for number in _LISTED_LIVE)[1::3]))


_TESTING = _test_names()


class SiwMv2(NamedCorpus):
    """See the module."""

    name = "siw-mv2"
    domain = "SiW-Mv2"
    title = "SiW-Mv2"
    by_name = True

    def parse(self, path: str) -> SourceVideo | None:
        """See NamedCorpus. A stem must be of its folder, a number one that exists."""
        match = _PATH.fullmatch(path)
        if match is None:
            return None
        folder, stem, number, _ = match.groups()
        if folder == "Live":
            known, kind = stem == "Live" and int(number) in _LIVE, ("live", "")
        else:
            folder = folder.removeprefix("Spoof/").replace("Print", "Paper")
            expected, attack_type = _FOLDERS.get(folder, ("", ""))
            known, kind = stem == expected and int(number) in _ATTACKS[stem], (attack_type, stem)
        if not known:
            return None
        name = f"{stem}_{number}"
        return self._video(path, kind, name, "test" if name in _TESTING else "train", name=name)

    def official_paths(self) -> list[str]:
        """See NamedCorpus. Attacks are given the ending ``.mov``."""
        live = [f"Live/Live_{number}.{_live_ending(number)}" for number in _LIVE]
        return live + [
            f"Spoof/{folder}/{stem}_{number}.mov" for folder, (stem, _) in _FOLDERS.items() for number in _ATTACKS[stem]
        ]


def _live_ending(number: int) -> str:
    return "avi" if 105 <= number < 505 else "mp4" if number > 660 else "mov"
