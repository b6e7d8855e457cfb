"""The four mimic corpora from generated videos to a sweep, as a newcomer would run them."""

import os
import subprocess
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from small_sweeps import COMMAND

from fasray.faces.corpora.findings import count_by_split
from fasray.faces.mimics import MimicSettings, film
from fasray.faces.record import DEPTH_SIZE
from fasray.faces.sets.manifest import read_manifest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
SUBJECTS = {"oulu-npu": 3, "casia-fasd": 6, "replay-attack": 4, "msu-mfsd": 6}
FRAMES, SIZE = 4, 96

SWEEP = """
name: prepared
data: {data}
protocols: [O&C&I->M]
methods:
  erm: {{space: {{}}}}
confirm: {{seeds: [0]}}
training: {{profile: smoke, image_size: 64}}
"""


def fasray(*arguments: str | Path, folder: Path) -> str:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "FASRAY_", "AWS_"))
    }
    environment |= {"FASRAY_POOL_DIR": str(folder / "pools"), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        [COMMAND, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=1800
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mimics")


@pytest.mark.parametrize("corpus", SUBJECTS)
def test_a_mimic_is_prepared_like_the_corpus(corpus: str, folder: Path) -> None:
    settings = MimicSettings(corpus, subjects=SUBJECTS[corpus], frames=FRAMES)
    fasray("data", "synth", "--as", corpus, "--subjects", str(settings.subjects), "--frames", str(FRAMES), f"{corpus}-videos", folder=folder)  # fmt: skip  # noqa: E501
    fasray("data", "prepare", corpus, f"{corpus}-videos", corpus, "--frames", "2", "--image-size", str(SIZE), "--strict", folder=folder)  # fmt: skip  # noqa: E501
    assert "sound" in fasray("data", "verify", corpus, folder=folder)
    manifest = read_manifest(str(folder / corpus))
    counts = manifest.card["counts"]
    videos: Counter[tuple[str, bool]] = Counter()
    for count in counts:
        videos[count["split"], count["attack_type"] == "live"] += count["videos"]
    official = count_by_split(settings.videos())
    assert {split: (videos[split, True], videos[split, False]) for split in official} == official
    live = [count for count in counts if count["attack_type"] == "live"]
    frames, misses = (sum(count[name] for count in live) for name in ("frames", "misses"))
    agree = []
    exact = {v.video: film(settings, v).depth for v in settings.videos() if v.attack_type == "live"}
    for shard in manifest.shards:
        columns = ["label", "video", "frame", "depth", "crop_matrix"]
        for row in pq.read_table(folder / corpus / shard.name, columns=columns).to_pylist():
            if row["label"]:
                matrix = np.array(row["crop_matrix"], np.float32).reshape(2, 3)
                true = cv2.warpAffine(exact[row["video"]][row["frame"]], matrix, (SIZE, SIZE))
                true = cv2.resize(true, (DEPTH_SIZE, DEPTH_SIZE), interpolation=cv2.INTER_AREA)
                drawn = np.frombuffer(row["depth"], np.uint8)
                agree.append(np.corrcoef(drawn, true.ravel())[0, 1])
    print(corpus, official, f"live frames {frames}, misses {misses}, depth r {np.median(agree):.3f}")
    assert frames > 0
    assert misses <= 0.03 * frames
    assert np.median(agree) >= 0.6


def test_a_sweep_runs_on_all_four(folder: Path) -> None:
    missing = [corpus for corpus in SUBJECTS if not (folder / corpus / "manifest.json").exists()]
    assert not missing, f"prepared by the tests before: {missing}"
    fasray("data", "merge", *SUBJECTS, "ocim", folder=folder)
    assert "sound" in fasray("data", "verify", "ocim", folder=folder)
    (folder / "sweep.yaml").write_text(SWEEP.format(data=folder / "ocim"))
    fasray("sweep", "sweep.yaml", "--out", "run", folder=folder)
    assert "O&C&I->M" in fasray("results", "run", folder=folder)
