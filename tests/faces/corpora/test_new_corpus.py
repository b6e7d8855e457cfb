"""A corpus that fasray has never heard of: a CSV file, a preparation, and a sweep over its own domains."""

import csv
import json
import os
import subprocess

import pytest
from small_sweeps import COMMAND

from fasray.faces.mimics import MimicSettings, write

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
DOMAINS = {"lab": ("C001", "C002", "C003"), "home": ("C021", "C022"), "street-1": ("C023", "C024")}
SWEEP = """
name: new
data: faces
protocols: [lab&home->street-1, street-1->lab]
methods:
  erm: {space: {}}
confirm: {seeds: [0]}
training: {profile: smoke, image_size: 64}
"""


def fasray(folder, *arguments):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "FASRAY_"))}
    environment = kept | {"FASRAY_POOL_DIR": str(folder / "pools"), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        [COMMAND, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=900
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_a_new_corpus_is_at_once_usable_in_a_sweep(tmp_path):
    settings = MimicSettings("casia-fasd", subjects=7, frames=2, size=(160, 120))
    write(str(tmp_path / "videos"), settings, processes=1)
    domain_of = {subject: domain for domain, subjects in DOMAINS.items() for subject in subjects}
    assert {video.subject for video in settings.videos()} == set(domain_of)
    with (tmp_path / "videos" / "new.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "attack_type", "domain", "subject", "last_frame", "first_frame"])
        for video in settings.videos():
            live = video.attack_type == "live"
            kind = ["live", ""] if live else ["attack", video.attack_type]
            rows.writerow([video.path, *kind, domain_of[video.subject], video.subject, "0", "0"])
    fasray(tmp_path, "data", "prepare", "manifest", "videos/new.csv", "faces", "--frames", "2", "--image-size", "64")
    stats = json.loads(fasray(tmp_path, "data", "stats", "faces", "--format", "json"))
    assert {count["domain"] for count in stats["counts"]} == set(DOMAINS)
    assert (stats["subjects"], stats["videos"], stats["frames"]) == (7, 84, 84)
    assert "sound" in fasray(tmp_path, "data", "verify", "--deep", "faces")
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    fasray(tmp_path, "sweep", "sweep.yaml", "--out", "run")
    results = json.loads(fasray(tmp_path, "results", "run", "--format", "json"))
    assert {row["protocol"] for row in results} == {"lab&home->street-1", "street-1->lab"}
