"""ROSE-Youtu: five phones and tablets; prints, replays on two screens, paper masks.

Li et al., "Unsupervised domain adaptation for face anti-spoofing", IEEE TIFS 13(7), 2018.

``{train,test}/P/L_S_D_x_E_P_N.mp4``, in some copies with the folder named ``_P``: P the subject's number, N a running
one, S ``T`` (talking) or ``NT``, x ``g`` (glasses) or ``wg`` (without), E the background. L is what is shown:

=====  ========================  ======  ===================================
L      attack type               L       attack type
=====  ========================  ======  ===================================
G      live                      Mc      mask: paper, cropped
Ps     print: still              Mf      mask: paper, whole
Pq     print: quivering          Mu      mask: paper, upper half
Vl     replay: Lenovo screen     Ml      mask: paper, lower half (see below)
Vm     replay: Mac screen
=====  ========================  ======  ===================================

D is the camera: HS (Hasee), HW (Huawei), IP (iPad 4), 5s (iPhone 5s), ZTE.

Established from the naming rule and from public loaders, not from the files themselves: the letters and devices
above (Ml occurs in one loader only), and the turns in ``rotate_untagged``, which one loader needed. The literature
counts 3350 videos of 20 subjects, 10 in each split; a list of the names was not found, so that single missing videos
cannot be named here. Copies without the folders ``train`` and ``test`` exist too; the names do not say the split, so
such a copy is not understood: put the subjects under the two folders as the publisher's lists have them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from fasray.faces.corpora.named import NamedCorpus
from fasray.faces.corpora.source_video import SourceVideo

_PATH = re.compile(
    r"(train|test)/_?(\d{1,2})/"
    r"(G|Ps|Pq|Vl|Vm|Mc|Mf|Mu|Ml)_(T|NT)_(HS|HW|IP|5s|ZTE)_(g|wg)_([A-Za-z0-9]+)_(\d{1,2})_(\d+)\.mp4"
)
_KINDS = {
    "G": ("live", ""),
    "Ps": ("print", "print_still"),
    "Pq": ("print", "print_quivering"),
    "Vl": ("replay", "lenovo_screen"),
    "Vm": ("replay", "mac_screen"),
    "Mc": ("mask", "paper_cropped"),
    "Mf": ("mask", "paper_whole"),
    "Mu": ("mask", "paper_upper"),
    "Ml": ("mask", "paper_lower"),
}
_CAMERAS = {"HS": "hasee", "HW": "huawei", "IP": "ipad4", "5s": "iphone5s", "ZTE": "zte"}
_APPLE = ("IP", "5s")
_TURNS = {(False, True): 270, (False, False): 90, (True, True): 0, (True, False): 180}
"""Degrees by (replay?, Apple device?): replays were filmed in landscape, all else in portrait."""
_VIDEOS = 3350


class RoseYoutu(NamedCorpus):
    """See the module. ``session`` is speech, glasses and background: NT-g-E."""

    name = "rose-youtu"
    domain = "Y"
    title = "ROSE-Youtu"

    def parse(self, path: str) -> SourceVideo | None:
        """See NamedCorpus. The folder's subject must be the file's."""
        match = _PATH.fullmatch(path)
        if match is None:
            return None
        split, folder, kind, speech, device, glasses, background, person, _ = match.groups()
        if int(folder) != int(person):
            return None
        attack_type, instrument = _KINDS[kind]
        turn = _TURNS[attack_type == "replay", device in _APPLE]
        return SourceVideo(
            path=path,
            attack_type=attack_type,
            instrument=instrument,
            domain=self.domain,
            subject=f"{self.domain}{int(person):03d}",
            video=f"{self.domain}/{split}/{int(person)}/{path.rpartition('/')[2].removesuffix('.mp4')}",
            camera=_CAMERAS[device],
            session=f"{speech}-{glasses}-{background}",
            split=split,
            rotate_untagged=turn,
        )

    def remarks(self, videos: Sequence[SourceVideo]) -> list[str]:
        """Without a list of names the total is all that can be compared."""
        people = len({video.subject for video in videos})
        if len(videos) == _VIDEOS:
            return []
        return [f"{len(videos)} videos of {people} subjects; the literature counts {_VIDEOS} of 20, no list is public"]
