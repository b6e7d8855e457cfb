"""The run directory on an object store: numbered events that nobody overwrites, packed when they are many."""

from pathlib import Path

import pytest
from small_ledgers import DATA, IDENTITY, TRIAL

from fasray import storage
from fasray.errors import DataError, SpecError, StorageError
from fasray.runs import event_log
from fasray.runs.event_log import read_events
from fasray.runs.events import Ended, Opened, Suggested
from fasray.runs.ledger import Ledger, LedgerBroken
from fasray.runs.record import read_run


def trial(number: int) -> Suggested:
    return TRIAL.model_copy(update={"trial": f"{number:016x}"})


def test_what_was_appended_is_read_back_in_order(s3: str) -> None:
    with Ledger(s3, IDENTITY, DATA) as ledger:
        ledger.opened()
        ledger.append(TRIAL)
        ledger.append(Ended(trial=TRIAL.trial, status="diverged", reason="loss"))
    record = read_run(s3)
    assert [event.event for event in record.events] == ["opened", "suggested", "ended"]
    assert record.trials[0].status == "diverged"
    assert record.data == DATA
    with Ledger(s3, IDENTITY, DATA) as ledger:
        assert ledger.events == record.events


def test_the_same_events_are_the_same_lines_as_on_a_local_disk(s3: str, tmp_path: Path) -> None:
    for run in (s3, str(tmp_path)):
        with Ledger(run, IDENTITY, DATA) as ledger:
            for number in range(3):
                ledger.append(trial(number))
    lines = storage.read_bytes(str(tmp_path / "events.jsonl"))
    names = storage.listing(f"{s3}/events")
    assert b"".join(storage.read_many([f"{s3}/events/{name}" for name in names])) == lines
    for name in ("sweep.yaml", "data.json"):
        assert storage.read_bytes(f"{s3}/{name}") == (tmp_path / name).read_bytes()


def test_a_missing_and_a_damaged_event_are_refused_and_named(s3: str) -> None:
    with Ledger(s3, IDENTITY, DATA) as ledger:
        for number in range(4):
            ledger.append(trial(number))
    storage.write_bytes(f"{s3}/events/00000003.json", b'{"event": "sugg')
    with pytest.raises(DataError, match=r"00000003\.json: this line of the event log is damaged"):
        read_events(s3)
    storage.remove(f"{s3}/events/00000001.json")
    with pytest.raises(DataError, match=r"00000001\.json: this event of the log is missing"):
        read_events(s3)


def test_another_specification_and_other_data_are_refused(s3: str) -> None:
    Ledger(s3, IDENTITY, DATA).close()
    changed = {**IDENTITY, "search": {**IDENTITY["search"], "seed": 7}}
    with pytest.raises(SpecError, match=r"search\.seed: 100 -> 7"):
        Ledger(s3, changed, DATA)
    with pytest.raises(DataError, match="not what this run was started with"):
        Ledger(s3, IDENTITY, type(DATA)("b" * 64, 10, 64, {}))
    Ledger(s3, IDENTITY, DATA).close()


def test_a_driver_that_was_overtaken_writes_nothing_more(s3: str) -> None:
    """Neither driver has heard of the other's lease yet; the numbers of the events tell them apart."""
    slow = Ledger(s3, IDENTITY, DATA)
    slow.opened()
    lock = f"{s3}/lock/000001.json"
    claim = storage.read_bytes(lock)
    storage.remove(lock)
    with Ledger(s3, IDENTITY, DATA) as quick:
        storage.write_bytes(lock, claim)
        quick.append(Opened(at="later", host="far", pid=7, versions={}))
        for _ in range(2):
            with pytest.raises(LedgerBroken):
                slow.append(TRIAL)
        quick.append(TRIAL)
    with pytest.raises(SpecError, match="taken over by another driver"):
        slow.__exit__()
    assert [event.event for event in read_events(s3)] == ["opened", "opened", "suggested"]


@pytest.mark.parametrize("arrived", [True, False])
def test_a_signal_while_an_event_is_written_is_not_taken_for_another_driver(
    s3: str, monkeypatch: pytest.MonkeyPatch, arrived: bool
) -> None:
    write = storage.write_once

    def interrupted(uri: str, data: bytes) -> bool:
        monkeypatch.setattr(storage, "write_once", write)
        if arrived:
            write(uri, data)
        raise KeyboardInterrupt

    with Ledger(s3, IDENTITY, DATA) as ledger:
        ledger.opened()
        monkeypatch.setattr(storage, "write_once", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ledger.append(TRIAL)
        ledger.closed("interrupted")
    expected = ["opened", "suggested", "closed"] if arrived else ["opened", "closed"]
    assert [event.event for event in read_events(s3)] == expected


def test_a_long_log_is_packed_and_reads_the_same(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "PACK_FROM", 20)
    for driver in range(3):
        with Ledger(s3, IDENTITY, DATA) as ledger:
            ledger.opened()
            for number in range(25):
                ledger.append(trial(100 * driver + number))
    names = storage.listing(f"{s3}/events")
    assert len([name for name in names if name.endswith(".jsonl")]) == 2
    assert {"00000000.json", "00000026.json"} < set(names), "first events of drivers stay as fences"
    assert len(names) == 2 + 2 + 26
    events = read_events(s3)
    assert [event.trial for event in events if event.event == "suggested"] == [
        f"{100 * driver + number:016x}" for driver in range(3) for number in range(25)
    ]


def test_of_two_packs_with_one_beginning_the_longer_counts(s3: str) -> None:
    """A driver that was overtaken may have packed what its successor packs too; a log only ever grows."""
    with Ledger(s3, IDENTITY, DATA) as ledger:
        for number in range(9):
            ledger.append(trial(number))
    before = read_events(s3)
    lines = storage.read_many([f"{s3}/events/{number:08d}.json" for number in range(9)])
    event_log.pack(s3, 5)
    storage.write_bytes(f"{s3}/events/00000000-00000004.jsonl", b"".join(lines[:5]))
    assert read_events(s3) == before


@pytest.mark.parametrize("kept", [0, 3, 19])
def test_a_packing_that_was_interrupted_loses_nothing(s3: str, kept: int) -> None:
    with Ledger(s3, IDENTITY, DATA) as ledger:
        for number in range(20):
            ledger.append(trial(number))
    before = read_events(s3)
    loose = storage.read_many([f"{s3}/events/{number:08d}.json" for number in range(20)])
    event_log.pack(s3, 10)
    for number in range(kept, 20):
        storage.write_bytes(f"{s3}/events/{number:08d}.json", loose[number])
    assert read_events(s3) == before
    event_log.pack(s3, 10)
    with Ledger(s3, IDENTITY, DATA) as ledger:
        ledger.append(trial(20))
    assert read_events(s3) == [*before, trial(20)]


def test_a_log_that_cannot_be_written_breaks_the_ledger_with_the_reason(
    s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASRAY_STORE_PATIENCE", "0")
    ledger = Ledger(s3, IDENTITY, DATA)
    ledger.append(TRIAL)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(LedgerBroken):
        ledger.append(TRIAL)
    with pytest.raises(StorageError, match="nothing answers"):
        ledger.__exit__()
