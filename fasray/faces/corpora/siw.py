"""SiW (Spoof in the Wild): 165 subjects, two cameras, prints and four screens.

Liu et al., "Learning deep models for face anti-spoofing: binary or auxiliary supervision", CVPR 2018.

``{Train,Test}/{live,spoof}/SSS/SSS-CAMERA-TYPE-MEDIUM-SESSION.mov``: camera 1 Canon EOS T6, 2 Logitech C920; type 1
live, 2 print, 3 replay; medium of live: 1 normal, 2 extra light; of prints: 1 high, 2 low resolution; of replays: 1
iPad Pro, 2 iPhone 7 Plus, 3 Asus MB168B, 4 Samsung S8; session 1 or 2. 75 subjects test (numbers below, from the
publicly listed files), the other 90 train, no dev split.

Traps: some live videos are called ``SSS-2-1-M-S.m.mov``. Lists of other tools have stems that end in ``_60``: a window
of 60 frames, not a file; a file of such a name is not understood here. ``SiW-60`` is another download.

Not every combination exists, and what is missing differs between subjects: 4478 videos were announced, and public lists
have 4469 (train 714 live + 1702 attack, test 599 + 1454). So single missing videos cannot be named here.
"""

from __future__ import annotations

import re

from fasray.faces.corpora.named import NamedCorpus
from fasray.faces.corpora.source_video import SourceVideo

_PATH = re.compile(r"(Train|Test)/(live|spoof)/(\d{3})/((\d{3})-([12])-([123])-([1-4])-([12]))(\.m)?\.mov")
_CAMERAS = {"1": "canon_t6", "2": "logitech_c920"}
_KINDS = {"1": "live", "2": "print", "3": "replay"}
_MEDIA = {
    "1": {"1": "", "2": ""},
    "2": {"1": "print_high", "2": "print_low"},
    "3": {"1": "ipad_pro", "2": "iphone7_plus", "3": "asus_mb168b", "4": "samsung_s8"},
}
_LIGHT = {"1": "normal", "2": "extra"}
_SUBJECTS = range(1, 166)
_TEST = frozenset(
    {
        1, 2, 4, 5, 8, 9, 10, 12, 13, 15, 18, 19, 20, 21, 23, 24, 25, 26, 27, 29, 31, 36, 37, 39, 43, 44, 48, 49,
        50, 52, 53, 57, 59, 61, 64, 65, 66, 67, 71, 73, 75, 79, 82, 83, 84, 85, 87, 88, 90, 94, 95, 97, 102, 106,
        108, 109, 110, 114, 116, 118, 122, 124, 125, 126, 130, 132, 137, 138, 139, 141, 142, 153, 154, 158, 161,
    }
)  # fmt: skip


class Siw(NamedCorpus):
    """See the module. ``session`` is the session's number, for live videos with their light: 1-normal."""

    name = "siw"
    domain = "S"
    title = "SiW"
    listed = {"train": (714, 1702), "test": (599, 1454)}

    def parse(self, path: str) -> SourceVideo | None:
        """See NamedCorpus. Folder and name must agree about subject, split and live or spoof."""
        match = _PATH.fullmatch(path)
        if match is None:
            return None
        folder, shown, person, stem, subject, camera, kind, medium, session, _ = match.groups()
        split = "test" if int(subject) in _TEST else "train"
        consistent = person == subject and folder.lower() == split and (shown == "live") == (_KINDS[kind] == "live")
        if not consistent or int(subject) not in _SUBJECTS or medium not in _MEDIA[kind]:
            return None
        return SourceVideo(
            path=path,
            attack_type=_KINDS[kind],
            instrument=_MEDIA[kind][medium],
            domain=self.domain,
            subject=f"{self.domain}{subject}",
            video=f"{self.domain}/{folder}/{shown}/{subject}/{stem}",
            camera=_CAMERAS[camera],
            session=f"{session}-{_LIGHT[medium]}" if shown == "live" else session,
            split=split,
        )
