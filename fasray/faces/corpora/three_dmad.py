"""3DMAD: seventeen subjects and worn masks of them before a Kinect; colour only.

Erdogmus and Marcel, "Spoofing in 2D face recognition with 3D masks and anti-spoofing with Kinect", BTAS 2013.

``[{session01,session02,session03}/][Data/]CC_SS_NN.hdf5`` with colour in its dataset ``Color_Data``, or the same names
with the ending ``.avi``, as the tool of the owners (``bob.db.maskattack``) writes the colour: CC subject 01 to 17, SS
session, 01 and 02 live, 03 the subject in a mask, NN recording 01 to 05; 170 live and 85 attack videos. Subjects 1 to 7
train, 8 to 12 develop and 13 to 17 test, as that tool has it; the publication leaves subjects out instead.
"""

from __future__ import annotations

import itertools
import re

from fasray.faces.corpora.named import NamedCorpus
from fasray.faces.corpora.source_video import SourceVideo

_PATH = re.compile(r"(?:session(0[1-3])/)?(?:Data/)?((0[1-9]|1[0-7])_(0[1-3])_0[1-5])\.(?:hdf5|avi)")
_BESIDE = re.compile(r"(session0[1-3]/)?(annotations/.+|documentation/.+)")


class ThreeDMad(NamedCorpus):
    """See the module."""

    name = "3dmad"
    domain = "3DMAD"
    title = "3DMAD"
    by_name = True

    def parse(self, path: str) -> SourceVideo | None:
        """See NamedCorpus. The folder's session must be the file's."""
        match = _PATH.fullmatch(path)
        if match is None or match[1] not in (None, match[4]):
            return None
        number = int(match[3])
        return self._video(
            path,
            ("mask", "mask_3d") if match[4] == "03" else ("live", ""),
            match[3],
            "train" if number < 8 else "dev" if number < 13 else "test",
            name=match[2],
            camera="kinect",
            session=f"session{int(match[4])}",
            modality="rgb",
        )

    def official_paths(self) -> list[str]:
        """See NamedCorpus."""
        parts = itertools.product(range(1, 18), range(1, 4), range(1, 6))
        return [f"session{s:02d}/Data/{c:02d}_{s:02d}_{n:02d}.hdf5" for c, s, n in parts]

    def examples(self) -> tuple[SourceVideo, ...]:
        """See Corpus. As the videos of the owners' tool."""
        return self._parsed(path.replace(".hdf5", ".avi") for path in self.official_paths())

    def ignores(self, path: str) -> bool:
        """Eye positions and papers are part of the download and not used."""
        return _BESIDE.fullmatch(path) is not None
