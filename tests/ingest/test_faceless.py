"""Clips without a face, from the files of a corpus to APNRR and BPNRR of a PAD report."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from fasray.cli import cli
from fasray.faces.corpora import SourceVideo
from fasray.faces.mimics import MimicSettings
from fasray.results.pad_report import PadOptions, build_pad_report
from fasray.runs.record import read_run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
SUBJECTS = 6
SWEEP = """
name: faceless
data: {data}
protocols: [C->M]
methods: {{erm: {{space: {{}}}}}}
confirm: {{seeds: [0]}}
training: {{profile: smoke, image_size: 64}}
"""


def fasray(*arguments: str | Path | int) -> str:
    ran = CliRunner().invoke(cli, list(map(str, arguments)), catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return ran.stdout


def empty_room(path: Path) -> None:
    """Put a clip of a wall in place of a video."""
    made = path.with_name("room.avi")
    writer = cv2.VideoWriter(str(made), cv2.VideoWriter.fourcc(*"MJPG"), 25, (240, 180))
    for _ in range(4):
        writer.write(np.full((180, 240, 3), 128, np.uint8))
    writer.release()
    made.rename(path)


def taken_away(root: Path) -> tuple[Counter[str], SourceVideo]:
    """Leave a fifth of the judged videos without a face, and one without content."""
    judged = [video for video in MimicSettings("msu-mfsd", subjects=SUBJECTS).videos() if video.split != "dev"]
    for video in judged[::5]:
        empty_room(root / video.path)
    (root / judged[1].path).write_bytes(b"")
    return Counter(video.attack_type for video in judged[::5]), judged[1]


def test_clips_without_a_face_are_counted_in_the_pad_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASRAY_POOL_DIR", str(tmp_path / "pools"))
    monkeypatch.chdir(tmp_path)
    for corpus in ("casia-fasd", "msu-mfsd"):
        fasray("data", "synth", "--as", corpus, "--subjects", SUBJECTS, "--frames", 4, f"{corpus}-videos")
    faceless, unreadable = taken_away(tmp_path / "msu-mfsd-videos")
    for corpus in ("casia-fasd", "msu-mfsd"):
        fasray("data", "prepare", corpus, f"{corpus}-videos", corpus, "--frames", 2, "--image-size", 64)
    fasray("data", "merge", "casia-fasd", "msu-mfsd", "both")
    Path("sweep.yaml").write_text(SWEEP.format(data=tmp_path / "both"))
    fasray("sweep", "sweep.yaml", "--out", "run")
    report = build_pad_report(read_run("run"), PadOptions("erm", "C->M"))

    missing = report.missing
    assert {"live": missing.live, **dict(missing.attacks)} == faceless
    assert missing.unreadable == 1
    columns = report.species.headers
    species = {row[0]: dict(zip(columns, row, strict=True)) for row in report.species.rows}
    for each in report.counts.species:
        lost = faceless[each.name]
        if each.count:
            assert each.count + lost + (each.name == unreadable.attack_type) == sum(
                video.attack_type == each.name and video.split != "dev"
                for video in MimicSettings("msu-mfsd", subjects=SUBJECTS).videos()
            )
            assert species[each.name]["APNRR"] == f"{100 * lost / (lost + each.count):.2f}"
    live = report.counts.live
    excluded, counted = (dict(zip(report.treatments.headers, row, strict=True)) for row in report.treatments.rows)
    accepted, attacks = (sum(getattr(each, name) for each in report.counts.species) for name in ("errors", "count"))
    assert excluded["HTER"] == f"{50 * (accepted / attacks + live.errors / live.count):.2f}"
    everyone, judged = attacks + sum(dict(missing.attacks).values()), live.count + missing.live
    assert counted["HTER"] == f"{50 * (accepted / everyone + (live.errors + missing.live) / judged):.2f}"
    print(report.species.rows, report.bona_fide.rows, report.treatments.rows)
