"""Lists of a corpus from their import to the scores of a trial, and from a trial back to its lists; no Ray."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from fasray.cli import cli
from fasray.errors import DataError, SpecError
from fasray.faces.sets.reading import read_index
from fasray.faces.synthetic import generate


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face set of eight people, and lists of their videos in the form that corpora have theirs."""
    folder = tmp_path_factory.mktemp("lists")
    generate(str(folder / "faces"), subjects=8, domains="C", image_size=32, processes=1)
    index = read_index(str(folder / "faces"))
    people = sorted(set(index.subject.tolist()))
    videos = dict(
        zip(index.video.tolist(), zip(index.label.tolist(), index.subject.tolist(), strict=True), strict=True)
    )
    for role, own in (("train", people[:4]), ("dev", people[4:6]), ("test", people[6:])):
        lines = [f"COPY/{video}.avi {1 - label}" for video, (label, subject) in videos.items() if subject in own]
        (folder / f"C@p1_video_{role}.txt").write_text("\n".join(lines))
    return folder


def run(place: Path, *arguments: str) -> Result:
    environment = {"FASRAY_POOL_DIR": str(place / "pools"), "OMP_NUM_THREADS": "1"}
    return CliRunner(env=environment).invoke(cli, arguments, catch_exceptions=False, standalone_mode=False)


def import_lists(place: Path, *more: str) -> Result:
    files = [str(place / f"C@p1_video_{role}.txt") for role in ("train", "dev", "test")]
    return run(place, "protocol", "import", *files, "--data", str(place / "faces"), "--out", *more)


def test_lists_become_a_protocol_that_trains_and_trains_again_without_its_file(place: Path) -> None:
    file = place / "lists" / "c-1.json"
    said = import_lists(place, str(file)).output
    assert said.startswith(f"{file}: c-1@")
    assert "videos: " in said
    sizes = {"image_size": 32, "width": 0.125, "steps": 2, "evaluations": 1}
    settings = [part for key, value in sizes.items() for part in ("--set", f"training.{key}={value}")]
    data = ("--data", str(place / "faces"))
    run(place, "train", "erm", "--protocol", str(file), *data, *settings, "--set", "config.images_per_group=2",
        "--out", str(place / "trial"))  # fmt: skip
    scores = pq.read_table(place / "trial" / "eval-00000002.parquet").to_pydict()
    for role, name in (("source-dev", "dev"), ("target", "test")):
        listed = {line.split()[0][5:-4] for line in (place / f"C@p1_video_{name}.txt").read_text().splitlines()}
        assert {video for video, kind in zip(scores["video"], scores["role"], strict=True) if kind == role} == listed
    file.unlink()
    run(place, "train", "--spec", str(place / "trial" / "spec.json"), *data, "--out", str(place / "again"))
    again = pq.read_table(place / "again" / "eval-00000002.parquet").to_pydict()
    assert again["score"] == scores["score"]


def test_a_wrong_line_is_named_and_nothing_is_written(place: Path) -> None:
    damaged = place / "C@p1_video_train.txt"
    text = damaged.read_text()
    damaged.write_text(text.replace("COPY/", "COPY/x", 1))
    with pytest.raises(DataError, match="C@p1_video_train.txt, line 1: no video of the data"):
        import_lists(place, str(place / "bad.json"))
    damaged.write_text(text)
    with pytest.raises(SpecError, match=r"does not end with \.json"):
        import_lists(place, str(place / "bad.txt"))
    assert not list(place.glob("bad*"))
