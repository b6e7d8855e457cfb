"""Eight trees as people have them, from files to a table of results."""

import json
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from fasray.cli import cli
from fasray.execution.ray_session import ray_session
from fasray.faces.corpora.folders import FolderRules, Folders
from fasray.faces.extraction.extract import Settings
from fasray.faces.extraction.frames import FrameRule
from fasray.faces.mimics import MimicSettings, film
from fasray.faces.sets.reading import read_index
from fasray.faces.sets.verify import verify
from fasray.ingest.chunks import make_plan
from fasray.ingest.worklog import Worklog

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
MIMIC = MimicSettings("casia-fasd", subjects=6, frames=2, size=(160, 120))
DOMAINS = ("lab", "home", "street")
Rules = tuple[tuple[str, ...], dict[str, str]]
"""Patterns, and words with their meanings."""
SWEEP = """
name: folders
data: {faces}
protocols: [{protocols}]
methods:
  erm: {{space: {{}}}}
confirm: {{seeds: [0]}}
training: {{profile: smoke, image_size: 64}}
"""


@dataclass(frozen=True)
class Clip:
    """One generated video: who, of what domain, and its frames."""

    domain: str
    subject: str
    live: bool
    number: int
    frames: list[np.ndarray]

    def words(self, live: str = "live", attack: str = "spoof") -> dict[str, Any]:
        return {"d": self.domain, "s": self.subject, "n": self.number, "l": live if self.live else attack}

    def save(self, path: Path) -> None:
        """Write the first frame as a picture, or all of them as a video."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() != ".avi":
            path.write_bytes(cv2.imencode(path.suffix.lower(), self.frames[0])[1].tobytes())
            return
        made = path.with_name("made.avi")
        writer = cv2.VideoWriter(str(made), cv2.VideoWriter.fourcc(*"MJPG"), 25, MIMIC.size)
        for frame in self.frames:
            writer.write(frame)
        writer.release()
        made.rename(path)


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    people = sorted({video.subject for video in MIMIC.videos()})
    made = []
    for video in MIMIC.videos():
        number = int(Path(video.path).stem) if Path(video.path).stem.isdecimal() else 0
        if number in (1, 2, 3, 7):
            who = people.index(video.subject)
            frames = [np.ascontiguousarray(frame) for frame in film(MIMIC, video).frames]
            made.append(Clip(DOMAINS[who % 3], f"p{who}", video.attack_type == "live", number, frames))
    return made


def nested(clips: list[Clip], root: Path) -> Rules:
    for clip in clips:
        clip.save(root / "data/{d}/{s}/{l}/{n}.avi".format(**clip.words()))
    return ("data/{domain}/{subject}/{label}/*.avi",), {}


def flat(clips: list[Clip], root: Path) -> Rules:
    for clip in clips:
        clip.save(root / "{d}-{s}-{l}-{n}.png".format(**clip.words("1", "0")))
    return ("{domain}-{subject}-{label}-*.png",), {}


def label_in_the_file_name(clips: list[Clip], root: Path) -> Rules:
    for clip in clips:
        clip.save(root / "{d}/{s}/{n}_{l}.jpg".format(**clip.words("authentic", "print")))
    return ("{domain}/{subject}/*_{label}.jpg",), {"authentic": "live"}


def subject_in_the_folder(clips: list[Clip], root: Path) -> Rules:
    for clip in clips:
        for number, frame in enumerate(clip.frames):
            path = root / "{d}/{l}/{s}/{n}".format(**clip.words("real", "fake")) / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), frame)
    return ("{domain}/{label}/{subject}/*/{frame}.png",), {}


def mixed_stills_and_videos(clips: list[Clip], root: Path) -> Rules:
    for clip in clips:
        clip.save(root / ("{d}/{l}/{s}_{n}" + (".avi" if clip.number == 1 else ".webp")).format(**clip.words()))
    return ("{domain}/{label}/{subject}_*.*",), {}


def names_that_are_not_ascii(clips: list[Clip], root: Path) -> Rules:
    for clip in clips:
        name = "{d}/{l}/Jos\u00e9 {s}/\u7167\u7247 {n}.png".format(**clip.words("\u771f", "\u00e9cran"))
        clip.save(root / unicodedata.normalize("NFD", name))
    return ("{domain}/{label}/{subject}/*.png",), {"\u771f": "live", "\u00e9cran": "replay"}


def upper_case_endings(clips: list[Clip], root: Path) -> Rules:
    for clip in clips:
        clip.save(root / ("{d}/{l}/{s}_{n}" + (".AVI" if clip.number == 1 else ".PNG")).format(**clip.words()))
    return ("{domain}/{label}/{subject}_*.png", "{domain}/{label}/{subject}_*.avi"), {}


def symlinked(clips: list[Clip], root: Path) -> Rules:
    store = root.with_name("store")
    for clip in clips:
        clip.save(store / "{d}_{l}/{s}_{n}.png".format(**clip.words("real", "mask")))
    for domain in DOMAINS:
        (root / domain).mkdir(parents=True)
        for word in ("real", "mask"):
            (root / domain / word).symlink_to(store / f"{domain}_{word}")
    (root / "all").symlink_to(root)
    return ("{domain}/{label}/{subject}_*.png",), {}


LAYOUTS: tuple[Callable[[list[Clip], Path], Rules], ...] = (
    nested, flat, label_in_the_file_name, subject_in_the_folder, mixed_stills_and_videos, names_that_are_not_ascii,
    upper_case_endings, symlinked,
)  # fmt: skip


def run(*arguments: str) -> str:
    ran = CliRunner().invoke(cli, arguments)
    assert ran.exit_code == 0, ran.output + repr(ran.exception)
    return ran.stdout


def check(faces: str, clips: list[Clip], names: dict[str, str]) -> None:
    """Check that a set holds the people, the videos and the labels of the clips."""
    assert verify(faces) == []
    index = read_index(faces)
    found = {
        (domain, person.rpartition("p")[2], bool(label))
        for domain, person, label in zip(
            index.domain.tolist(), index.subject.tolist(), index.label.tolist(), strict=True
        )
    }
    assert found == {(names[clip.domain], clip.subject[1:], clip.live) for clip in clips}
    assert len(set(index.video.tolist())) >= 0.9 * len(clips)


def test_eight_trees_become_face_sets_and_a_table(
    clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASRAY_POOL_DIR", str(tmp_path / "pools"))
    sets, protocols = [], []
    with ray_session():
        from fasray.ingest.prepare import prepare

        for number, layout in enumerate(LAYOUTS):
            root, faces = tmp_path / f"{layout.__name__}/tree", str(tmp_path / f"{layout.__name__}/faces")
            patterns, labels = layout(clips, root)
            (root / "read me.txt").write_text("copied by hand")
            names = {domain: f"{domain}{number}" for domain in DOMAINS}
            adapter = Folders(FolderRules(patterns, labels, letters=names))
            plan = make_plan(adapter, str(root), Settings(FrameRule(count=2), image_size=64))
            assert plan.findings.extra == ("read me.txt",)
            prepare(plan, Worklog.open(faces, plan), actors=1)
            check(faces, clips, names)
            sets.append(faces)
            protocols.append(f"lab{number}&home{number}->street{number}")
    run("data", "merge", *sets, "faces")
    (tmp_path / "sweep.yaml").write_text(SWEEP.format(faces="faces", protocols=", ".join(protocols)))
    run("sweep", "sweep.yaml", "--out", "run")
    rows: list[dict[str, Any]] = json.loads(run("results", "run", "--format", "json"))
    assert {row["protocol"] for row in rows} == set(protocols)
