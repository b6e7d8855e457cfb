"""The run directory: a log that survives a kill, one driver at a time, one specification for good."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from locations import SUPPORT
from small_ledgers import DATA, IDENTITY, TRIAL
from sweep_fixtures import SWEEP

from fasray.errors import DataError, SpecError
from fasray.runs.event_log import read_events
from fasray.runs.events import Ended
from fasray.runs.ledger import Ledger
from fasray.runs.record import DataFacts, identity_hash, read_run
from fasray.sweep.sweep_file import parse_sweep


def test_what_was_appended_is_read_back_in_order(tmp_path: Path) -> None:
    with Ledger(str(tmp_path), IDENTITY, DATA) as ledger:
        ledger.opened()
        ledger.append(TRIAL)
        ledger.append(Ended(trial=TRIAL.trial, status="diverged", reason="loss"))
    record = read_run(str(tmp_path))
    assert [event.event for event in record.events] == ["opened", "suggested", "ended"]
    assert record.name == "tiny"
    assert record.trials[0].status == "diverged"
    assert record.data == DATA


@pytest.mark.parametrize("left", [1, 5, 40])
def test_a_line_that_a_kill_cut_short_never_happened(tmp_path: Path, left: int) -> None:
    with Ledger(str(tmp_path), IDENTITY, DATA) as ledger:
        ledger.append(TRIAL)
    log = tmp_path / "events.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole + whole[:left])
    assert len(read_events(str(tmp_path))) == 1
    with Ledger(str(tmp_path), IDENTITY, DATA) as ledger:
        ledger.append(Ended(trial=TRIAL.trial, status="failed", reason="x"))
    assert [event.event for event in read_events(str(tmp_path))] == ["suggested", "ended"]


def test_a_damaged_line_in_the_middle_is_refused_and_named(tmp_path: Path) -> None:
    with Ledger(str(tmp_path), IDENTITY, DATA) as ledger:
        ledger.append(TRIAL)
        ledger.append(TRIAL)
    log = tmp_path / "events.jsonl"
    log.write_bytes(log.read_bytes().replace(b"suggested", b"suggeste\x00", 1))
    with pytest.raises(DataError, match="line 1"):
        read_events(str(tmp_path))


def test_another_specification_is_refused_with_the_difference(tmp_path: Path) -> None:
    Ledger(str(tmp_path), IDENTITY, DATA).close()
    changed = parse_sweep(SWEEP, overrides=["search.seed=7"]).identity()
    with pytest.raises(SpecError, match=r"search\.seed: 100 -> 7") as error:
        Ledger(str(tmp_path), changed, DATA)
    assert error.value.exit_code == 2


def test_other_data_is_refused(tmp_path: Path) -> None:
    Ledger(str(tmp_path), IDENTITY, DATA).close()
    with pytest.raises(DataError, match="not what this run was started with"):
        Ledger(str(tmp_path), IDENTITY, DataFacts("b" * 64, 10, 64, {}))


def test_data_may_move_and_the_run_notes_where_to(tmp_path: Path) -> None:
    Ledger(str(tmp_path), IDENTITY, DATA).close()
    Ledger(str(tmp_path), {**IDENTITY, "data": "/mnt/other disk/faces"}, DATA).close()
    record = read_run(str(tmp_path))
    assert record.spec == {**IDENTITY, "data": "/mnt/other disk/faces"}
    assert record.spec_hash == identity_hash(record.spec)
    with pytest.raises(DataError, match="at /mnt/other disk/faces: manifest bbb"):
        Ledger(str(tmp_path), IDENTITY, DataFacts("b" * 64, 10, 64, {}))


def test_a_run_of_before_whose_numbers_were_words_goes_on(tmp_path: Path) -> None:
    old = {**IDENTITY, "methods": {"erm": {"space": {"learning_rate": {"choice": ["1e-3", 1, "0.10"]}}}}}
    new = {**IDENTITY, "methods": {"erm": {"space": {"learning_rate": {"choice": [0.001, 1.0, 0.1]}}}}}
    Ledger(str(tmp_path), old, DATA).close()
    Ledger(str(tmp_path), new, DATA).close()
    with pytest.raises(SpecError, match="choice"):
        Ledger(str(tmp_path), {**new, "methods": {"erm": {"space": {"learning_rate": {"choice": [True]}}}}}, DATA)


@pytest.mark.parametrize("spelling", ["file://{0}/run", "local://{0}/run//", "~/run", "./run/", "{0}/link"])
def test_a_run_has_one_lock_and_one_log_however_its_folder_is_spelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to("run")
    with Ledger(str(tmp_path / "run"), IDENTITY, DATA) as ledger:
        ledger.append(TRIAL)
        with pytest.raises(SpecError, match="process"):
            Ledger(spelling.format(tmp_path), IDENTITY, DATA)
    with Ledger(spelling.format(tmp_path), IDENTITY, DATA) as ledger:
        assert ledger.events == (TRIAL,)
    assert {path.name for path in tmp_path.iterdir()} == {"run", "link"}


def test_a_second_driver_is_refused_and_told_who_the_first_is(tmp_path: Path) -> None:
    with Ledger(str(tmp_path), IDENTITY, DATA), pytest.raises(SpecError, match=f"process {os.getpid()} on "):
        Ledger(str(tmp_path), IDENTITY, DATA)
    Ledger(str(tmp_path), IDENTITY, DATA).close()


def test_a_dead_drivers_lock_is_taken_over(tmp_path: Path) -> None:
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[2])\n"
        "from small_ledgers import DATA, IDENTITY\n"
        "from fasray.runs.ledger import Ledger\n"
        "Ledger(sys.argv[1], IDENTITY, DATA); print(os.getpid(), flush=True); os.kill(os.getpid(), 9)"
    )
    dead = subprocess.run([sys.executable, "-c", code, str(tmp_path), str(SUPPORT)], capture_output=True, text=True)
    with Ledger(str(tmp_path), IDENTITY, DATA) as ledger:
        assert ledger.taken_over_from.startswith(f"process {dead.stdout.strip()} on ")
    with Ledger(str(tmp_path), IDENTITY, DATA) as ledger:
        assert ledger.taken_over_from == ""


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a run directory"):
        read_run(str(tmp_path))
