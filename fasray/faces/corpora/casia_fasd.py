"""CASIA-FASD (CASIA-MFSD): three camera qualities; warped, cut and replayed photos.

Zhang et al., "A face antispoofing database with diverse attacks", ICB 2012.

``{train,test}_release/N/{1..8,HR_1..HR_4}.avi``. Odd numbers are of normal, even ones of low quality, HR of high. Live:
1, 2, HR_1; warped photo: 3, 4, HR_2; photo with the eyes cut out: 5, 6, HR_3; video on a tablet: 7, 8, HR_4. 20 train
and 30 test subjects, 600 videos, no dev split.

Trap: the folder numbers of both releases start at 1 and mean different people. Test subjects become 21..50 here.
"""

from __future__ import annotations

import re

from fasray.faces.corpora.named import NamedCorpus
from fasray.faces.corpora.source_video import SourceVideo

_PATH = re.compile(r"(train|test)_release/([1-9]\d?)/([1-8]|HR_[1-4])\.avi")
_PEOPLE = {"train": 20, "test": 30}
_KINDS = (("live", ""), ("print", "warped"), ("print", "cut"), ("replay", "tablet"))


class CasiaFasd(NamedCorpus):
    """See the module."""

    name = "casia-fasd"
    domain = "C"
    title = "CASIA-FASD"

    def parse(self, path: str) -> SourceVideo | None:
        """See NamedCorpus."""
        match = _PATH.fullmatch(path)
        if match is None:
            return None
        split, folder, clip = match.groups()
        number = int(folder)
        if number > _PEOPLE[split]:
            return None
        if clip.startswith("HR_"):
            kind, camera = int(clip.removeprefix("HR_")) - 1, "high"
        else:
            kind, camera = (int(clip) - 1) // 2, "normal" if int(clip) % 2 else "low"
        attack_type, instrument = _KINDS[kind]
        subject = number + (_PEOPLE["train"] if split == "test" else 0)
        return SourceVideo(
            path=path,
            attack_type=attack_type,
            instrument=instrument,
            domain=self.domain,
            subject=f"{self.domain}{subject:03d}",
            video=f"{self.domain}/{path.removesuffix('.avi')}",
            camera=camera,
            session="",
            split=split,
        )

    def official_paths(self) -> list[str]:
        """See NamedCorpus."""
        clips = [*map(str, range(1, 9)), *(f"HR_{number}" for number in range(1, 5))]
        return [
            f"{split}_release/{number}/{clip}.avi"
            for split, people in _PEOPLE.items()
            for number in range(1, people + 1)
            for clip in clips
        ]
