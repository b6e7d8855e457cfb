"""A stamp is another one whenever a file has been written, whatever else about the file stays the same."""

from __future__ import annotations

import os
from pathlib import Path

from fasray import storage


def text(folder: Path) -> str:
    return storage.file_fingerprints(str(folder))["file"].text


def tick(folder: Path) -> None:
    """Return once the file system's clock has moved on; within one of its ticks no stamp can tell."""
    clock = folder / "clock"
    clock.touch()
    began = clock.stat().st_ctime_ns
    while clock.stat().st_ctime_ns == began:
        clock.touch()


def test_a_file_that_is_left_alone_keeps_its_stamp(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    before = text(tmp_path)
    (tmp_path / "other").write_bytes(b"1")
    assert (tmp_path / "file").read_bytes() == b"12345"
    assert text(tmp_path) == before


def test_content_of_the_same_size_written_in_place_with_the_time_set_back_is_found_out(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    os.utime(file, ns=(10**18, 10**18))
    before = text(tmp_path)
    tick(tmp_path)
    with file.open("r+b") as opened:
        opened.write(b"54321")
    os.utime(file, ns=(10**18, 10**18))
    assert text(tmp_path) != before


def test_a_file_that_took_the_name_of_another_is_found_out(tmp_path: Path) -> None:
    for name in ("file", "new"):
        (tmp_path / name).write_bytes(b"12345")
        os.utime(tmp_path / name, ns=(10**18, 10**18))
    before = text(tmp_path)
    (tmp_path / "new").replace(tmp_path / "file")
    assert text(tmp_path) != before


def test_a_folder_that_is_not_there_has_no_stamps(tmp_path: Path) -> None:
    assert storage.file_fingerprints(str(tmp_path / "nowhere")) == {}


def test_on_s3_the_stamp_follows_from_the_content(s3: str) -> None:
    def stamp() -> storage.FileFingerprint:
        return storage.file_fingerprints(s3)["file"]

    storage.write_bytes(f"{s3}/file", b"12345")
    before = stamp()
    assert before.text
    assert before.changed_at == 0
    storage.write_bytes(f"{s3}/file", b"54321")
    assert stamp() != before
    storage.write_bytes(f"{s3}/file", b"12345")
    assert stamp() == before
    assert storage.file_fingerprints(f"{s3}/nowhere") == {}
