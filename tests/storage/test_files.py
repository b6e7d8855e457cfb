"""Files that are whole or not there, with the same calls on a local disk and on a real object store."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from object_store import STRANGER

from fasray import storage
from fasray.errors import DataError, SpecError, StorageError


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "place") if request.param == "local" else str(request.getfixturevalue("s3"))


def test_what_is_written_is_read_back_and_listed(place: str) -> None:
    for name, data in (("a", b"1"), ("b/c", b"22"), ("empty", b"")):
        storage.write_bytes(storage.join(place, name), data)
        assert storage.read_bytes(storage.join(place, name)) == data
    assert storage.listing(place) == ["a", "b", "empty"]
    assert storage.sizes(place) == {"a": 1, "empty": 0}
    assert storage.exists(place)
    assert not storage.exists(storage.join(place, "d"))


def test_a_place_where_nothing_was_written_is_empty(place: str) -> None:
    assert storage.listing(storage.join(place, "nothing")) == []
    assert storage.sizes(storage.join(place, "nothing")) == {}
    storage.remove(storage.join(place, "nothing"))
    for read in (storage.read_bytes, storage.open_read):
        with pytest.raises(DataError, match="no such file"):
            read(storage.join(place, "nothing"))


def test_a_listing_is_never_stale(place: str) -> None:
    for number in range(3):
        storage.write_bytes(storage.join(place, str(number)), b"x")
        assert storage.listing(place) == [str(n) for n in range(number + 1)]
    storage.remove(storage.join(place, "1"))
    assert storage.listing(place) == ["0", "2"]


def test_many_files_come_back_in_order(place: str) -> None:
    uris = [storage.join(place, f"{number:03d}") for number in range(40)]
    for number, uri in enumerate(uris):
        storage.write_bytes(uri, str(number).encode())
    assert storage.read_many(uris[::-1]) == [str(number).encode() for number in range(40)][::-1]
    assert storage.read_many([]) == []


def test_a_file_is_read_in_parts(place: str) -> None:
    data = bytes(range(256)) * 8192
    storage.write_bytes(storage.join(place, "large"), data)
    with storage.open_read(storage.join(place, "large")) as file:
        for position in (1_500_000, 0, 700_001):
            file.seek(position)
            assert file.read(1000) == data[position : position + 1000]


def test_a_folder_is_removed_with_all_that_is_in_it_and_nothing_else(place: str) -> None:
    for name in ("gone/a", "gone/b/c", "gone-not", "stays/a"):
        storage.write_bytes(storage.join(place, name), b"x")
    for _ in range(2):
        storage.remove_folder(storage.join(place, "gone"))
    for name in ("gone/a", "gone/b/c"):
        assert not storage.exists(storage.join(place, name))
    for name in ("gone-not", "stays/a"):
        assert storage.read_bytes(storage.join(place, name)) == b"x"


def test_what_a_killed_writer_left_can_be_removed(tmp_path: Path) -> None:
    writing = (
        "import sys; from fasray.storage import write_bytes\n"
        "while True: write_bytes(sys.argv[1] + '/whole', b'x' * 2**22)"
    )
    deadline = time.monotonic() + 60
    while not (left := sorted(tmp_path.glob(".whole.*.tmp"))):
        assert time.monotonic() < deadline
        with subprocess.Popen([sys.executable, "-c", writing, str(tmp_path)]) as writer:
            while not list(tmp_path.glob(".whole.*.tmp")) and writer.poll() is None:
                pass
            writer.kill()
    (tmp_path / ".mine.tmp").write_bytes(b"somebody else's")
    storage.remove_leftovers(str(tmp_path))
    assert left
    assert {path.name for path in tmp_path.iterdir()} <= {"whole", ".mine.tmp"}
    assert (tmp_path / ".mine.tmp").exists()


def test_written_once_means_the_first_stays(place: str) -> None:
    uri = storage.join(place, "once")
    assert storage.write_once(uri, b"first")
    assert not storage.write_once(uri, b"second")
    assert storage.write_once(uri, b"first"), "a write that is made again after a lost answer has succeeded"
    assert storage.read_bytes(uri) == b"first"
    assert storage.supports_conditional_writes(uri, b"first")


def test_of_many_writers_at_once_one_wins(place: str) -> None:
    uri, start = storage.join(place, "contended"), threading.Barrier(3)

    def write(number: int) -> bool:
        start.wait()
        return storage.write_once(uri, str(number).encode())

    with ThreadPoolExecutor(3) as threads:
        won = list(threads.map(write, range(3)))
    assert sum(won) == 1
    assert storage.read_bytes(uri) == str(won.index(True)).encode()


def test_a_local_file_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        storage.write_bytes(str(tmp_path / "file" / "below"), b"")


def test_an_unknown_kind_of_address_is_refused() -> None:
    with pytest.raises(DataError, match="not known"):
        storage.exists("carrier-pigeon://loft")


def test_credentials_in_an_address_are_refused_and_not_repeated() -> None:
    with pytest.raises(SpecError, match="must not hold credentials") as error:
        storage.exists("s3://key:hush@bucket/run")
    assert "hush" not in str(error.value)


def refusal(uri: str) -> StorageError:
    with pytest.raises(StorageError) as error:
        storage.check_access(uri)
    assert error.value.exit_code == 3
    assert error.value.where == uri
    return error.value


@pytest.mark.parametrize(
    ("name", "value", "what", "remedy"),
    [
        ("AWS_ACCESS_KEY_ID", "AKNOBODY", "does not know this access key", "AWS_ACCESS_KEY_ID"),
        ("AWS_ACCESS_KEY_ID", STRANGER, "do not allow this", "ask for permission"),
        ("AWS_SECRET_ACCESS_KEY", "wrong", "secret key is not the one", "AWS_SECRET_ACCESS_KEY"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9", "nothing answers at http://127.0.0.1:9", "AWS_ENDPOINT_URL"),
        ("AWS_ENDPOINT_URL", "http://u:hush@127.0.0.1:9/", "nothing answers at http://127.0.0.1:9", "AWS_ENDPOINT_URL"),
        ("AWS_ENDPOINT_URL", "nonsense", "address of the store is not valid", "AWS_ENDPOINT_URL"),
        ("AWS_PROFILE", "nobody", "profile that AWS_PROFILE names does not exist", "AWS_PROFILE"),
    ],
)
@pytest.mark.timeout(10)
def test_what_is_set_wrong_is_told_at_once(
    s3: str, monkeypatch: pytest.MonkeyPatch, name: str, value: str, what: str, remedy: str
) -> None:
    storage.check_access(s3)
    monkeypatch.setenv(name, value)
    error = refusal(s3)
    assert what in error.what
    assert remedy in error.remedy
    assert "hush" not in str(error)


@pytest.mark.parametrize("wrong", ["soon", "-1", "nan", "inf"])
def test_a_patience_that_is_no_number_of_seconds_is_refused(
    s3: str, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setenv("FASRAY_STORE_PATIENCE", wrong)
    with pytest.raises(SpecError, match="FASRAY_STORE_PATIENCE"):
        storage.check_access(s3)


@pytest.mark.timeout(10)
def test_missing_credentials_are_told_at_once(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    error = refusal(s3)
    assert "no credentials" in error.what
    assert "set AWS_ACCESS_KEY_ID" in error.remedy


@pytest.mark.timeout(10)
def test_a_missing_bucket_is_told_at_once_whatever_is_asked_of_it(s3: str) -> None:
    assert "'no-such-bucket' does not exist" in refusal("s3://no-such-bucket/run").what
    for ask in (storage.listing, storage.read_bytes, storage.open_read):
        with pytest.raises(StorageError, match="'no-such-bucket' does not exist"):
            ask("s3://no-such-bucket/run")
