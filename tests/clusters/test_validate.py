"""The files under cluster/ are right, and every mistake planted in them is found where it stands."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from locations import ROOT

from fasray.clusters.documents import ConfigFinding
from fasray.clusters.rules import installed_version, ray_version_of
from fasray.clusters.validate import validate
from fasray.errors import SpecError

CLUSTER = ROOT / "cluster"
AWS, GCP = "aws.yaml", "gcp.yaml"
RAYCLUSTER, RAYJOB = "kuberay/raycluster.yaml", "kuberay/rayjob.yaml"


def test_our_own_files_are_right() -> None:
    checked = validate([CLUSTER])
    assert {Path(one.file).relative_to(CLUSTER).as_posix() for one in checked} == {
        AWS, GCP, RAYCLUSTER, RAYJOB, "Dockerfile",
    }  # fmt: skip
    assert [finding for one in checked for finding in one.findings] == []
    assert [one.kinds for one in checked] == [
        ("Dockerfile",), ("ray up",), ("ray up",), ("RayCluster",), ("RayJob",),
    ]  # fmt: skip


def test_our_own_files_scale_from_zero_on_spot_with_a_limit() -> None:
    aws, gcp = (yaml.safe_load((CLUSTER / name).read_text())["available_node_types"]["gpu"] for name in (AWS, GCP))
    assert aws["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
    assert gcp["node_config"]["scheduling"]["provisioningModel"] == "SPOT"
    cluster = yaml.safe_load((CLUSTER / RAYCLUSTER).read_text())["spec"]
    job = yaml.safe_load((CLUSTER / RAYJOB).read_text())["spec"]["rayClusterSpec"]
    groups = [one["workerGroupSpecs"][0] for one in (cluster, job)]
    assert [aws["min_workers"], gcp["min_workers"], *(group["minReplicas"] for group in groups)] == [0, 0, 0, 0]
    for one in (cluster, job):
        assert one["enableInTreeAutoscaling"]
        for group in (one["headGroupSpec"], one["workerGroupSpecs"][0]):
            sources = group["template"]["spec"]["containers"][0]["envFrom"]
            assert sources == [{"secretRef": {"name": "fasray-object-store"}}]


def planted(tmp_path: Path, name: str, old: str, new: str) -> list[ConfigFinding]:
    """Return the findings in one of our files after a replacement, which must change it."""
    text = (CLUSTER / name).read_text()
    changed = re.sub(old, new, text, count=1, flags=re.MULTILINE)
    assert changed != text
    file = tmp_path / Path(name).name
    file.write_text(changed)
    (checked,) = validate([file])
    return list(checked.findings)


MISTAKES = yaml.safe_load(Path(__file__).with_name("mistakes.yaml").read_text())


@pytest.mark.parametrize("one", MISTAKES, ids=[f"{one['mistake']} ({one['file']})" for one in MISTAKES])
def test_a_planted_mistake_is_found_with_line_key_and_remedy(tmp_path: Path, one: dict[str, str]) -> None:
    findings = planted(tmp_path, one["file"], one["replace"], one["with"])
    hits = [finding for finding in findings if one["says"] in finding.what and finding.key == one["key"]]
    assert hits, findings
    text = Path(hits[0].file).read_text().splitlines()
    assert one["line"] in text[hits[0].line - 1], hits[0]
    assert hits[0].remedy
    assert "abcdef" not in " ".join(map(str, findings)), "a credential is shown"
    assert len(findings) <= 3, "one mistake is told as many"


def test_other_kubernetes_objects_are_let_pass(tmp_path: Path) -> None:
    file = tmp_path / "both.yaml"
    file.write_text((CLUSTER / RAYCLUSTER).read_text() + "---\napiVersion: v1\nkind: Service\nmetadata: {name: x}\n")
    (checked,) = validate([file])
    assert checked.kinds == ("RayCluster", "Service, not checked")
    assert checked.findings == ()


@pytest.mark.parametrize(
    ("text", "said"), [("a: 1\n", "neither a `ray up` file"), ("", "empty"), ("- 1\n", "neither"), ("\x00", "readable")]
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(text)
    (checked,) = validate([file])
    assert said in checked.findings[0].what


def test_a_missing_file_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no such file"):
        validate([tmp_path / "aws.yaml"])
    with pytest.raises(SpecError, match="no YAML file"):
        validate([tmp_path])


SWEEP = """
name: x
data: auto
protocols: [ocim]
methods: [erm]
resources: {gpus_per_worker: 1, max_concurrent: 8}
"""


@pytest.mark.parametrize(
    ("old", "new", "key", "said"),
    [
        ("", "", "", ""),
        ("gpus_per_worker: 1", "gpus_per_worker: 0", "resources.gpus_per_worker", "the 4 of CLUSTER would stay idle"),
        ("gpus_per_worker: 1", "gpus_per_worker: 2", "resources.gpus_per_worker", "one trial needs 1 CPUs and 2 GPUs"),
        ("max_concurrent: 8", "max_concurrent: 2", "resources.max_concurrent", "at most 2 of the 4 GPUs of CLUSTER"),
        ("max_concurrent: 8", "max_concurent: 2", "resources.max_concurent", "unknown key 'max_concurent'"),
    ],
)
def test_a_sweep_that_would_leave_gpus_of_a_cluster_idle_is_found(
    tmp_path: Path, old: str, new: str, key: str, said: str
) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(SWEEP.replace(old, new))
    for name in (AWS, RAYJOB):
        cluster, sweep = validate([CLUSTER / name, file])
        assert cluster.findings == ()
        assert sweep.kinds == ("sweep",)
        found = [(finding.key, finding.line) for finding in sweep.findings]
        assert found == ([(key, 6)] if key else []), sweep.findings
        assert all(said.replace("CLUSTER", str(CLUSTER / name)) in finding.what for finding in sweep.findings)


def test_images_tell_their_ray() -> None:
    assert ray_version_of("rayproject/ray:2.60.0-py311-gpu") == "2.60.0"
    assert ray_version_of("host:5000/fasray:0.1.0-ray2.60.0") == "2.60.0"
    assert ray_version_of("fasray:1") == ""
    text = (CLUSTER.parent / "constraints.txt").read_text()
    assert f"\nray=={installed_version('ray')}\n" in text


def fasray(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "fasray", *arguments], capture_output=True, text=True, timeout=120)


def test_the_command_prints_every_finding_and_leaves_with_2(tmp_path: Path) -> None:
    file = tmp_path / "aws.yaml"
    file.write_text((CLUSTER / AWS).read_text().replace("\nmax_workers: 4", "\nmax_worker: 4"))
    ran = fasray("cluster", "validate", str(file), str(CLUSTER / RAYJOB))
    assert ran.returncode == 2
    assert f"{file}, line 15, key max_worker: unknown key 'max_worker'\n  -> did you mean 'max_workers'?" in ran.stdout
    assert f"{CLUSTER / RAYJOB}: RayJob: nothing found" in ran.stdout
    assert "in 1 of 2 files" in ran.stderr
    (told,) = json.loads(fasray("cluster", "validate", "--json", str(file)).stdout)["files"]
    assert [finding["key"] for finding in told["findings"]][0] == "max_worker"


def test_the_command_is_content_with_our_files() -> None:
    ran = fasray("cluster", "validate", str(CLUSTER))
    assert (ran.returncode, ran.stderr) == (0, "")
