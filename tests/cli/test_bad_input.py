"""Bad input: one message on standard error with place and remedy, the right exit code, nothing run, no traceback."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_sweeps import COMMAND, SMALL, Ran, rewritten

from fasray.cli import main

Command = Callable[..., Ran]


@pytest.fixture
def fasray(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """The command's own entry point, in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASRAY_CACHE_DIR", str(tmp_path / "cache"))

    def run(*arguments: str | Path) -> Ran:
        monkeypatch.setattr("sys.argv", ["fasray", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        seen = capfd.readouterr()
        return Ran(int(ended.value.code or 0), seen.out, seen.err)

    return run


@pytest.fixture
def sweep(small_faces: Path, tmp_path: Path) -> Path:
    file = tmp_path / "sweep.yaml"
    file.write_text(SMALL.format(data=small_faces))
    return file


def refused(ran: Ran, code: int, *parts: str) -> None:
    """One message that has all the parts."""
    assert ran.code == code, ran.err
    assert ran.out == ""
    assert "Traceback" not in ran.err
    assert ran.err.startswith("error: ")
    assert len(ran.err.splitlines()) <= 6, ran.err
    for part in parts:
        assert part in ran.err, ran.err


def test_a_good_sweep_is_planned(fasray: Command, sweep: Path) -> None:
    ran = fasray("plan", sweep)
    assert ran.code == 0, ran.err
    assert "4 cells: 2 methods x 2 protocols" in ran.out


@pytest.mark.parametrize(
    ("old", "new", "code", "parts"),
    [
        ("scheduler:", "schedular:", 2, ["line 9", "unknown key 'schedular'", "did you mean 'scheduler'?"]),
        ("reduction: 2", "reduktion: 2", 2, ["line 9", "scheduler", "reduktion", "did you mean 'reduction'?"]),
        ("steps: 8", "steps: eight", 2, ["training.steps", "integer", "'eight'"]),
        ("steps: 8", "steps: 0", 2, ["training.steps", "greater than or equal to 1"]),
        ("trials_per_cell: 2", "trials_per_cell: [2]", 2, ["line 8", "search.trials_per_cell", "[2]"]),
        ("safas:", "sfas:", 2, ["unknown method 'sfas'", "did you mean 'safas'?"]),
        ("methods:\n", "methods:\n  erm:\n", 2, ["line 7", "'erm' is given twice"]),
        ("name: tiny", "name: tiny\nname: other", 2, ["line 3", "'name' is given twice"]),
        ("name: tiny", "name: [tiny", 2, ["not readable as YAML"]),
        ("name: tiny", "? [a, b]\n: 1\nname: tiny", 2, ["not readable as YAML", "line 2"]),
        ("name: tiny", "name: &a [*a]", 2, ["key name"]),
        ("name: tiny", "name: tiny\n7: 7", 2, ["line 3", "7"]),
        ("profile: smoke", "profile: smok", 2, ["unknown profile 'smok'", "did you mean 'smoke'?"]),
        ("seeds: [0, 1]", "seeds: []", 2, ["confirm.seeds"]),
        ("seeds: [0, 1]", "seeds: [0, 100]", 2, ["confirmed on fresh seeds"]),
        ("learning_rate:", "learning_rat:", 2, ["methods.erm.space.learning_rat", "did you mean 'learning_rate'?"]),
        ("grace: 0.5", "grace: .nan", 2, ["scheduler.asha.grace"]),
        ("O&C->I", "O&C=>I", 4, ["O&C=>I"]),
        ("O&C->I", "ocin", 4, ["'ocin'", "did you mean 'ocim'?"]),
        ("O&C->I", "O&C->Y", 4, ["'Y'", "the data has: C, I, M, O"]),
        ("O&C->I", "O->I", 4, ["safas needs at least 2 source domains, O->I has 1"]),
        ("O&C->I", "O&I->I", 4, ["leak", "O&I->I"]),
    ],
)  # fmt: skip
def test_a_mistake_in_a_sweep_file(
    fasray: Command, sweep: Path, old: str, new: str, code: int, parts: list[str]
) -> None:
    text = sweep.read_text()
    assert old in text
    sweep.write_text(text.replace(old, new, 1))
    refused(fasray("plan", sweep), code, *parts)


def test_the_message_names_the_file(fasray: Command, sweep: Path) -> None:
    sweep.write_text(sweep.read_text().replace("scheduler:", "schedular:"))
    refused(fasray("plan", sweep), 2, str(sweep))


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("search.seed", ["--set", "key.sub=value"]),
        ("=3", ["--set"]),
        ("name.seed=3", ["--set name.seed", "not a section"]),
        ("search.sed=3", ["unknown key 'sed'", "did you mean 'seed'?"]),
        ("search.seed=[", ["--set search.seed", "not readable as YAML"]),
        ("protocols=7", ["protocols"]),
        ("training=7", ["training"]),
        ("methods.erm=7", ["methods.erm"]),
        ("methods={}", ["methods"]),
        ("data=null", ["data"]),
    ],
)  # fmt: skip
def test_a_bad_override(fasray: Command, sweep: Path, override: str, parts: list[str]) -> None:
    refused(fasray("plan", sweep, "--set", override), 2, *parts)


def test_a_sweep_file_that_is_not_there(fasray: Command, tmp_path: Path) -> None:
    refused(fasray("plan", tmp_path / "none.yaml"), 2, "none.yaml", "no such sweep file")
    refused(fasray("sweep", tmp_path), 2, "no such sweep file")
    (tmp_path / "empty.yaml").touch()
    refused(fasray("plan", tmp_path / "empty.yaml"), 2, "empty.yaml", "mapping of keys")
    (tmp_path / "bytes.yaml").write_bytes(bytes(range(256)))
    refused(fasray("plan", tmp_path / "bytes.yaml"), 2, "bytes.yaml")


def test_data_that_is_not_there(fasray: Command, sweep: Path, tmp_path: Path) -> None:
    refused(fasray("plan", sweep, "--set", "data=nowhere"), 3, "data: nowhere", "synthetic")
    (tmp_path / "empty").mkdir()
    refused(fasray("plan", sweep, "--set", "data=empty"), 3, "empty", "manifest.json is missing", "data synth")
    refused(fasray("plan", sweep, "--set", f"data={sweep}"), 3, "sweep.yaml")
    refused(fasray("plan", sweep, "--set", "data=nope://bucket"), 3, "nope")


def test_a_damaged_manifest(fasray: Command, sweep: Path, small_faces: Path, tmp_path: Path) -> None:
    faces = shutil.copytree(small_faces, tmp_path / "faces")
    manifest = faces / "manifest.json"
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[:100])
    refused(fasray("plan", sweep, "--set", f"data={faces}"), 3, str(faces))
    emptied = json.loads(whole) | {"shards": []}
    manifest.write_text(json.dumps(emptied))
    refused(fasray("plan", sweep, "--set", f"data={faces}"), 3, str(faces))


def test_a_missing_shard(fasray: Command, sweep: Path, small_faces: Path, tmp_path: Path) -> None:
    faces = shutil.copytree(small_faces, tmp_path / "faces")
    (faces / "shard-00000.parquet").unlink()
    refused(fasray("plan", sweep, "--set", f"data={faces}"), 3, "shard-00000.parquet")


def test_a_subject_in_two_splits(fasray: Command, sweep: Path, small_faces: Path, tmp_path: Path) -> None:
    def moved(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        records[0]["split"] = "test"
        return records

    faces = rewritten(small_faces, tmp_path / "faces", moved)
    refused(fasray("plan", sweep, "--set", f"data={faces}"), 3, "in two splits", "one of train, dev and test")


def test_a_domain_of_one_class(fasray: Command, sweep: Path, small_faces: Path, tmp_path: Path) -> None:
    def without_live(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [row for row in records if row["domain"] != "C" or row["label"] == 0]

    faces = rewritten(small_faces, tmp_path / "faces", without_live)
    refused(fasray("plan", sweep, "--set", f"data={faces}"), 3, "domain 'C' has no live", "only one class")


def test_a_person_in_source_and_target(fasray: Command, sweep: Path, small_faces: Path, tmp_path: Path) -> None:
    def doubled(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        names = {row["domain"]: row["subject"] for row in records if row["split"] == "test"}
        return [row | {"subject": names["O"]} if row["subject"] == names["I"] else row for row in records]

    faces = rewritten(small_faces, tmp_path / "faces", doubled)
    refused(fasray("plan", sweep, "--set", f"data={faces}"), 4, "leak", "target")


@pytest.mark.parametrize("command", ["results", "report"])
def test_a_run_directory_that_is_none(fasray: Command, tmp_path: Path, command: str) -> None:
    refused(fasray(command, tmp_path / "nowhere"), 3, "nowhere", "not a run directory", "fasray sweep")
    refused(fasray(command, tmp_path), 3, "not a run directory")


@pytest.mark.parametrize("out", ["sweep.yaml", "sweep.yaml/run", "/proc/nothing"])
def test_an_out_that_cannot_be_written(fasray: Command, sweep: Path, out: str) -> None:
    refused(fasray("sweep", sweep, "--out", out), 2, out)


def test_a_remote_out(fasray: Command, sweep: Path) -> None:
    refused(fasray("sweep", sweep, "--out", "memory://runs/one"), 2, "--out memory://runs/one", "local disk")


def test_an_unknown_selection(fasray: Command, finished: Any) -> None:
    refused(fasray("results", finished.place.run_folder, "--select", "orakel"), 2, "orakel", "did you mean 'oracle'?")


def test_an_output_that_cannot_be_written(fasray: Command, finished: Any) -> None:
    for command in (("results", "--format", "csv"), ("results", "--format", "parquet"), ("report",)):
        ran = fasray(command[0], finished.place.run_folder, *command[1:], "-o", "/proc/nothing/here")
        refused(ran, 3, "/proc/nothing/here")


def test_damaged_files_of_a_run_are_named(fasray: Command, finished: Any, tmp_path: Path) -> None:
    def copy(name: str) -> Path:
        return Path(shutil.copytree(finished.place.run_folder, tmp_path / name))

    run = copy("log")
    (run / "events.jsonl").write_bytes(b"{}\n" + (run / "events.jsonl").read_bytes())
    refused(fasray("results", run), 3, "events.jsonl, line 1", "restore")
    run = copy("scores")
    for file in run.glob("trials/*/eval-00000008.parquet"):
        file.write_bytes(file.read_bytes()[:-9])
    refused(fasray("results", run), 3, "eval-00000008.parquet")
    run = copy("data")
    (run / "data.json").write_text("{")
    refused(fasray("results", run), 3, "data.json")
    run = copy("spec")
    (run / "sweep.yaml").write_text("hash: 7\n")
    refused(fasray("results", run), 3, "sweep.yaml")


def test_usage_errors_are_clicks_own_with_code_2() -> None:
    for arguments in (["plan"], ["plot"], ["results", "x", "--format", "xml"]):
        ran = subprocess.run([COMMAND, *arguments], capture_output=True, text=True)
        assert ran.returncode == 2
        assert "Usage: fasray" in ran.stderr
        assert "Traceback" not in ran.stderr
