"""A corpus that fasray never heard of: a CSV file, a preparation, a sweep over its own domains; on disk and store."""

import csv
import json
import os
import subprocess
import tempfile
from functools import partial
from pathlib import Path

import pytest
from object_store import without_aws
from small_sweeps import COMMAND

from fasray.faces.mimics import MimicSettings, write

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
DOMAINS = {"lab": ("C001", "C002", "C003"), "home": ("C021", "C022"), "street-1": ("C023", "C024")}
SWEEP = """
name: new
data: {faces}
protocols: [lab&home->street-1, street-1->lab]
methods:
  erm: {{space: {{}}}}
confirm: {{seeds: [0]}}
training: {{profile: smoke, image_size: 64}}
"""


@pytest.fixture(params=["local", "s3"])
def place(request, tmp_path):
    """Where faces and run go, and what the commands must know of it."""
    if request.param == "local":
        return str(tmp_path), {}
    return request.getfixturevalue("s3"), request.getfixturevalue("object_store").env


def fasray(folder, settings, *arguments):
    kept = {name: value for name, value in without_aws(os.environ).items() if not name.startswith(("RAY_", "FASRAY_"))}
    environment = kept | {"FASRAY_POOL_DIR": str(folder / "pools"), "OMP_NUM_THREADS": "1", **settings}
    ran = subprocess.run(
        [COMMAND, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=900
    )
    assert ran.returncode == 0, ran.stderr
    (folder / f"{arguments[0]}.said").write_text(ran.stdout + ran.stderr)
    return ran.stdout


def test_a_new_corpus_is_at_once_usable_in_a_sweep(tmp_path, place, request):
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
    base, access = place
    faces, run = f"{base}/faces", f"{base}/run"
    with tempfile.TemporaryDirectory(prefix="ray-") as ray_folder:  # a short path, as sockets want it
        run_fasray = partial(fasray, tmp_path, access | {"RAY_TMPDIR": ray_folder})
        run_fasray("data", "prepare", "manifest", "videos/new.csv", faces, "--frames", "2", "--image-size", "64")
        stats = json.loads(run_fasray("data", "stats", faces, "--format", "json"))
        assert {count["domain"] for count in stats["counts"]} == set(DOMAINS)
        assert (stats["subjects"], stats["videos"], stats["frames"]) == (7, 84, 84)
        assert "sound" in run_fasray("data", "verify", "--deep", faces)
        (tmp_path / "sweep.yaml").write_text(SWEEP.format(faces=faces))
        run_fasray("sweep", "sweep.yaml", "--out", run)
        results = json.loads(run_fasray("results", run, "--format", "json"))
        assert {row["protocol"] for row in results} == {"lab&home->street-1", "street-1->lab"}
        if access:
            store = request.getfixturevalue("object_store")
            written = {name: store.files().cat_file(name) for name in store.files().find(base)}
            local = [path for folder in (tmp_path, Path(ray_folder)) for path in folder.rglob("*") if path.is_file()]
            written |= {str(path): path.read_bytes() for path in local}
            assert any(name.endswith("report.html") for name in written)
            assert [name for name, content in written.items() if store.secret.encode() in content] == []
