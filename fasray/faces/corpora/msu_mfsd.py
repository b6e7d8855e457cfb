"""MSU-MFSD: a laptop and an Android phone; prints, iPad and iPhone replays.

Wen et al., "Face spoof detection with image distortion analysis", IEEE TIFS 10(4), 2015.

``real/real_clientNNN_{android,laptop}_SD_scene01.{mp4,mov}`` and
``attack/attack_clientNNN_{android,laptop}_SD_{ipad_video,iphone_video,printed_photo}_scene01.{mp4,mov}``, in some
copies under a folder ``scene01``. The phone wrote mp4, the laptop mov. 35 of the 55 recorded clients were published: 15
train and 20 test, 70 live and 210 attack videos, no dev split.

Trap: the phone's live videos of clients 3 and 5 to 9 were filmed upside down. Copies that went through a converter have
lost the tag that says so.
"""

from __future__ import annotations

import itertools
import re

from fasray.faces.corpora.named import NamedCorpus
from fasray.faces.corpora.source_video import SourceVideo

_REAL = re.compile(r"real/real_client(\d{3})_(android|laptop)_SD_scene01\.(mp4|mov)")
_ATTACK = re.compile(
    r"attack/attack_client(\d{3})_(android|laptop)_SD_(ipad_video|iphone_video|printed_photo)_scene01\.(mp4|mov)"
)
_BESIDE = re.compile(r"(train_sub_list|test_sub_list)\.txt|(real|attack)/.+\.face")
_SUFFIX = {"android": "mp4", "laptop": "mov"}
_CLIENTS = {
    "train": (2, 3, 5, 6, 7, 8, 9, 11, 12, 21, 22, 34, 53, 54, 55),
    "test": (1, 13, 14, 23, 24, 26, 28, 29, 30, 32, 33, 35, 36, 37, 39, 42, 48, 49, 50, 51),
}
_SPLIT = {client: split for split, clients in _CLIENTS.items() for client in clients}
_UPSIDE_DOWN = (3, 5, 6, 7, 8, 9)


class MsuMfsd(NamedCorpus):
    """See the module."""

    name = "msu-mfsd"
    domain = "M"
    title = "MSU-MFSD"
    folder = "scene01/"
    tagged = True

    def parse(self, path: str) -> SourceVideo | None:
        """See NamedCorpus."""
        inner = path.removeprefix(self.folder)
        real, attack = _REAL.fullmatch(inner), _ATTACK.fullmatch(inner)
        if real is not None:
            client, camera, suffix = real.groups()
            instrument = ""
        elif attack is not None:
            client, camera, instrument, suffix = attack.groups()
        else:
            return None
        if int(client) not in _SPLIT or suffix != _SUFFIX[camera]:
            return None
        attack_type = "live" if real else "print" if instrument == "printed_photo" else "replay"
        turned = attack_type == "live" and camera == "android" and int(client) in _UPSIDE_DOWN
        return SourceVideo(
            path=path,
            attack_type=attack_type,
            instrument=instrument,
            domain=self.domain,
            subject=f"{self.domain}{client}",
            video=f"{self.domain}/{inner.removesuffix(f'.{suffix}')}",
            camera=camera,
            session="scene01",
            split=_SPLIT[int(client)],
            rotate_untagged=180 if turned else 0,
        )

    def official_paths(self) -> list[str]:
        """See NamedCorpus."""
        paths = []
        for client, (camera, suffix) in itertools.product(_SPLIT, _SUFFIX.items()):
            paths.append(f"real/real_client{client:03d}_{camera}_SD_scene01.{suffix}")
            paths += [
                f"attack/attack_client{client:03d}_{camera}_SD_{kind}_scene01.{suffix}"
                for kind in ("ipad_video", "iphone_video", "printed_photo")
            ]
        return paths

    def ignores(self, path: str) -> bool:
        """Subject lists and face boxes are part of the download and not used."""
        return _BESIDE.fullmatch(path.removeprefix(self.folder)) is not None
