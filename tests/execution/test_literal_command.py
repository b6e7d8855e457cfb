"""``ray job submit -- fasray sweep sweeps/all_methods.yaml``, word for word, on a head with four (logical) GPUs.

Its environment names data and runs, as the files in ``cluster/`` have it. The sweep is the shipped one with few trials.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from locations import ROOT
from ray_head import RayHead
from small_sweeps import place, table_of

from fasray.runs.record import read_run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SHIPPED = ROOT / "sweeps" / "all_methods.yaml"
METHODS = set(yaml.safe_load(SHIPPED.read_text())["methods"])
LITERAL = ("--", "fasray", "sweep", "sweeps/all_methods.yaml")
REDUCED: dict[str, Any] = {
    "protocols": ["O&C&I->M"],
    "confirm": {"seeds": [0, 1]},
    "search": {"algorithm": "random", "trials_per_cell": 2, "seed": 100},
    "training": {"image_size": 32, "width": 0.125, "steps": 16, "evaluations": 4, "images": 2},
}


@pytest.fixture(scope="module")
def head(small_faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayHead]:
    folder = tmp_path_factory.mktemp("literal")
    given = {"FASRAY_LOGICAL_GPUS": "1", "FASRAY_DATA": str(small_faces), "FASRAY_RUNS": str(folder / "runs")}
    env = place(folder, small_faces, **given).env
    with RayHead(folder / "head", env, cpus=4, gpus=4) as head:
        reduced(head.folder)
        yield head


def reduced(folder: Path) -> None:
    """Write the shipped sweep with few trials to where an image, or a working directory, has it."""
    shipped = yaml.safe_load(SHIPPED.read_text())
    training = {**shipped["training"], **REDUCED["training"]}
    (folder / "sweeps").mkdir()
    (folder / "sweeps" / "all_methods.yaml").write_text(yaml.safe_dump({**shipped, **REDUCED, "training": training}))


def submit(head: RayHead, job: str, *options: str) -> str:
    """Submit the literal command and wait for its end; return its log."""
    head.job("submit", "--submission-id", job, *options, *LITERAL, timeout=800)
    log = head.log(job)
    assert head.info(job)["status"] == "SUCCEEDED", log
    return log


def test_it_ends_in_the_table_with_a_working_directory_and_without(
    head: RayHead, small_faces: Path, tmp_path: Path
) -> None:
    without = submit(head, "without")
    for line in ("profile full: there are GPUs", f"data {small_faces}: from FASRAY_DATA", "4 x GPU: "):
        assert line in without
    run = head.folder.parent / "runs" / "all-methods"
    assert set(table_of(run)["method"]) == METHODS
    assert f"wrote {run}/report.html" in without
    assert read_run(str(run)).spec["training"]["profile"] == "full"

    project, elsewhere = tmp_path / "project", tmp_path / "runs"
    project.mkdir()
    reduced(project)
    runs = f'{{"env_vars": {{"FASRAY_RUNS": "{elsewhere}"}}}}'
    submit(head, "with", "--working-dir", str(project), "--runtime-env-json", runs)
    assert set(table_of(elsewhere / "all-methods")["method"]) == METHODS
    assert "all 28 trials of this run are done already" in submit(head, "again", "--working-dir", str(project))
