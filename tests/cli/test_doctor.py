"""``fasray doctor`` finds what would make a sweep fail, says what to do, and shows no secret."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from fasray.clusters.access import check_authentication, check_cluster, check_data, check_output, pool_bytes
from fasray.clusters.diagnosis import note, ok, problem
from fasray.clusters.doctor import exit_code
from fasray.clusters.gpus import check_mps, check_shares
from fasray.clusters.machine import check_pools, check_versions, constraints, free_memory
from fasray.execution.hardware import driver_version
from fasray.faces.sets.manifest import read_manifest

TOKEN = "5ec2e7" * 8
QUIET = ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in QUIET:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FASRAY_STORE_PATIENCE", "1")


def doctor(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fasray", "doctor", *arguments],
        env={**os.environ, **env}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_a_ready_machine_is_told_so_and_nothing_is_left_behind(small_faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "runs"
    ran = doctor("--data", str(small_faces), "--out", str(out), FASRAY_POOL_DIR=str(tmp_path / "pools"))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "FAIL" not in ran.stdout
    for said in ("Ray", "torch", "GPU", "memory", "authentication", "480 faces of 48 px", "pool folder", "output"):
        assert said in ran.stdout
    assert not out.parent.exists()
    assert not (tmp_path / "pools").exists()


def test_what_fails_comes_with_a_remedy_and_its_exit_code(tmp_path: Path) -> None:
    ran = doctor("--json", "--data", str(tmp_path), RAY_ADDRESS="ray://127.0.0.1:9", RAY_AUTH_MODE="tokens")
    found = {one["about"]: one for one in json.loads(ran.stdout)}
    assert ran.returncode == 2
    assert found["authentication"]["status"] == found["data"]["status"] == found["cluster"]["status"] == "error"
    assert found["data"]["exit_code"] == 3
    assert all(one["remedy"] for one in found.values() if one["status"] != "ok")


def test_a_gpu_nodes_driver_mps_and_shares(tmp_path: Path) -> None:
    version = tmp_path / "version"
    version.write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\nGCC version: 12.3\n"
    )
    assert driver_version(version) == "580.65.06"
    environ = {"CUDA_MPS_PIPE_DIRECTORY": str(tmp_path)}
    assert check_mps(environ).status == "note"
    (tmp_path / "control").touch()
    assert check_mps(environ).status == "ok"
    sizes = {"erm": 4, "hfn_mp": 9, "safas": 30}
    card = {"card": "NVIDIA L4", "card_bytes": 24 * 2**30}
    measured = [{"method": name, "peak_bytes": size * 2**30, **card} for name, size in [*sizes.items(), ("erm", 1)]]
    (found,) = check_shares(measured)
    assert found.message == (
        "NVIDIA L4, at most 4 trials a card: erm 1/4 (4.0 GiB), hfn_mp 1/2 (9.0 GiB), safas whole (30.0 GiB)"
    )
    assert check_shares([]) == []


def test_the_first_failure_gives_the_exit_code() -> None:
    assert exit_code([ok("a", "b"), note("a", "b", "c"), problem("a", "b", "c", 3), problem("a", "b", "c", 2)]) == 3
    assert exit_code([ok("a", "b"), note("a", "b", "c")]) == 0


def test_data_whose_shards_are_not_all_there_is_ill(small_faces: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(small_faces, tmp_path / "faces")
    (found,), manifest = check_data(str(copy))
    assert found.status == "ok"
    assert manifest == read_manifest(str(small_faces))
    shard = copy / manifest.shards[0].name
    shard.write_bytes(shard.read_bytes()[:-1])
    (found,), _ = check_data(str(copy))
    assert (found.status, found.exit_code) == ("error", 3)
    assert shard.name in found.message


def test_a_store_that_does_not_answer_is_told_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", TOKEN)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    (found,), manifest = check_data("s3://nowhere/faces")
    assert (found.status, found.exit_code, manifest) == ("error", 3, None)
    assert found.remedy
    assert check_output("s3://nowhere/runs").status == "error"
    assert TOKEN not in str(found)


def test_a_place_that_cannot_be_written_is_ill(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    found = check_output(str(tmp_path / "file" / "runs"))
    assert (found.status, found.exit_code) == ("error", 3)


def test_room_for_the_pool_is_compared_with_the_data(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, small_faces: Path
) -> None:
    monkeypatch.setenv("FASRAY_POOL_DIR", str(tmp_path / "pools"))
    need = pool_bytes(read_manifest(str(small_faces)))
    assert need == 480 * (48 * 48 * 3 + 32 * 32 + 64 * 64)
    assert check_pools(need).status != "error"
    found = check_pools(10**18)
    assert (found.status, found.exit_code) == ("error", 3)
    assert "FASRAY_POOL_DIR" in found.remedy
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("FASRAY_POOL_DIR", str(tmp_path / "file"))
    assert check_pools(0).status == "error"


def test_versions_are_compared_with_those_tested() -> None:
    tested = constraints()
    assert not [one for one in check_versions(tested) if one.status == "error"]
    other = {**tested, "ray": "0.1", "click": "0.2"}
    notes = {one.about: one for one in check_versions(other) if one.status == "note"}
    assert "tested was 0.1" in notes["Ray"].message
    assert "(tested: 0.2)" in notes["packages"].message
    assert all(one.status == "ok" for one in check_versions({}))


@pytest.mark.parametrize(
    ("env", "status", "message"),
    [
        ({}, "ok", "token of its own"),
        ({"RAY_AUTH_MODE": "disabled"}, "note", "without authentication"),
        ({"RAY_AUTH_MODE": "on"}, "error", "is not a mode of Ray"),
        ({"RAY_ADDRESS": "10.0.0.1:6379"}, "note", "RAY_AUTH_MODE is not set"),
        ({"RAY_ADDRESS": "10.0.0.1:6379", "RAY_AUTH_MODE": "disabled"}, "note", "without authentication"),
        ({"RAY_ADDRESS": "10.0.0.1:6379", "RAY_AUTH_MODE": "token"}, "error", "no token at"),
        ({"RAY_ADDRESS": "a:1", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}, "ok", "from RAY_AUTH_TOKEN"),
        ({"RAY_ADDRESS": f"http://u:{TOKEN}@a:1"}, "note", "http://a:1"),
    ],
)
def test_authentication_is_judged_and_the_token_not_shown(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], status: str, message: str
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    (found,) = check_authentication()
    assert found.status == status
    assert message in found.message
    assert TOKEN not in str(found)


@contextmanager
def listening(answer: bytes) -> Iterator[int]:
    """Give the port of a server that sends ``answer`` to whoever connects, and no more."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    connection.sendall(answer)
                    connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


HTTP_2 = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""Empty settings, with which a server of gRPC greets."""


@pytest.mark.parametrize(
    ("address", "answer", "status", "said"),
    [
        ("127.0.0.1:{}", HTTP_2, "ok", "Ray answers"),
        ("localhost:{}", HTTP_2, "ok", "Ray answers"),
        ("127.0.0.1:{}", b"HTTP/1.1 400 Bad Request\r\n\r\n", "error", "not Ray"),
        ("127.0.0.1:{}", b"", "error", "not Ray"),
        ("ray://127.0.0.1:{}", HTTP_2, "error", "Ray Client"),
        ("http://u:" + TOKEN + "@127.0.0.1:{}/", HTTP_2, "error", "dashboard"),
        ("127.0.0.1", HTTP_2, "error", "HOST:PORT"),
        ("127.0.0.1:99999", HTTP_2, "error", "HOST:PORT"),
        ("127.0.0.1:9", HTTP_2, "error", "nothing answers"),
        ("no-such-host.invalid:6379", HTTP_2, "error", "nothing answers"),
    ],
)
def test_what_is_at_the_address_of_a_cluster_is_known_in_seconds(
    monkeypatch: pytest.MonkeyPatch, address: str, answer: bytes, status: str, said: str
) -> None:
    with listening(answer) as port:
        monkeypatch.setenv("RAY_ADDRESS", address.format(port))
        (found,) = check_cluster()
    assert (found.status, found.exit_code) == (status, 2 if status == "error" else 0)
    assert said in found.message
    assert status == "ok" or "unset RAY_ADDRESS" in found.remedy
    assert TOKEN not in str(found)


@pytest.mark.parametrize("address", ["", "auto", "local"])
def test_what_ray_finds_by_itself_is_not_judged(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    assert check_cluster() == []


def test_a_token_file_must_be_there_whole_and_ones_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "a:1")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    file = tmp_path / "home" / ".ray" / "auth_token"
    file.parent.mkdir(parents=True)
    for content, mode, status in (("\n", 0o600, "error"), (TOKEN, 0o644, "note"), (TOKEN, 0o600, "ok")):
        file.write_text(content)
        file.chmod(mode)
        (found,) = check_authentication()
        assert found.status == status
        assert TOKEN not in str(found)


def test_free_memory_is_part_of_all() -> None:
    free, total = free_memory()
    assert 0 < free <= total
