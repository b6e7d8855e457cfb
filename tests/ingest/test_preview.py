"""A look at some videos before a long preparation: which ones, what is said of them, and what is drawn."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from videos import write_video

from fasray.cli import cli
from fasray.errors import SpecError
from fasray.faces.corpora import get
from fasray.faces.mimics import MimicSettings, film
from fasray.ingest.preview import spread

MIMIC = MimicSettings("msu-mfsd", subjects=2, frames=1, size=(320, 240))


def test_the_videos_are_spread_over_domains_splits_and_attack_types() -> None:
    videos = [replace(video, domain=domain, subject=f"{domain}-{video.subject}", video=f"{domain}{video.video}")
              for domain in ("M", "N") for video in get("msu-mfsd").official()]  # fmt: skip
    chosen = spread(videos, 24)
    assert len(set(chosen)) == 24
    groups = Counter((video.domain, video.split, video.attack_type) for video in chosen)
    assert set(groups.values()) == {2}, "two of each of twelve"
    assert len({video.subject for video in chosen}) > 6
    assert chosen == spread(videos[::-1], 24)
    few = [video for video in videos if video.attack_type == "live"][:30] + videos[-1:]
    assert len(spread(few, 20)) == 20, "a small group leaves its places to others"
    assert len(spread(videos, 10**6)) == len(videos)


def test_twenty_videos_are_looked_at_and_no_set_is_written(tmp_path: Path) -> None:
    video = next(video for video in MIMIC.videos() if video.attack_type == "live")
    for folder in ("live", "attack"):
        (tmp_path / "src" / folder).mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "src/live/ann.png"), np.ascontiguousarray(film(MIMIC, video).frames[0]))
    write_video(tmp_path / "src/attack/bob.avi", frames=3)
    (tmp_path / "src/attack/eve.png").write_bytes(b"\x89PNG\r\n")
    arguments = ["data", "prepare", "folders", str(tmp_path / "src"), str(tmp_path / "new/set"), "--domain", "X"]
    ran = CliRunner().invoke(cli, [*arguments, "--pattern", "{label}/{subject}.*", "--try", "20", "--frames", "2"])
    assert ran.exit_code == 0, ran.output
    lines = {line.split()[0]: line.split() for line in ran.stdout.splitlines() if line.strip()}
    assert lines["live/ann.png"][-2:] == ["1", "1"]
    assert lines["attack/bob.avi"][-2:] == ["2", "0"]
    assert "not a picture that can be" in ran.stdout
    assert "a face in 1 of 3 videos" in ran.stdout
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["set-try.png"]
    sheet = cv2.imread(str(tmp_path / "new/set-try.png"))
    assert sheet is not None
    shown = [(sheet[144 * row + 16 : 144 * (row + 1), :128] > 0).mean() for row in range(3)]
    assert shown[0] > 0.9, "the face of the living"
    assert max(shown[1:]) < 0.2, "there is none to show"


def test_pictures_that_come_cut_out_are_all_used(tmp_path: Path) -> None:
    (tmp_path / "src/live").mkdir(parents=True)
    for name, grey in (("a", 90), ("b", 200)):
        cv2.imwrite(str(tmp_path / f"src/live/{name}.png"), np.full((96, 96, 3), grey, np.uint8))
    arguments = ["data", "prepare", "folders", str(tmp_path / "src"), str(tmp_path / "set"), "--domain", "X"]
    arguments += ["--pattern", "{label}/{subject}.png", "--try", "2"]
    for more, found in (([], 0), (["--cropped", "detect"], 0), (["--cropped"], 2)):
        ran = CliRunner().invoke(cli, [*arguments, *more])
        assert f"a face in {found} of 2 videos" in ran.stdout, ran.output


def test_options_of_folders_are_of_folders_alone(tmp_path: Path) -> None:
    for option, value in (("--pattern", "{label}/*"), ("--domain", "X"), ("--label", "a=live"), ("--letter", "a=A")):
        ran = CliRunner().invoke(cli, ["data", "prepare", "msu-mfsd", str(tmp_path), "out", option, value])
        assert isinstance(ran.exception, SpecError)
        assert option in str(ran.exception)
    ran = CliRunner().invoke(
        cli, ["data", "prepare", "folders", str(tmp_path), "out", "--pattern", "a", "--label", "x"]
    )
    assert "'x' is not of the form NAME=VALUE" in str(ran.exception)


@pytest.mark.parametrize("out", ["s3://bucket/set"])
def test_a_look_writes_its_picture_to_a_local_disk(tmp_path: Path, out: str) -> None:
    (tmp_path / "live").mkdir()
    (tmp_path / "live/a.png").touch()
    arguments = ["data", "prepare", "folders", str(tmp_path), out, "--domain", "X", "--pattern", "{label}/*.png"]
    ran = CliRunner().invoke(cli, [*arguments, "--try", "3"])
    assert "writes a picture to a local disk" in str(ran.exception)
