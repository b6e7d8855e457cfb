"""CASIA-SURF: 1000 subjects before a RealSense camera, each live and with six cut and bent prints; colour only.

Zhang et al., "A dataset and benchmark for large-scale multi-modal face anti-spoofing", CVPR 2019; "CASIA-SURF: a
large-scale multi-modal benchmark for face anti-spoofing", IEEE TBIOM 2(2), 2020.

``[Data/]{Training,Val,Testing}/{real_part,fake_part}/CLKJ_XSNNNN/CLIP.rssdk/color/NNNN.jpg``, X one of A, B, C: a
folder of every tenth frame is a video. CLIP is ``real``, or of a print whose eyes (e), eyes and nose (en), or eyes,
nose and mouth (enm) are cut out, held flat (s) or curved (b): ``01_e_s``, ``02_e_b``, ``03_en_s`` in Val and Testing;
``04_en_b``, ``05_enm_s``, ``06_enm_b`` in Training. Folders ``depth`` and ``ir`` are not used.

Training: 300 live and 900 attack videos, Val 100 and 300, Testing 600 and 1791 (nine of its 1800 are in no list). Which
numbers the subjects have follows no rule; the owners' lists in a copy (frame_folders.py) say it. That ``s`` is flat and
``b`` curved follows from the order of the attacks in the paper, not from a description of the names.

The pictures come cut to the face, with the background blackened.
"""

from __future__ import annotations

import re

from fasray.faces.corpora.frame_folders import ListedCorpus
from fasray.faces.corpora.source_video import SourceVideo

_PATH = re.compile(r"(Training|Val|Testing)/(real_part|fake_part)/CLKJ_([ABC]S\d{4})/(\w+)\.rssdk/color")
_BESIDE = re.compile(r".+\.rssdk/(depth|ir)(/.+)?|\w+_list\.txt")
_SPLITS = {"Training": "train", "Val": "dev", "Testing": "test"}
_CUTS = {
    "01_e_s": "eyes_flat",
    "02_e_b": "eyes_curved",
    "03_en_s": "eyes_nose_flat",
    "04_en_b": "eyes_nose_curved",
    "05_enm_s": "eyes_nose_mouth_flat",
    "06_enm_b": "eyes_nose_mouth_curved",
}
_CLIPS = {
    "Training": ("04_en_b", "05_enm_s", "06_enm_b"),
    "Val": ("01_e_s", "02_e_b", "03_en_s"),
    "Testing": ("01_e_s", "02_e_b", "03_en_s"),
}


class CasiaSurf(ListedCorpus):
    """See the module."""

    name = "casia-surf"
    domain = "SURF"
    title = "CASIA-SURF"
    list_name = "CASIA_SURF"

    def parse(self, path: str) -> SourceVideo | None:
        """See NamedCorpus. A clip must be one of its part and its side."""
        match = _PATH.fullmatch(path.removeprefix(self.folder))
        if match is None:
            return None
        part, side, subject, clip = match.groups()
        if clip not in (("real",) if side == "real_part" else _CLIPS[part]):
            return None
        kind = ("live", "") if clip == "real" else ("print", _CUTS[clip])
        return self._video(path, kind, subject, _SPLITS[part], camera="realsense", modality="rgb")

    def published(self) -> dict[str, tuple[int, int]]:
        """See Corpus."""
        return {"train": (300, 900), "dev": (100, 300), "test": (600, 1791)}

    def ignores(self, path: str) -> bool:
        """Depth, infrared and lists are part of the download and no videos of colour."""
        return super().ignores(path) or _BESIDE.fullmatch(path) is not None

    def examples(self) -> tuple[SourceVideo, ...]:
        """See Corpus."""
        return self._parsed(
            f"{part}/{side}/CLKJ_AS{number:04d}/{clip}.rssdk/color"
            for offset, (part, cuts) in enumerate(_CLIPS.items())
            for number in range(1 + 100 * offset, 9 + 100 * offset)
            for side, clips in (("real_part", ("real",)), ("fake_part", cuts))
            for clip in clips
        )
