"""OULU-NPU: six phones, three sessions, two printers, two displays.

Boulkenafet et al., "OULU-NPU: a mobile face presentation attack database with real-world variations", FG 2017.

``{Train,Dev,Test}_files/P_S_UU_F.avi``: phone 1-6, session 1-3, user 01-55, file type 1 live, 2 and 3 prints of two
printers, 4 and 5 replays on two displays; next to each video a text file of the same stem with eye positions a frame
(``frame,x,y,x,y``; the eye on the left of the picture, the right one of the subject, first). Users 1-20 train, 21-35
dev, 36-55 test: 4950 videos. The four protocols of ``fasray.protocols.oulu`` choose among them.
"""

from __future__ import annotations

import itertools
import re

from fasray.faces.corpora.named import NamedCorpus
from fasray.faces.corpora.source_video import SourceVideo

_PATH = re.compile(r"(Train|Dev|Test)_files/(([1-6])_([1-3])_(\d\d)_([1-5]))\.avi")
_FOLDER = {"train": "Train", "dev": "Dev", "test": "Test"}
_USERS = {"train": range(1, 21), "dev": range(21, 36), "test": range(36, 56)}
_KINDS = (("live", ""), ("print", "print1"), ("print", "print2"), ("replay", "replay1"), ("replay", "replay2"))
"""Attack type and instrument by file type; the last digit pairs printer and display as Protocol 2 does."""


class OuluNpu(NamedCorpus):
    """See the module."""

    name = "oulu-npu"
    domain = "O"
    title = "OULU-NPU"

    def parse(self, path: str) -> SourceVideo | None:
        """See NamedCorpus."""
        match = _PATH.fullmatch(path)
        if match is None:
            return None
        folder, stem, phone, session, user, kind = match.groups()
        split = next(split for split, name in _FOLDER.items() if name == folder)
        if int(user) not in _USERS[split]:
            return None
        attack_type, instrument = _KINDS[int(kind) - 1]
        return SourceVideo(
            path=path,
            attack_type=attack_type,
            instrument=instrument,
            domain=self.domain,
            subject=f"{self.domain}{int(user):03d}",
            video=f"{self.domain}/{folder}_files/{stem}",
            camera=f"phone{phone}",
            session=f"session{session}",
            split=split,
            companions=(f"{folder}_files/{stem}.txt",),
        )

    def official_paths(self) -> list[str]:
        """See NamedCorpus."""
        return [
            f"{_FOLDER[split]}_files/{phone}_{session}_{user:02d}_{kind}.avi"
            for split, users in _USERS.items()
            for user, phone, session, kind in itertools.product(users, range(1, 7), range(1, 4), range(1, 6))
        ]

    def ignores(self, path: str) -> bool:
        """The protocol lists may be next to the videos."""
        return path.startswith("Protocols/")
