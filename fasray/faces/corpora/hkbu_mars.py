"""HKBU-MARs V2: twelve subjects and a hard mask of each, seven cameras, six lights.

Liu et al., "3D mask face anti-spoofing with remote photoplethysmography", ECCV 2016.

``[HKBU_MARs_V2/]{real,attack}/SS/CC_LL_SS.avi``: SS subject 01 to 12, CC camera 01 to 07, LL light 01 to 06; 504 live
and 504 attack videos, no split of their own (the paper leaves one subject out after the other), so all are train here.

Trap: attacks of subject 09 end in ``_9``.

Established from lists of public tools, not from the files themselves: all names above. Which camera, light and maker
of masks a number means was not.
"""

from __future__ import annotations

import itertools
import re

from fasray.faces.corpora.named import NamedCorpus
from fasray.faces.corpora.source_video import SourceVideo

_PATH = re.compile(r"(real|attack)/(0[1-9]|1[0-2])/(0[1-7])_(0[1-6])_(\d\d?)\.avi")
_KINDS = {"real": ("live", ""), "attack": ("mask", "mask_3d")}


class HkbuMars(NamedCorpus):
    """See the module."""

    name = "hkbu-mars"
    domain = "HKBU"
    title = "HKBU-MARs V2"
    folder = "HKBU_MARs_V2/"

    def parse(self, path: str) -> SourceVideo | None:
        """See NamedCorpus."""
        match = _PATH.fullmatch(path.removeprefix(self.folder))
        if match is None or match[5] != _ending(match[1], match[2]):
            return None
        shown, subject, camera, light, _ = match.groups()
        return self._video(
            path, _KINDS[shown], subject, "train", camera=f"camera{int(camera)}", session=f"light{int(light)}"
        )

    def official_paths(self) -> list[str]:
        """See NamedCorpus."""
        subjects = [f"{number:02d}" for number in range(1, 13)]
        return [
            f"{shown}/{subject}/{camera:02d}_{light:02d}_{_ending(shown, subject)}.avi"
            for shown, subject, camera, light in itertools.product(_KINDS, subjects, range(1, 8), range(1, 7))
        ]


def _ending(shown: str, subject: str) -> str:
    return "9" if (shown, subject) == ("attack", "09") else subject
