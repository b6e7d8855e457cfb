"""Face sets that earlier versions wrote verify, count and open; see ``tests/assets/old_faces/README.md``."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from locations import TESTS

from fasray.cli import cli
from fasray.errors import DataError
from fasray.faces import jpeg
from fasray.faces.sets.manifest import is_generated, read_manifest
from fasray.faces.sets.reading import read_index

SETS = TESTS / "assets" / "old_faces"
GENERATED = {"generated": True, "prepared": False, "prepared-mimic": True, "merged": True}
"""Whether the card says that all faces are generated; ``prepared`` is from before it could."""


def command(*words: str | Path) -> str:
    """Run a command of fasray in this process and return what it prints; any error, or finding, is raised."""
    ran = CliRunner().invoke(cli, list(map(str, words)), catch_exceptions=False, standalone_mode=False)
    return ran.stdout


@pytest.mark.parametrize("name", GENERATED)
def test_it_verifies_until_a_byte_is_another(name: str, tmp_path: Path) -> None:
    copy = shutil.copytree(SETS / name, tmp_path / "faces")
    command("data", "verify", copy)
    shard = copy / "shard-00000.parquet"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(DataError, match="not sound"):
        command("data", "verify", copy)


@pytest.mark.parametrize("name", GENERATED)
def test_it_is_counted_as_it_always_was(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(SETS)
    expected = (SETS / "expected" / f"{name}.json").read_text(encoding="utf-8")
    assert command("data", "stats", name, "--format", "json") == expected


@pytest.mark.parametrize("name", GENERATED)
def test_its_faces_open_in_the_order_of_its_index(name: str) -> None:
    manifest, index = read_manifest(str(SETS / name)), read_index(str(SETS / name))
    assert is_generated(manifest.card) == GENERATED[name]
    faces = [row for shard in manifest.shards for row in pq.read_table(SETS / name / shard.name).to_pylist()]
    assert [(face["video"], face["frame"]) for face in faces] == list(zip(index.video, index.frame, strict=True))
    for face in faces:
        picture = jpeg.decode(face["image"])
        assert picture is not None
        assert picture.shape == (32, 32, 3)
