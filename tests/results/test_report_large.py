"""The report of a thousand trials is there in half a minute, and of a size that can be mailed."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest
from made_runs import METHODS, PROTOCOLS, Size, write_run

MOST_SECONDS, MOST_BYTES = 30, 20e6


@pytest.mark.slow
def test_a_thousand_trials_take_half_a_minute(tmp_path: Path) -> None:
    size = Size(METHODS, PROTOCOLS, searched=31, seeds=range(5), evaluations=20, target_videos=300, source_videos=100)
    assert write_run(tmp_path / "run", size) == 1008
    page = tmp_path / "report.html"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "fasray", "report", str(tmp_path / "run"), "-o", str(page)], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Processor time: what else runs on the machine is not the report's.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < MOST_SECONDS
    assert page.stat().st_size < MOST_BYTES
    assert page.read_text(encoding="utf-8").count('<details class="cell"') == 28
