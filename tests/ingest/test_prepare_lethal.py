"""A file that kills whoever decodes it ends neither the preparation nor its reports."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from locations import SUPPORT
from small_sweeps import environment

from fasray.execution.ray_session import ray_session
from fasray.faces.corpora import get
from fasray.faces.extraction.extract import Settings
from fasray.faces.extraction.frames import FrameRule
from fasray.faces.mimics import MimicSettings, write
from fasray.faces.sets.verify import verify
from fasray.ingest.chunks import make_plan
from fasray.ingest.worklog import Worklog

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_lethal_file_is_left_out_after_three_tries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(str(tmp_path / "whole"), MimicSettings("msu-mfsd", subjects=2, frames=2), processes=1)
    source = Path(shutil.copytree(tmp_path / "whole", tmp_path / "source"))
    entries = get("msu-mfsd").entries(str(source))
    path = source / entries[5].path
    path.unlink()
    codec = "mp4v" if path.suffix == ".mp4" else "MJPG"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 25, (160, 120))
    writer.write(np.full((120, 160, 3), 255, np.uint8))
    writer.release()
    here = str(SUPPORT)
    monkeypatch.syspath_prepend(here)
    settings = Settings(FrameRule(count=1), image_size=64, detector="lethal_detector:KIND")
    with environment({"PYTHONPATH": here}), ray_session():
        from fasray.ingest.prepare import prepare

        plan = make_plan("msu-mfsd", str(source), settings)
        outcome = prepare(plan, Worklog.open(str(tmp_path / "set"), plan))
    assert [(problem.path, problem.reason) for problem in outcome.problems] == [
        (entries[5].path, "3 processes died of it")
    ]
    assert sum(counts.frames for counts in outcome.counts) == len(entries) - 1
    assert verify(str(tmp_path / "set")) == []
