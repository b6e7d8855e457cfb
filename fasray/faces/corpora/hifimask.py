"""CASIA-SURF HiFiMask: 75 subjects and masks of them in three materials, six scenes, six lights, seven cameras.

Liu et al., "Contrastive context-aware learning for 3D high-fidelity mask face presentation attack detection", IEEE
TIFS 17, 2022; names as the owners' own description of them has it.

``[Data/]C_SS_T_P_L_D/NNNN.png``, a folder of ten frames is a video: C the complexion, 1 yellow, 2 white, 3 black; SS
the subject; T 0 live, or the mask's material, 1 transparent, 2 plaster, 3 resin; P the scene, 1 white, 2 green, 3
tricolor, 4 sunshine, 5 shadow, 6 motion; L the light, 1 normal, 2 dim, 3 bright, 4 back, 5 side, 6 top, and 0 none:
outdoors, in scenes 4 and 5 alone; D the camera, 1 iPhone 11, 2 iPhone X, 3 MI10, 4 P40, 5 S20, 6 Vivo, 8 HJIM (7,
D435, is in no list). 75 subjects of 26 scenes and lights before seven cameras make the paper's 13650 live and 40950
attack videos.

The owners' lists hold 54223 of these 54600, 13527 live and 40696 attacks; where a copy has the lists, the videos that
are in them are asked for, and else none. The subjects' numbers are those from 1 to 83 that the tables below hold; they
train, develop or test by protocol 1.

The pictures come cut to the face.
"""

from __future__ import annotations

import itertools
import re

from fasray.faces.corpora.frame_folders import ListedCorpus
from fasray.faces.corpora.source_video import SourceVideo

_PATH = re.compile(r"([123])_(\d\d)_([0-3])_([1-6])_([0-6])_([1-68])")
_DEV = (5, 17, 49, 51, 63, 66)
_TEST = (1, 2, 3, 4, 11, 14, 15, 16, 27, 28, 30, 35, 36, 37, 41, 42, 43, 46, 47, 48, 50, 57, 58, 61)
_COMPLEXIONS = {
    "1": ("yellow", (*range(1, 9), *range(10, 26), 83)),
    "2": ("white", (27, 28, 30, 35, 36, 37, 41, 42, 51, 54, 55, 56, 66, *range(69, 81))),
    "3": ("black", (26, 31, 32, 33, 34, 39, 40, 43, *range(45, 51), 52, 53, 57, 58, 59, 61, 63, 64, 65, 81, 82)),
}
_KINDS = {
    "0": ("live", ""),
    "1": ("mask", "transparent"),
    "2": ("mask", "plaster"),
    "3": ("mask", "resin"),
}
_SCENES = {"1": "white", "2": "green", "3": "tricolor", "4": "sunshine", "5": "shadow", "6": "motion"}
_OUTDOORS = ("4", "5")
_LIGHTS = ("none", "normal", "dim", "bright", "back", "side", "top")
_CAMERAS = {"1": "iphone11", "2": "iphonex", "3": "mi10", "4": "p40", "5": "s20", "6": "vivo", "8": "hjim"}


class HifiMask(ListedCorpus):
    """See the module. ``session`` is scene and light: green-dim."""

    name = "hifimask"
    domain = "HiFiMask"
    title = "CASIA-SURF HiFiMask"
    list_name = "CASIA_HiFiMask"
    frame_ending = ".png"
    listed = {"train": (8108, 24406), "dev": (1084, 3263), "test": (4335, 13027)}

    def parse(self, path: str) -> SourceVideo | None:
        """See NamedCorpus. Outdoor scenes are those without a light."""
        match = _PATH.fullmatch(path.removeprefix(self.folder))
        if match is None:
            return None
        complexion, subject, kind, scene, light, camera = match.groups()
        people, numbers = _COMPLEXIONS[complexion]
        if int(subject) not in numbers or (scene in _OUTDOORS) != (light == "0"):
            return None
        split = "dev" if int(subject) in _DEV else "test" if int(subject) in _TEST else "train"
        session = f"{_SCENES[scene]}-{_LIGHTS[int(light)]}"
        more = {"camera": _CAMERAS[camera], "session": session, "ethnicity": people}
        return self._video(path, _KINDS[kind], subject, split, **more)

    def examples(self) -> tuple[SourceVideo, ...]:
        """See Corpus. One scene and light of each subject, by two cameras."""
        people = [(complexion, number) for complexion, (_, numbers) in _COMPLEXIONS.items() for number in numbers]
        return self._parsed(
            f"{complexion}_{number:02d}_{kind}_1_1_{camera}"
            for (complexion, number), kind, camera in itertools.product(people, _KINDS, "12")
        )
