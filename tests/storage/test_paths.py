"""An address means one place, however it is spelled, or it is refused."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasray import storage
from fasray.errors import DataError, SpecError

NAMES = st.text("ab~?#*:% é/.", min_size=1).filter(lambda name: name.strip(" /.") == name)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder that is also the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def spellings(folder: Path, name: str) -> Iterator[str]:
    """Ten ways to write ``folder/name``, where ``folder`` is both the home and the working folder."""
    path = folder / name
    yield str(path)
    yield path.as_uri()
    yield path.as_uri().replace("file://", "file://localhost")
    yield path.as_uri().replace("file://", "FILE:")
    yield f"local://{path}"
    yield f"~/{name}"
    yield f"./{name}"
    yield f"{path}//"
    yield f"/{folder}/./{name}/"
    yield f"{folder}/../{folder.name}/{name}"


@pytest.mark.parametrize("name", ["run", "a b", "what?", "50%", "#1", "[x]*", "a:b", "~x", "s3:", "c::d", "é"])
def test_ten_spellings_are_one_place(here: Path, name: str) -> None:
    (here / name).mkdir()
    for number, spelling in enumerate(spellings(here, name)):
        if "%" not in name or not spelling.startswith("local"):  # what follows a scheme is percent-encoded
            storage.write_bytes(storage.join(storage.resolve(spelling), f"{number}.txt"), b"x")
            assert storage.local_path(spelling).resolve() == here / name, spelling
            assert os.listdir(here) == [name], spelling
            assert f"{number}.txt" in storage.listing(spelling)


@given(NAMES)
def test_resolving_twice_changes_nothing(name: str) -> None:
    try:
        place = storage.resolve(name)
    except SpecError:
        return
    assert storage.resolve(place) == place
    assert storage.absolute(place) == storage.absolute(name)


@pytest.mark.parametrize(
    "address",
    ["", " ", "runs/x ", "\truns", "a\nb", "file:runs/x", "file://runs/x", "file://other.host/x", "s3:/bucket/x",
     "s3:bucket", "s3://", "s3:///x", "~nobody-of-this-name/x"],
)  # fmt: skip
def test_what_is_not_clearly_one_place_is_refused(here: Path, address: str) -> None:
    with pytest.raises(SpecError) as error:
        storage.resolve(address)
    assert error.value.remedy
    assert list(here.iterdir()) == []


def test_addresses_of_stores_keep_what_is_theirs() -> None:
    assert storage.resolve("S3://Bucket/a//b?c#d/") == "s3://Bucket/a//b?c#d"
    assert storage.resolve("s3a://bucket/x") == "s3://bucket/x"
    assert storage.resolve("gs://bucket/x/") == "gs://bucket/x"


def test_a_folder_behind_a_link_is_not_what_dots_say(here: Path) -> None:
    (here / "far" / "deep").mkdir(parents=True)
    (here / "link").symlink_to(here / "far" / "deep")
    storage.write_bytes(storage.absolute("link/../file"), b"x")
    assert (here / "far" / "file").exists()


def test_a_link_stays_and_its_file_is_replaced(here: Path) -> None:
    (here / "target").write_bytes(b"old")
    (here / "link").symlink_to("target")
    storage.write_bytes("link", b"new")
    assert (here / "link").is_symlink()
    assert (here / "target").read_bytes() == b"new"


def test_pipes_are_read_and_written_as_they_are(here: Path) -> None:
    os.mkfifo("pipe")
    writer = threading.Thread(target=storage.write_bytes, args=("pipe", b"through"))
    writer.start()
    assert storage.read_bytes("pipe") == b"through"
    writer.join()
    assert Path("pipe").is_fifo()
    storage.write_bytes("/dev/null", b"x")
    assert Path("/dev/null").is_char_device()


def test_a_folder_is_not_a_file(here: Path) -> None:
    for act in (storage.read_bytes, lambda place: storage.write_bytes(place, b"x")):
        with pytest.raises(DataError, match="folder|directory"):
            act(str(here))
