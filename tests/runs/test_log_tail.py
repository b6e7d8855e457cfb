"""What another process sees of a run that is being driven: new events as they come, and who drives."""

import os
import socket
from pathlib import Path

import pytest
from small_ledgers import DATA, IDENTITY, TRIAL

from fasray import storage
from fasray.errors import DataError
from fasray.runs.event_log import LogTail, pack
from fasray.runs.events import EVENTS, Ended, Event, Opened
from fasray.runs.ledger import Ledger
from fasray.runs.lock import Holder, holder_of

ENDED = Ended(trial=TRIAL.trial, status="failed", reason="loss")


def trials(first: int, count: int) -> list[Event]:
    return [TRIAL.model_copy(update={"trial": f"{number:016x}"}) for number in range(first, first + count)]


def test_each_read_gives_what_was_written_since(tmp_path: Path) -> None:
    tail = LogTail(str(tmp_path))
    assert tail.read() == []
    log = tmp_path / "events.jsonl"
    line = EVENTS.dump_json(TRIAL) + b"\n"
    log.write_bytes(line)
    assert tail.read() == [TRIAL]
    with log.open("ab") as file:
        file.write(line[:20])
    assert tail.read() == []
    os.truncate(log, len(line))  # as the next driver does with the part of a line that a kill left
    with log.open("ab") as file:
        file.write(EVENTS.dump_json(ENDED) + b"\n" + line)
    assert tail.read() == [ENDED, TRIAL]
    assert tail.count == 3


def test_damage_is_named_and_another_log_in_its_place_is_refused(tmp_path: Path) -> None:
    log, tail = tmp_path / "events.jsonl", LogTail(str(tmp_path))
    log.write_bytes(EVENTS.dump_json(TRIAL) + b"\n")
    tail.read()
    with log.open("ab") as file:
        file.write(b'{"event": "sugg\n')
    with pytest.raises(DataError, match=r"events\.jsonl, line 2: this line of the event log is damaged"):
        tail.read()
    log.write_bytes(b"")
    with pytest.raises(DataError, match="replaced by another"):
        tail.read()


def test_a_remote_log_is_read_on_over_a_pack(s3: str) -> None:
    tail, written = LogTail(s3), trials(0, 6)
    with Ledger(s3, IDENTITY, DATA) as ledger:
        for event in written[:3]:
            ledger.append(event)
        assert tail.read() == written[:3]
        assert tail.read() == []
        for event in written[3:]:
            ledger.append(event)
    pack(s3, 2)
    seen = [event for _ in range(LogTail.LIST_EVERY) for event in tail.read()]
    assert seen == written[3:]
    with Ledger(s3, IDENTITY, DATA) as ledger:
        ledger.append(ENDED)
        assert tail.read() == [ENDED]
    assert LogTail(s3).read() == [*written, ENDED]


def test_the_holder_of_a_local_run_is_seen_without_taking_the_lock(tmp_path: Path) -> None:
    assert holder_of(str(tmp_path)) == Holder("", False)
    with Ledger(str(tmp_path), IDENTITY, DATA):
        held = holder_of(str(tmp_path))
        assert held.alive
        assert f"process {os.getpid()} on {socket.gethostname()}" in held.who
    assert holder_of(str(tmp_path)) == Holder("", False)
    (tmp_path / "lock").write_text(held.who)  # as a killed driver leaves it
    assert holder_of(str(tmp_path)) == Holder(held.who, False)
    (tmp_path / "lock").write_text("process 1 on a-machine-elsewhere since 2026-01-01T00:00:00+00:00")
    assert holder_of(str(tmp_path)).alive is None


def test_the_holder_of_a_remote_run_is_dead_once_its_lease_has_run_out(s3: str) -> None:
    assert holder_of(s3) == Holder("", False)
    with Ledger(s3, IDENTITY, DATA) as ledger:
        ledger.append(Opened(at="now", host="h", pid=1, versions={}))
        assert holder_of(s3).alive
        claim = storage.read_bytes(f"{s3}/lock/000001.json")
    assert holder_of(s3) == Holder("", False)
    elsewhere = claim.replace(b'"machine": "', b'"machine": "x').replace(b'"seconds": 30.0', b'"seconds": -9.0')
    storage.write_bytes(f"{s3}/lock/000001.json", elsewhere)
    assert holder_of(s3).alive is False
    storage.write_bytes(f"{s3}/lock/000001.json", elsewhere.replace(b"-9.0", b"30.0"))
    assert holder_of(s3).alive
