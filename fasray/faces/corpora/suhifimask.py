"""SuHiFiMask: people and high-fidelity masks of them before surveillance cameras in forty scenes, faces far away.

Fang et al., "Surveillance face anti-spoofing", IEEE TIFS 19, 2024; names as the owners' own description of them has it.

``[Data/]GNN_SN_CN_ENN_Ttime/id_K/F_P_A.jpg``: group, scene 1 to 40, camera 1 to 7, round and time of a recording; K a
person followed in it, for this recording alone (-1: not followed); F the number of the frame, P the participant, A what
is shown, 0 live, else one of nine kinds of attack. What one ``id_K`` shows is one video here: 162344 of them in 10123
recordings are in the lists that could be seen; the paper counts 10195 live and 10195 attack recordings, which the
names do not tell apart.

Participants 1 to 40 train, 41 to 50 develop, 51 to 101 test: protocol 1's. Faces of nobody in particular (0) and of
participant 102, who is in protocols 2 and 3 alone, are of split test.

What the nine kinds are was not established (the paper has masks of several materials, posters, portraits, screens and
adversarial hats and masks; protocol 2 leaves out one of 1 to 4 after the other): ``attack_type`` is ``other`` and
``instrument`` is ``attack1`` to ``attack9``.

The pictures come cut to the face, and many are small.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

from fasray.faces.corpora.corpus import Survey
from fasray.faces.corpora.frame_folders import ListedCorpus
from fasray.faces.corpora.named import NamedCorpus
from fasray.faces.corpora.source_video import SourceVideo

_FOLDER = re.compile(r"(G(?:0[1-9]|10)_S(\d{1,2})_C([1-7])_E(?:0[1-9]|10)_T\d{13,17})/id_(-1|\d+)")
_FRAME = re.compile(r"(\d+)_(\d+)_(\d)\.jpg")
_SCENES, _PARTICIPANTS = range(1, 41), range(103)


class SuHifiMask(ListedCorpus):
    """See the module. What is shown, and who, is in the names of the frames: ``parse`` is given one of them."""

    name = "suhifimask"
    domain = "SuHiFiMask"
    title = "SuHiFiMask"
    list_name = "CASIA_SuHiFiMask"
    frame: ClassVar[re.Pattern[str]] = _FRAME

    def parse(self, path: str) -> SourceVideo | None:
        """See NamedCorpus: the video that the frame ``path`` is of."""
        folder, _, name = path.rpartition("/")
        place, frame = _FOLDER.fullmatch(folder.removeprefix(self.folder)), _FRAME.fullmatch(name)
        if place is None or frame is None or int(place[2]) not in _SCENES or int(frame[2]) not in _PARTICIPANTS:
            return None
        number = int(frame[2])
        return self._video(
            folder,
            ("live", "") if frame[3] == "0" else ("other", f"attack{frame[3]}"),
            f"{number:03d}",
            "train" if 1 <= number <= 40 else "dev" if 41 <= number <= 50 else "test",
            camera=f"camera{place[3]}",
            session=f"scene{place[2]}",
        )

    def video_path(self, path: str) -> str:
        """See NamedCorpus: a frame says more than its folder."""
        return path

    def frame_name(self, video: SourceVideo, number: int) -> str:
        """See FrameCorpus."""
        participant = int(video.subject.removeprefix(f"{self.domain}-"))
        return f"{10 * number}_{participant}_{video.instrument.removeprefix('attack') or 0}.jpg"

    def survey(self, root: str) -> Survey:
        """See Corpus. The lists name videos and no participants: what they have and the copy has not is missing."""
        found = NamedCorpus.survey(self, root)
        return replace(found, findings=replace(found.findings, missing=tuple(self._not_there(root, found))))

    def _should_be(self, root: str, paths: Iterable[str]) -> tuple[SourceVideo, ...]:
        """None: see ``survey``."""
        return ()

    def examples(self) -> tuple[SourceVideo, ...]:
        """See Corpus. Each participant live and in three attacks."""
        return self._parsed(
            f"G01_S{1 + number % 40}_C1_E01_T20220117{102500000 + number}/id_{shown}/0_{number}_{shown}.jpg"
            for number in range(1, 102)
            for shown in range(4)
        )
