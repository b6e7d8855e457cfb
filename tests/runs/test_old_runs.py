"""Runs that earlier versions wrote open, list, verify, report and resume; see ``tests/assets/old_runs/README.md``."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from locations import TESTS
from small_sweeps import place

import fasray
from fasray import storage
from fasray.cli import cli
from fasray.errors import DataError
from fasray.faces.sets.manifest import read_manifest
from fasray.faces.sets.reading import read_index
from fasray.faces.synthetic import generate
from fasray.runs.events import Event
from fasray.runs.ledger import Ledger
from fasray.runs.record import read_run
from fasray.sweep.auto import resolve_auto
from fasray.sweep.coordinator import Coordinator
from fasray.sweep.plan import make_plan

RUNS = TESTS / "assets" / "old_runs"
LOCAL = ("plain", "checksums", "ablations", "workers", "costs", "stream", "inner")
SOUND = (*LOCAL, "s3")
FORMATS = ("no-spec", *SOUND)
LISTINGS = ("results", "trials", "evaluations", "cost")
Copy = Callable[[str], str]


def command(*words: str | Path) -> str:
    """Run a command of fasray in this process and return what it prints; any error, or finding, is raised."""
    ran = CliRunner().invoke(cli, list(map(str, words)), catch_exceptions=False, standalone_mode=False)
    return ran.stdout


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The faces of all these runs: 144 of 32 px, in a folder of the name that their sweeps have."""
    folder = tmp_path_factory.mktemp("old-runs") / "faces"
    generate(str(folder), subjects=2, domains="OCI", image_size=32, processes=1)
    return folder


@pytest.fixture
def copy(tmp_path: Path, request: pytest.FixtureRequest) -> Copy:
    """A function that puts a run where it can be written to, and returns its address."""

    def put(name: str) -> str:
        if name != "s3":
            return str(shutil.copytree(RUNS / name / "run", tmp_path / "run"))
        run = storage.join(request.getfixturevalue("s3"), "run")
        for path in filter(Path.is_file, (RUNS / name / "run").rglob("*")):
            storage.write_bytes(storage.join(run, *path.relative_to(RUNS / name / "run").parts), path.read_bytes())
        return run

    return put


@pytest.mark.parametrize("name", FORMATS)
def test_it_lists_what_it_always_did_and_perhaps_more_columns(name: str, copy: Copy) -> None:
    run = copy(name)
    for what in LISTINGS:
        then = json.loads((RUNS / name / "expected" / f"{what}.json").read_text(encoding="utf-8"))
        now = json.loads(command("results", run, "--what", what, "--format", "json"))
        assert [{key: row[key] for key in old} for row, old in zip(now, then, strict=True)] == then, what


@pytest.mark.parametrize("name", SOUND)
def test_it_verifies_until_a_score_file_is_another(name: str, copy: Copy) -> None:
    run = copy(name)
    command("verify", run)
    mine, other = (trial.id for trial in read_run(run).trials[:2])
    uris = [read_run(run).score_uri(trial, 2) for trial in (mine, other)]
    storage.write_bytes(uris[0], storage.read_bytes(uris[1]))
    with pytest.raises(DataError, match=f"trials/{mine}/eval-00000002.parquet: .*{other}"):
        command("verify", run)


@pytest.mark.parametrize("name", FORMATS)
def test_its_report_shows_every_cell(name: str, copy: Copy, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    command("report", copy(name), "-o", page)
    html = page.read_text(encoding="utf-8")
    assert html.startswith("<!doctype html>")
    rows = json.loads((RUNS / name / "expected" / "results.json").read_text(encoding="utf-8"))
    for row in rows:
        if (row["selection"], row["level"]) == ("source-dev", "video"):
            assert row["method"] in html
            assert f"{100 * row['hter']:.2f}" in html


@pytest.mark.parametrize("name", FORMATS)
def test_why_walks_from_each_number_to_files_that_are_there(name: str, copy: Copy) -> None:
    run = copy(name)
    for row in json.loads((RUNS / name / "expected" / "results.json").read_text(encoding="utf-8")):
        if row["selection"] == "source-dev" and row["level"] == "video":
            options = ("--variant", row["variant"], "--format", "json")
            told = json.loads(command("why", run, row["method"], row["protocol"], *options))
            assert [source["trial"] for source in told["sources"]] == row["trials"]
            assert [source["step"] for source in told["sources"]] == row["steps"]
            assert told["hter"] == row["hter"]
            for source in told["sources"]:
                content = storage.read_bytes(source["score_file"])
                assert hashlib.sha256(content).hexdigest() == source["score_sha256"]


@pytest.mark.parametrize("name", FORMATS)
def test_its_own_sweep_finds_it_finished(name: str, copy: Copy, faces: Path) -> None:
    """The specification has the hash of then, the plan makes the same trials, the schedulers decide as they did."""
    run = copy(name)
    record = read_run(run)
    spec = resolve_auto(
        fasray.load_sweep(RUNS / name / "sweep.yaml"), has_gpus=None, environ={}, recorded=record.spec
    ).spec
    assert spec.hash() == record.spec_hash
    plan = make_plan(spec, record.data.manifest_hash, read_index(str(faces)))
    more: list[Event] = []
    with Ledger(run, spec.identity(), record.data) as ledger:
        coordinator = Coordinator(plan, more.append)
        coordinator.replay(ledger.events)
        coordinator.close_finished_searches()
    assert coordinator.finished
    assert more == []


@pytest.mark.parametrize("name", ["plain", *(pytest.param(name, marks=pytest.mark.slow) for name in LOCAL[1:])])
def test_the_sweep_command_trains_nothing_again(
    name: str, copy: Copy, faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copy(name)
    skip_unless_these_faces(faces, run)
    monkeypatch.chdir(faces.parent)
    before = read_run(run).events
    command("sweep", RUNS / name / "sweep.yaml", "--out", run)
    assert [event.event for event in read_run(run).events[len(before) :]] == ["opened", "closed"]
    expected = (RUNS / name / "expected" / "results.json").read_text(encoding="utf-8")
    assert command("results", run, "--format", "json") == expected
    command("verify", run)


def test_that_nothing_says_what_a_trial_was_is_all_that_verify_finds(copy: Copy) -> None:
    run = copy("no-spec")
    lines = [rf"\n    trials/{trial.id}/spec\.json: [^\n]+" for trial in read_run(run).trials]
    with pytest.raises(DataError, match="4 findings:" + "".join(lines) + r"\n  ->"):
        command("verify", run)


def test_a_table_from_before_there_were_variants_is_known_as_such(copy: Copy) -> None:
    run = copy("plain")
    shutil.copy(RUNS / "plain" / "results-of-then.parquet", Path(run) / "results.parquet")
    with pytest.raises(DataError, match=r"results\.parquet: another version wrote it"):
        command("verify", run)


def test_a_run_whose_driver_was_killed_goes_on_with_the_trial_that_ran(copy: Copy, faces: Path) -> None:
    run = copy("killed")
    command("verify", run)
    record = read_run(run)
    file = fasray.load_sweep(RUNS / "killed" / "sweep.yaml")
    spec = resolve_auto(file, has_gpus=False, environ={}, recorded=record.spec).spec
    (running,) = (trial for trial in record.trials if trial.status == "running")
    more: list[Event] = []
    coordinator = Coordinator(make_plan(spec, record.data.manifest_hash, read_index(str(faces))), more.append)
    coordinator.replay(record.events)
    assignment = coordinator.next_assignment()
    assert not coordinator.finished
    assert assignment is not None
    assert assignment.trial.id == running.id


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_table_of_the_undisturbed(faces: Path, tmp_path: Path) -> None:
    """``inner`` is the same sweep, undisturbed; the driver of ``killed`` was killed while it trained."""
    here = place(tmp_path / "place", faces, "", FASRAY_POOL_DIR=str(tmp_path / "pools"), RAY_AUTH_MODE="token")
    shutil.copy(RUNS / "killed" / "sweep.yaml", here.sweep)
    shutil.copytree(RUNS / "killed" / "run", here.run_folder)
    (here.folder / "faces").symlink_to(faces)
    skip_unless_these_faces(faces, here.out)
    before = here.events()
    with (here.run_folder / "events.jsonl").open("ab") as log:
        log.write(b'{"event":"reported","trial":"')  # as a kill in the middle of a write leaves it
    ran = here.drive()
    assert ran.code == 0, ran.err
    assert here.events()[: len(before)] == before
    command("verify", here.out)
    expected = (RUNS / "inner" / "expected" / "results.json").read_text(encoding="utf-8")
    assert command("results", here.out, "--format", "json") == expected


def skip_unless_these_faces(faces: Path, run: str) -> None:
    """Skip where generated faces are others: their last bits depend on libraries and CPU."""
    if read_manifest(str(faces)).hash != read_run(run).data.manifest_hash:
        pytest.skip("another CPU or another library: the generated faces are not the bytes of then")
