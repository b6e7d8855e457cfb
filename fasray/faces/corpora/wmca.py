"""WMCA: 72 people, prints, replays, glasses, mannequins and masks of paper, plastic and silicone; colour only.

George et al., "Biometric face presentation attack detection with multi-channel convolutional neural network", IEEE TIFS
15, 2020; names as the owners' documentation of them (``bob.db.batl``) has it.

``[preprocessed-face-station_RGB/][face-station/]DD.MM.YY/CCC_SS_PPP_T_II.hdf5`` with 128 x 128 colour pictures of cut
faces in ``Frame_N/array``; or, of copies that were exported, the same name as a video (``.avi``, ``.mp4``) or as a
folder of pictures. CCC is the client, the identity that is shown; SS the session, 01 to 07; PPP who presents an attack,
000 for nobody; T the kind, 0 live, 1 disguise, 2 fake face, 3 print or photo on a screen, 4 video; II the instrument,
tables below, of live 00 without and 01, 02 with glasses.

347 live and 1332 attack videos: train 124 and 441, dev 108 and 449, test 115 and 442, by client as protocol grandtest
has it. Which of the combinations exist follows no rule, so that single missing videos cannot be named here.

Trap: splits are by the identity that is shown. The same people hold or wear attacks of all three splits.
"""

from __future__ import annotations

import re
from typing import ClassVar

from fasray.faces.corpora.frame_folders import FrameCorpus
from fasray.faces.corpora.source_video import SourceVideo

_PATH = re.compile(
    r"(?:preprocessed-face-station_RGB/)?(?:face-station/)?(?:R_CDIT/|\d\d\.\d\d\.\d\d/)?"
    r"((\d{3})_(0[1-7])_(\d{3})_([0-4])_(\d\d))(?:\.(?:hdf5|avi|mp4))?"
)
_BESIDE = re.compile(r"(documentation|preprocessed-face-station_CDIT|PROTOCOLS?)/.+", re.IGNORECASE)
_CLIENTS = {
    "train": (
        2, 4, 5, 7, 14, 15, 21, 28, 29, 32, 34, 37, 38, 40, 41, 45, 46, 54, 61, 62, 64, 65, 68, 69, 98, 104, 106,
        108, 501, 503, 506, 513, 515, 516, 533,
    ),
    "dev": (
        3, 6, 9, 10, 13, 16, 18, 19, 22, 23, 24, 26, 33, 42, 47, 48, 52, 55, 56, 57, 58, 59, 66, 70, 71, 105, 107,
        110, 502, 504, 507, 512, 532, 534,
    ),
    "test": (
        1, 8, 11, 12, 17, 20, 25, 27, 30, 31, 35, 36, 39, 43, 44, 49, 50, 51, 53, 60, 63, 67, 72, 73, 99, 100, 101,
        102, 103, 109, 505, 514, 530, 535,
    ),
}  # fmt: skip
_SPLIT = {client: split for split, clients in _CLIENTS.items() for client in clients}
_GLASSES = ("partial", "glasses_funny_eyes")
_INSTRUMENTS: dict[tuple[int, range | tuple[int, ...]], tuple[str, str]] = {
    (0, range(3)): ("live", ""),
    (1, (1, 4, 5, 6, 7)): _GLASSES,
    (1, (15, 16)): ("partial", "glasses_paper"),
    (1, (2,)): ("mask", "mask_plastic"),
    (1, (13, 14)): ("mask", "mask_transparent"),
    (2, range(1, 8)): ("mask", "mask_mannequin"),
    (2, range(8, 12)): ("mask", "mask_paper"),
    (2, range(12, 18)): ("mask", "mask_rigid"),
    (2, (18, *range(75, 100))): ("mask", "mask_silicone"),
    (3, tuple(number for number in range(1, 16) if number % 5)): ("print", "print"),
    (3, (5, 10, 15)): ("replay", "photo_on_screen"),
    (4, range(1, 19)): ("replay", "video"),
}
_KINDS = {(kind, number): names for (kind, numbers), names in _INSTRUMENTS.items() for number in numbers}


class Wmca(FrameCorpus):
    """See the module."""

    name = "wmca"
    domain = "WMCA"
    title = "WMCA"
    frame: ClassVar[re.Pattern[str]] = re.compile(r"(?!\d{3}_)\w*\d+\.(jpg|png)")

    def parse(self, path: str) -> SourceVideo | None:
        """See NamedCorpus. A live video has no presenter."""
        match = _PATH.fullmatch(path)
        if match is None:
            return None
        name, client, session, presenter, kind, instrument = match.groups()
        found = _KINDS.get((int(kind), int(instrument)))
        if found is None or int(client) not in _SPLIT or (kind == "0" and presenter != "000"):
            return None
        split = _SPLIT[int(client)]
        return self._video(path, found, client, split, name=name, session=f"session{int(session)}", modality="rgb")

    def published(self) -> dict[str, tuple[int, int]]:
        """See Corpus."""
        return {"train": (124, 441), "dev": (108, 449), "test": (115, 442)}

    def ignores(self, path: str) -> bool:
        """Documentation, protocols and the other channels are part of the download and not used."""
        return _BESIDE.fullmatch(path) is not None

    def examples(self) -> tuple[SourceVideo, ...]:
        """See Corpus."""
        shown = ("000_0_00", "001_2_12", "000_3_01", "000_4_01")
        return self._parsed(
            f"R_CDIT/{client:03d}_01_{what}"
            for clients in _CLIENTS.values()
            for client in clients[:8]
            for what in shown
        )
