"""The memory of a preparation does not grow with the number of its videos."""

import os
import subprocess
import threading
from pathlib import Path

import pytest
from small_sweeps import COMMAND

from fasray.faces.corpora import get
from fasray.faces.mimics import MimicSettings, film

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
CORPUS = "casia-fasd"
MARK = "FASRAY_TEST_MEMORY"


class Peak:
    """Watches the memory of all processes that carry a mark: own pages, and shared ones divided among their users.

    Pages of library files are left out: how many users they are divided among depends on what else the machine runs.
    """

    def __init__(self, mark: str) -> None:
        self._mark = f"{MARK}={mark}".encode()
        self.bytes: dict[str, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Peak":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.5):
            now: dict[str, int] = {}
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit():
                    kind, size = self._look(entry)
                    now[kind] = now.get(kind, 0) + size
            for kind, size in now.items():
                self.bytes[kind] = max(self.bytes.get(kind, 0), size)

    def _look(self, entry: Path) -> tuple[str, int]:
        try:
            if self._mark not in (entry / "environ").read_bytes().split(b"\0"):
                return "other", 0
            command = (entry / "cmdline").read_bytes()
            kind = "driver" if b"prepare" in command else "workers" if b"_Worker" in command else "ray"
            lines = (entry / "smaps_rollup").read_text().splitlines()
            return kind, sum(
                int(line.split()[1]) * 1024 for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:"))
            )
        except OSError:
            return "other", 0


def test_500_videos_need_no_more_memory_than_50(tmp_path: Path) -> None:
    settings = MimicSettings(CORPUS, subjects=2, frames=1)
    face = film(settings, settings.videos()[0]).frames[0]
    peaks = {}
    for count in (50, 500):
        source = tmp_path / f"source-{count}"
        first = write_face(tmp_path / "face.avi", face)
        for video in get(CORPUS).official()[:count]:
            path = source / video.path
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(first, path)
        environment = {**os.environ, MARK: str(count), "OMP_NUM_THREADS": "1"}
        options = ["--frames", "4", "--image-size", "128", "--workers", "1", "--shard-rows", "64"]
        with Peak(str(count)) as peak:
            ran = subprocess.run(
                [COMMAND, "data", "prepare", CORPUS, source, tmp_path / f"set-{count}", *options],
                env=environment, capture_output=True, text=True, timeout=900,
            )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        peaks[count] = peak.bytes
    print({count: {kind: size >> 20 for kind, size in peak.items()} for count, peak in peaks.items()})
    for kind in ("driver", "workers"):
        assert peaks[500][kind] < peaks[50][kind] + 24 * 2**20, kind


def write_face(path: Path, face: object) -> Path:
    import cv2
    import numpy as np

    picture = np.asarray(face)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, picture.shape[1::-1])
    for _ in range(8):
        writer.write(np.ascontiguousarray(picture[..., ::-1]))
    writer.release()
    return path
