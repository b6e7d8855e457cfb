"""Replay-Attack (Idiap): one webcam, controlled and adverse light, prints and two displays, held or on a stand.

Chingovska et al., "On the effectiveness of local binary patterns in face anti-spoofing", BIOSIG 2012. Client numbers by
split are those of the publisher's own lists.

``S/real/clientNNN_session01_webcam_authenticate_{controlled,adverse}_{1,2}.mov`` and
``S/attack/{fixed,hand}/attack_DEVICE_clientNNN_session01_SOURCE_{photo,video}_{controlled,adverse}.mov`` with S one of
train, devel (our dev), test. (DEVICE, SOURCE, content) is print/highdef/photo, mobile/mobile/{photo,video} or
highdef/highdef/{photo,video}. 15, 15 and 20 clients; live and attack videos 60 + 300, 60 + 300, 80 + 400.

``enroll`` videos are for face recognition and are not used. ``face-locations`` and ``protocols`` may be there, too.

Trap: ``attack_mobile_..._photo`` and ``attack_highdef_..._photo`` show a photo on a display. They are replay attacks;
only ``attack_print`` is print.
"""

from __future__ import annotations

import itertools
import re

from fasray.faces.corpora.named import NamedCorpus
from fasray.faces.corpora.source_video import SourceVideo

_REAL = re.compile(
    r"(train|devel|test)/real/client(\d{3})_session01_webcam_authenticate_(controlled|adverse)_[12]\.mov"
)
_ATTACK = re.compile(
    r"(train|devel|test)/attack/(fixed|hand)/"
    r"attack_(print|mobile|highdef)_client(\d{3})_session01_(highdef|mobile)_(photo|video)_(controlled|adverse)\.mov"
)
_ENROLL = re.compile(r"enroll/(train|devel|test)/client\d{3}_session01_webcam_enroll_(controlled|adverse)\.mov")
_BESIDE = re.compile(r"(face-locations|protocols)/.+")
_SPLIT = {"train": "train", "devel": "dev", "test": "test"}
_CLIENTS = {
    "train": (1, 2, 4, 6, 7, 8, 12, 16, 18, 25, 27, 103, 105, 108, 110),
    "devel": (3, 5, 10, 15, 17, 22, 29, 30, 101, 111, 113, 114, 116, 118, 119),
    "test": (9, 11, 13, 14, 19, 20, 21, 23, 24, 26, 28, 31, 102, 104, 106, 107, 109, 112, 115, 117),
}
_ATTACKS = (
    ("print", "highdef", "photo"),
    ("mobile", "mobile", "photo"),
    ("mobile", "mobile", "video"),
    ("highdef", "highdef", "photo"),
    ("highdef", "highdef", "video"),
)


class ReplayAttack(NamedCorpus):
    """See the module. ``session`` is the light; ``instrument`` is device, content and support: mobile_photo_hand."""

    name = "replay-attack"
    domain = "I"
    title = "Replay-Attack"

    def parse(self, path: str) -> SourceVideo | None:
        """See NamedCorpus."""
        real, attack = _REAL.fullmatch(path), _ATTACK.fullmatch(path)
        if real is not None:
            folder, client, light = real.groups()
            attack_type, instrument = "live", ""
        elif attack is not None:
            folder, support, device, client, source, content, light = attack.groups()
            if (device, source, content) not in _ATTACKS:
                return None
            attack_type = "print" if device == "print" else "replay"
            instrument = f"{device}_{content}_{support}"
        else:
            return None
        if int(client) not in _CLIENTS[folder]:
            return None
        return SourceVideo(
            path=path,
            attack_type=attack_type,
            instrument=instrument,
            domain=self.domain,
            subject=f"{self.domain}{client}",
            video=f"{self.domain}/{path.removesuffix('.mov')}",
            camera="webcam",
            session=light,
            split=_SPLIT[folder],
        )

    def official_paths(self) -> list[str]:
        """See NamedCorpus."""
        lights, takes, supports = ("controlled", "adverse"), (1, 2), ("fixed", "hand")
        paths = []
        for folder, clients in _CLIENTS.items():
            for client, light, take in itertools.product(clients, lights, takes):
                paths.append(f"{folder}/real/client{client:03d}_session01_webcam_authenticate_{light}_{take}.mov")
            for client, light, support, kind in itertools.product(clients, lights, supports, _ATTACKS):
                device, source, content = kind
                name = f"attack_{device}_client{client:03d}_session01_{source}_{content}_{light}.mov"
                paths.append(f"{folder}/attack/{support}/{name}")
        return paths

    def ignores(self, path: str) -> bool:
        """Enrolment videos, face boxes and lists are part of the download and not used."""
        return _ENROLL.fullmatch(path) is not None or _BESIDE.fullmatch(path) is not None
