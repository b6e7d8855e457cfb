"""Fixed lists made from mimics of each kind (videos, folders of frames, stills): imported, and run to a table."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from small_sweeps import COMMAND

from fasray.cli.protocol import protocol
from fasray.faces import corpora
from fasray.faces.extraction.extract import Extractor, Settings
from fasray.faces.extraction.frames import FrameRule
from fasray.faces.mimics import MimicSettings, write
from fasray.faces.sets.shards import write_shards

NAMES = {"msu-mfsd": "MSU_MFSD", "casia-surf": "CASIA_SURF", "celeba-spoof": "CelebA_Spoof"}
COUNTS = {"msu-mfsd": (8, 8, 16), "casia-surf": (8, 4, 4), "celeba-spoof": (8, 4, 4)}
"""Videos that train, develop and test."""
SWEEP = """
name: lists
data: faces
protocols: [MSU_MFSD.json, CASIA_SURF.json, CelebA_Spoof.json]
methods:
  erm: {space: {}}
confirm: {seeds: [0]}
training: {profile: smoke, image_size: 64}
"""


def lists_of(corpus: str, folder: Path) -> list[str]:
    """Write lists of the published form (``NAME@p1_..._train.txt``, ``NAME/path label``) and return their paths.

    Those of CASIA-SURF are in the mimic. Without a split dev, the last person of train is there.
    """
    if corpus == "casia-surf":
        return sorted(str(path) for path in (folder / corpus / "protocol").glob("*_video_*.txt"))
    videos = corpora.get(corpus).survey(str(folder / corpus)).videos
    last = max(video.subject for video in videos if video.split == "train")
    kind = "image" if corpus == "celeba-spoof" else "video"
    texts: dict[str, str] = {}
    for video in videos:
        role = "dev" if video.subject == last else video.split
        path = video.path if kind == "image" else video.path.rpartition(".")[0]
        texts[role] = texts.get(role, "") + f"{NAMES[corpus]}/{path} {1 - video.label}\n"
    files = {role: folder / f"{NAMES[corpus]}@p1_{kind}_{role}.txt" for role in texts}
    for role, file in files.items():
        file.write_text(texts[role])
    return [str(file) for file in files.values()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One face set of three mimics, and what an import says of the lists of each."""
    folder = tmp_path_factory.mktemp("lists")
    settings = Settings(FrameRule(count=1), image_size=64)
    extractor = Extractor(settings, settings.read_models())
    records = []
    for corpus in NAMES:
        write(str(folder / corpus), MimicSettings(corpus, subjects=4, frames=1), processes=1)
        videos = corpora.get(corpus).survey(str(folder / corpus)).videos
        records += [extractor.extract(str(folder / corpus), video).records for video in videos]
    write_shards(records, str(folder / "faces"), {}, image_size=64)
    return folder


@pytest.mark.parametrize("corpus", NAMES)
def test_lists_of_a_mimic_are_imported(corpus, folder):
    out = folder / f"{NAMES[corpus]}.json"
    words = ["import", *lists_of(corpus, folder), "--data", str(folder / "faces"), "--out", str(out)]
    ran = CliRunner().invoke(protocol, words)
    assert ran.exit_code == 0, ran.exception
    written = json.loads(out.read_text())
    assert tuple(len(written[role]) for role in ("train", "dev", "test")) == COUNTS[corpus]
    domain = corpora.get(corpus).domain
    assert all(video.startswith(f"{domain}/") for role in ("train", "dev", "test") for video in written[role])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_lists_run_to_a_table(folder):
    for corpus in NAMES:
        test_lists_of_a_mimic_are_imported(corpus, folder)
    (folder / "sweep.yaml").write_text(SWEEP)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "FASRAY_", "AWS_"))}
    with tempfile.TemporaryDirectory(prefix="ray-") as ray_folder:  # a short path, as sockets want it
        own = {"FASRAY_POOL_DIR": str(folder / "pools"), "OMP_NUM_THREADS": "1", "RAY_TMPDIR": ray_folder}

        def fasray(*arguments: str) -> str:
            ran = subprocess.run(
                [COMMAND, *arguments], cwd=folder, env=kept | own, capture_output=True, text=True, timeout=1800
            )
            assert ran.returncode == 0, ran.stderr
            return ran.stdout

        fasray("sweep", "sweep.yaml", "--out", "run")
        rows = json.loads(fasray("results", "run", "--format", "json"))
    assert {row["protocol"].partition("@")[0] for row in rows} == set(NAMES.values())
