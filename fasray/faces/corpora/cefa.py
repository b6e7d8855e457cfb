"""CASIA-SURF CeFA: three ethnic groups of 500 subjects, prints on cloth and paper, replays, masks; colour only.

Liu et al., "CASIA-SURF CeFA: a benchmark for multi-modal cross-ethnicity face anti-spoofing", WACV 2021; names as the
owners' own description of them has it.

``Ethnicity/R/R-NNN[-CARD]/P_NNN_D_S_A/color/NNNN.jpg``, a folder of frames is a video: R the group, AF (African), CA
(Central Asian) or EA (East Asian), and P its number, 1, 2 or 3; D the device, 1 RealSense, 2 mp4, 3 bag, 4 MOV; S the
place, 1 indoor, 2 outdoor, 3 random; A what is shown, 1 live, 2 cloth, 3 photo, 4 screen. Of each subject 1_1_1, 3_1_2,
3_2_2 and 3_1_4 were published: 1500 live and 4500 attack videos. Subjects 0 to 199 of each group train, 200 to 299
develop and 300 to 499 test, in all published protocols.

``Mask/3D-Mask/NNN/1_NNN_W_G_D_S_L/color`` (99 subjects) and ``Mask/Silicone-Mask/NNN/2_NNN_W_G_D_S_L/color`` (8): W
with a wig, G with glasses, D camera 1 or RealSense D435i 2, L the light, 1 none, 2 from behind, 3 along, 4 from the
side. 1123 mask videos, all for testing; which combinations exist follows no rule.

``R_Age_Gender.txt`` (lines ``AF-000 1999 F``), anywhere in the copy, gives year of birth and sex, where a line has
them; so does CARD, where folders have it: it begins with the year, and its last digit but one is even for women.
``age_group`` is the decade of life in 2019, as ``20-29``; that the recordings are of that year is assumed. Folders
``depth`` and ``ir`` are not used.

The copy of the challenge at CVPR 2020, whose dev and test folders have numbers only, is another one and not understood.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from fasray.faces.corpora.frame_folders import ListedCorpus
from fasray.faces.corpora.source_video import SourceVideo

_PERSON = re.compile(r"Ethnicity/(AF|CA|EA)/\1-(\d{3})(?:-(\d{4})\d*(\d)\d)?/([123])_\2_([1-4])_([123])_([1-4])/color")
_MASK = re.compile(r"Mask/(3D-Mask|Silicone-Mask)/(\d{3})/([12])_\2_([01])_([01])_([12])_([12])_([1-4])/color")
_BESIDE = re.compile(r".+/(depth|ir)(/.+)?")
_AGE_FILE = re.compile(r"(.+/)?(AF|CA|EA)_Age_Gender\.txt")
_AGES = re.compile(r"(AF|CA|EA)-(\d{3})\s+(\d{4})\s+([FM])\s*")
_GROUPS = ("AF", "CA", "EA")
_KINDS = {"1": ("live", ""), "2": ("print", "cloth"), "3": ("print", "photo"), "4": ("replay", "screen")}
_DEVICES = {"1": "rssdk", "2": "mp4", "3": "bag", "4": "mov"}
_PLACES = {"1": "indoor", "2": "outdoor", "3": "random"}
_CLIPS = ("1_1_1", "3_1_2", "3_2_2", "3_1_4")
_PEOPLE = 500
_MASKS = {"3D-Mask": ("1", "mask_3d"), "Silicone-Mask": ("2", "mask_silicone")}
_CAMERAS = {"1": "camera", "2": "d435i"}
_LIGHTS = {"1": "none", "2": "back", "3": "along", "4": "side"}
_YEAR = 2019


class Cefa(ListedCorpus):
    """See the module. ``session`` is the place, of masks with their light: indoor-side."""

    name = "cefa"
    domain = "CeFA"
    title = "CASIA-SURF CeFA"
    list_name = "CASIA_CeFA"
    folder = ""

    def parse(self, path: str) -> SourceVideo | None:
        """See NamedCorpus."""
        person, mask = _PERSON.fullmatch(path), _MASK.fullmatch(path)
        if person is not None:
            group, number, born, digit, race, device, place, shown = person.groups()
            if race != str(_GROUPS.index(group) + 1) or int(number) >= _PEOPLE:
                return None
            sex = "" if digit is None else "FM"[int(digit) % 2]
            return self._video(
                path,
                _KINDS[shown],
                f"{group}{number}",
                "train" if int(number) < 200 else "dev" if int(number) < 300 else "test",
                name=f"Ethnicity/{group}/{group}-{number}/{race}_{number}_{device}_{place}_{shown}",
                camera=_DEVICES[device],
                session=_PLACES[place],
                ethnicity=group,
                sex=sex,
                age_group=_decade(born),
                modality="rgb",
            )
        if mask is not None:
            folder, number, kind, _, _, device, place, light = mask.groups()
            expected, instrument = _MASKS[folder]
            if kind != expected:
                return None
            session = f"{_PLACES[place]}-{_LIGHTS[light]}"
            more = {"camera": _CAMERAS[device], "session": session, "modality": "rgb"}
            subject = f"{folder.removesuffix('-Mask')}{number}"
            return self._video(path, ("mask", instrument), subject, "test", name=path.removesuffix("/color"), **more)
        return None

    def people(self, root: str, paths: Sequence[str]) -> dict[str, dict[str, str]]:
        """See NamedCorpus. Age and sex, of the lines that have both."""
        texts = (
            Path(root, path).read_text(encoding="utf-8", errors="replace")
            for path in paths
            if _AGE_FILE.fullmatch(path)
        )
        lines = filter(None, (_AGES.fullmatch(line) for text in texts for line in text.splitlines()))
        return {
            f"{self.domain}-{group}{number}": {"age_group": _decade(born), "sex": sex}
            for group, number, born, sex in (line.groups() for line in lines)
        }

    def published(self) -> dict[str, tuple[int, int]]:
        """See Corpus."""
        return {"train": (600, 1800), "dev": (300, 900), "test": (600, 1800 + 1123)}

    def ignores(self, path: str) -> bool:
        """Depth, infrared, ages and the owners' lists are part of the download and no videos of colour."""
        return super().ignores(path) or (_BESIDE.fullmatch(path) or _AGE_FILE.fullmatch(path)) is not None

    def official_paths(self) -> list[str]:
        """See NamedCorpus. Those of people: which masks there are is in no rule, but in the owners' lists."""
        return [
            f"Ethnicity/{group}/{group}-{number:03d}/{race}_{number:03d}_{clip}/color"
            for race, group in enumerate(_GROUPS, 1)
            for number in range(_PEOPLE)
            for clip in _CLIPS
        ]


def _decade(born: str | None) -> str:
    """Return the decade of life in the year of the recordings; empty if unknown, or of a year that cannot be."""
    decade = 0 if born is None else (_YEAR - int(born)) // 10 * 10
    return f"{decade}-{decade + 9}" if 0 < decade < 110 else ""
