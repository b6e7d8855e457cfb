"""A store that goes away is waited for: every kind of request, no longer than asked, told once."""

import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.reduction import ForkingPickler

import pytest
from object_store import BUCKET, ObjectStore
from pyarrow.fs import FSSpecHandler, PyFileSystem

from fasray import storage
from fasray.errors import StorageError

PLACE = f"s3://{BUCKET}/place"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with ObjectStore(tmp_path_factory.mktemp("own-store")) as store:
        yield store


@pytest.fixture
def own_store(started: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """A store that the tests of this file may stop; the last one does for good."""
    for name, value in started.env.items():
        monkeypatch.setenv(name, value)
    return started


def test_every_request_waits_for_a_store_that_comes_back(
    own_store: ObjectStore, caplog: pytest.LogCaptureFixture
) -> None:
    data = bytes(range(256)) * 4096
    for name in ("large", "doomed"):
        storage.write_bytes(f"{PLACE}/{name}", data)
    table = storage.open_read(f"{PLACE}/large")
    fs, path = storage.filesystem(f"{PLACE}/large")
    arrow = PyFileSystem(FSSpecHandler(fs))
    requests = {
        "read": lambda: storage.read_bytes(f"{PLACE}/large") == data,
        "part": lambda: table.seek(300_000) and table.read(100) == data[300_000:300_100],
        "arrow": lambda: arrow.open_input_file(path).read_at(100, 700_000) == data[700_000:700_100],
        "list": lambda: "large" in storage.listing(PLACE),
        "exists": lambda: storage.exists(f"{PLACE}/large") and not storage.exists(f"{PLACE}/none"),
        "write": lambda: storage.write_bytes(f"{PLACE}/new", data) is None,
        "once": lambda: storage.write_once(f"{PLACE}/once", b"1"),
        "remove": lambda: storage.remove(f"{PLACE}/doomed") is None,
    }
    own_store.kill()
    with ThreadPoolExecutor(len(requests)) as threads, caplog.at_level(logging.WARNING):
        answers = {name: threads.submit(request) for name, request in requests.items()}
        quiet = threading.Event()
        while not any("does not answer" in record.message for record in caplog.records):
            assert not quiet.wait(0.05)
            assert not any(answer.done() for answer in answers.values())
        own_store.start()
        assert {name for name, answer in answers.items() if answer.result(60)} == set(requests)
    told = [record.message for record in caplog.records]
    assert len([text for text in told if "does not answer; waiting for it, up to 300 s" in text]) == 1
    assert len([text for text in told if "answers again after" in text]) == 1
    assert storage.read_bytes(f"{PLACE}/new") == data
    assert storage.read_bytes(f"{PLACE}/once") == b"1"
    assert not storage.exists(f"{PLACE}/doomed")


@pytest.mark.parametrize("data", [b"mine", b"theirs"])
def test_a_write_whose_answer_was_lost_is_made_again_and_known_as_ones_own(s3: str, data: bytes) -> None:
    """What stands after an attempt whose answer was lost is what was to be written, or another writer's."""
    storage.write_bytes(f"{s3}/once", b"mine")
    assert storage.write_once(f"{s3}/once", data) == (data == b"mine")


def test_a_pickled_file_system_holds_no_secret(s3: str, object_store: ObjectStore) -> None:
    fs, path = storage.filesystem(s3)
    storage.write_bytes(f"{s3}/a", b"x")
    pickled = bytes(ForkingPickler.dumps(PyFileSystem(FSSpecHandler(fs))))
    assert object_store.secret.encode() not in pickled
    assert object_store.key.encode() not in pickled
    other = ForkingPickler.loads(ForkingPickler.dumps(fs))
    assert other.cat_file(f"{path}/a") == b"x"


def test_patience_ends_with_where_and_what_to_do(own_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.check_access(PLACE)
    monkeypatch.setenv("FASRAY_STORE_PATIENCE", "1.5")
    own_store.kill()
    began = time.monotonic()
    with pytest.raises(StorageError, match=f"{PLACE}/a: nothing answers at {own_store.endpoint}") as error:
        storage.write_bytes(f"{PLACE}/a", b"")
    assert 1.5 <= time.monotonic() - began < 10
    assert "AWS_ENDPOINT_URL" in error.value.remedy
    began = time.monotonic()
    with pytest.raises(StorageError):
        storage.check_access("s3://never-reached/place")
    assert time.monotonic() - began < 1.5, "the first contact is not waited for"
