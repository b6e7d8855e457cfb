"""``fasray verify`` sees every kind of damage; ``fasray why`` ends in a command that gives the same trial again."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from trained_runs import TrainedRun, train_run

from fasray.cli import cli
from fasray.errors import DataError, SpecError
from fasray.results.audit.verify import RunFinding, verify_run
from fasray.results.load import load_results
from fasray.results.report import render_report
from fasray.results.tables.export import write_parquet
from fasray.runs.layout import RESULTS_FILE
from fasray.runs.record import read_run
from fasray.runs.weights import UsedWeights, write_weights
from fasray.training.trial import Trial


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    found = train_run(tmp_path_factory.mktemp("trained"))
    write_parquet(load_results(str(found.run)), str(found.run / RESULTS_FILE))
    return found


@pytest.fixture
def copy(trained: TrainedRun, tmp_path: Path) -> Path:
    shutil.copytree(trained.run, tmp_path / "run")
    return tmp_path / "run"


def findings(run: Path) -> list[RunFinding]:
    return list(verify_run(read_run(str(run))).findings)


def confirmed(run: Path, seed: int = 0) -> Path:
    (found,) = (trial.id for trial in read_run(str(run)).trials if trial.stage == "confirm" and trial.seed == seed)
    return run / "trials" / found


def command(run: TrainedRun, *arguments: str) -> Result:
    return CliRunner(env=run.env).invoke(cli, list(arguments), catch_exceptions=False, standalone_mode=False)


def rewrite(path: Path, change: Callable[[dict[str, list[object]]], None]) -> None:
    """Change a score file and keep it a good one: schema, trial and step as before."""
    table = pq.read_table(path)
    columns = table.to_pydict()
    change(columns)
    pq.write_table(pa.table(columns, schema=table.schema), path, write_page_checksum=True)


def test_a_whole_run_has_no_findings(trained: TrainedRun) -> None:
    found = verify_run(read_run(str(trained.run)))
    assert found.findings == ()
    assert (found.trials, found.score_files, found.without_record) == (4, 12, 0)
    assert found.checkpoints >= 4
    assert found.numbers > 500
    said = command(trained, "verify", str(trained.run))
    assert "4 trials: 12 score files (12 held against their SHA-256, 0 not recorded)" in said.output
    assert said.output.endswith("everything is as it was written\n")


@pytest.mark.parametrize("role", ["source-dev", "target"])
def test_one_changed_score_is_found(copy: Path, role: str) -> None:
    file = confirmed(copy) / "eval-00000004.parquet"

    def change(columns: dict[str, list[object]]) -> None:
        columns["score"][columns["role"].index(role)] = 0.123

    rewrite(file, change)
    found = findings(copy)
    assert {finding.where for finding in found} == {str(file.relative_to(copy))}
    assert any("its SHA-256 differs" in finding.what for finding in found)
    if role == "source-dev":
        assert any("the event log has" in finding.what for finding in found)


def test_a_changed_target_score_is_found_without_any_hash_by_the_table(copy: Path) -> None:
    for record in copy.rglob("files.json"):
        record.unlink()
    folder = confirmed(copy)

    def change(columns: dict[str, list[object]]) -> None:
        targets = [n for n, role in enumerate(columns["role"]) if role == "target"]
        for n in targets:
            columns["score"][n] = float(columns["label"][n])  # type: ignore[arg-type]

    for step in (2, 4, 6):
        rewrite(folder / f"eval-{step:08d}.parquet", change)
    found = findings(copy)
    assert found
    assert {finding.where for finding in found} == {RESULTS_FILE}
    assert any("erm O->C source-dev video: auc is" in finding.what for finding in found)


def test_a_missing_score_file_is_found(copy: Path) -> None:
    file = confirmed(copy) / "eval-00000002.parquet"
    file.unlink()
    assert findings(copy) == [RunFinding(str(file.relative_to(copy)), "this score file is missing")]


def test_the_score_file_of_another_trial_is_found(copy: Path) -> None:
    here, there = (confirmed(copy, seed) / "eval-00000006.parquet" for seed in (0, 1))
    shutil.copy(there, here)
    (where,) = {finding.where for finding in findings(copy)}
    assert where == str(here.relative_to(copy))
    assert any(f"is of trial {there.parent.name}, step 6" in finding.what for finding in findings(copy))


def test_a_swapped_checkpoint_is_found(copy: Path) -> None:
    here, there = (confirmed(copy, seed) / "checkpoint" for seed in (0, 1))
    for name in ("step-00000006.json", "step-00000006.safetensors"):
        shutil.copy(there / name, here / name)
    (first, *_) = found = findings(copy)
    assert {finding.where for finding in found} == {str((here / "step-00000006.json").relative_to(copy))}
    assert first.what == f"this checkpoint is of trial {there.parent.name}, step 6"
    assert any("weights have changed since they were written" in finding.what for finding in found)


def test_changed_and_missing_optimizers_of_the_newest_checkpoint_are_found(copy: Path) -> None:
    states = confirmed(copy) / "checkpoint" / "step-00000006.optimizer.safetensors"
    states.write_bytes(states.read_bytes()[:-1])
    (finding,) = findings(copy)
    assert finding.what == "the state of its optimizers does not match the SHA-256 in its card"
    states.unlink()
    (finding,) = findings(copy)
    assert finding.what == "the state of its optimizers is missing"


def test_swapped_weights_under_a_forged_card_are_found(copy: Path) -> None:
    here, there = (confirmed(copy, seed) / "checkpoint" / "step-00000006.safetensors" for seed in (0, 1))
    shutil.copy(there, here)
    (finding, _) = findings(copy)
    assert finding.what == "its weights do not match the SHA-256 in its card"
    card = here.with_suffix(".json")
    content = json.loads(card.read_text())
    content["sha256"] = hashlib.sha256(here.read_bytes()).hexdigest()
    card.write_text(json.dumps(content))
    (finding,) = findings(copy)
    assert "weights have changed since they were written" in finding.what


def test_a_missing_checkpoint_a_changed_table_and_a_foreign_spec_are_found(copy: Path) -> None:
    (confirmed(copy) / "checkpoint" / "step-00000006.json").unlink()
    shutil.copy(confirmed(copy, 1) / "spec.json", confirmed(copy, 0) / "spec.json")
    frame = load_results(str(copy))
    frame.loc[0, "hter"] += 0.01
    write_parquet(frame, str(copy / RESULTS_FILE))
    found = {finding.what for finding in findings(copy)}
    assert "this checkpoint is missing" in found
    assert "it does not describe the trial that the event log has under this id" in found
    assert any(what.startswith("erm O->C source-dev video: hter is") for what in found)


def test_the_command_names_what_it_found_and_exits_with_3(trained: TrainedRun, copy: Path) -> None:
    (confirmed(copy) / "eval-00000002.parquet").write_bytes(b"nothing")
    with pytest.raises(DataError, match="eval-00000002.parquet: this score file has changed since") as error:
        command(trained, "verify", str(copy))
    assert error.value.exit_code == 3


def test_why_walks_to_files_and_the_command_trains_the_same_trial_to_the_same_bits(
    trained: TrainedRun, tmp_path: Path
) -> None:
    told = command(trained, "why", str(trained.run), "erm", "O->C", "--format", "json")
    found = json.loads(told.output)
    frame = load_results(str(trained.run), ["source-dev"])
    assert found["hter"] == frame[frame["level"] == "video"]["hter"].item()
    assert found["manifest"] == read_run(str(trained.run)).data.manifest_hash
    assert [source["seed"] for source in found["sources"]] == [0, 1]
    assert found["hter"] == pytest.approx(sum(source["hter"] for source in found["sources"]) / 2, abs=1e-12)
    source = found["sources"][1]
    file = Path(source["score_file"])
    assert hashlib.sha256(file.read_bytes()).hexdigest() == source["score_sha256"]
    assert source["score_record"] == "as recorded"
    assert Trial.model_validate_json(Path(source["spec_file"]).read_bytes()).config == source["config"]

    program, *arguments = shlex.split(source["command"])
    assert program == "fasray"
    again = command(trained, *arguments, "--out", str(tmp_path / "again"))
    old, new = sorted(file.parent.glob("eval-*.parquet")), sorted((tmp_path / "again").glob("eval-*.parquet"))
    assert [path.name for path in new] == [path.name for path in old]
    assert [path.read_bytes() for path in new] == [path.read_bytes() for path in old]
    assert f"HTER {100 * source['hter']:6.2f} %" in again.output


def test_why_as_text_ends_in_the_commands(trained: TrainedRun) -> None:
    with pytest.raises(SpecError, match="oracle-search needs target scores of search trials"):
        command(trained, "why", str(trained.run), "erm", "O->C", "--select", "oracle-search")
    text = command(trained, "why", str(trained.run), "erm", "O -> C", "--select", "oracle").output
    assert "an ORACLE: it looked at target labels" in text
    last = text.rstrip().splitlines()[-1].strip()
    assert last.startswith("fasray train --spec ")
    assert str(trained.data) in last


def test_initial_weights_are_shown_and_their_copies_checked(trained: TrainedRun, copy: Path) -> None:
    (copy / "weights").mkdir()
    (copy / "weights" / "a.safetensors").write_bytes(b"numbers")
    used = UsedWeights(
        method="erm", backbone=None, architecture="resnet18", weights="s3://w/a.pth", sha256="ab12",
        copy_file="a.safetensors", copy_sha256=hashlib.sha256(b"numbers").hexdigest(),
    )  # fmt: skip
    write_weights(str(copy), [used])
    assert not findings(copy)
    shown = "resnet18 from s3://w/a.pth, sha256 ab12"
    assert f"  weights     {shown}\n" in command(trained, "why", str(copy), "erm", "O->C").output
    assert shown in render_report(read_run(str(copy)))
    (copy / "weights" / "a.safetensors").write_bytes(b"others")
    changed = RunFinding("weights/a.safetensors", "the run's copy of these initial weights has been changed")
    assert findings(copy) == [changed]


def test_other_data_and_other_trials_are_refused(trained: TrainedRun, tmp_path: Path) -> None:
    spec = confirmed(trained.run) / "spec.json"
    changed = json.loads(spec.read_text())
    changed["data"] = "0" * 64
    (tmp_path / "spec.json").write_text(json.dumps(changed))
    where = ["train", "--spec", str(tmp_path / "spec.json"), "--data", str(trained.data)]
    with pytest.raises(DataError, match="the data is not what trial"):
        command(trained, *where)
    (tmp_path / "spec.json").write_text(json.dumps(json.loads(spec.read_text()) | {"fingerprint": "0" * 16}))
    with pytest.raises(SpecError, match="is not the protocol any more"):
        command(trained, *where)
    (tmp_path / "spec.json").write_text("{}")
    with pytest.raises(DataError, match=r"not the spec\.json of a trial"):
        command(trained, *where)


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["erma", "O->C"], "did you mean 'erm'"),
        (["erm", "C->O"], "O->C"),
        (["erm", "O->C", "--select", "orcale"], "'oracle'"),
        (["erm", "O->C", "--variant", "without"], "nothing to choose from"),
    ],
)
def test_a_cell_that_is_not_there_is_answered_with_those_that_are(
    trained: TrainedRun, arguments: list[str], remedy: str
) -> None:
    with pytest.raises(SpecError) as error:
        command(trained, "why", str(trained.run), *arguments)
    assert remedy in error.value.remedy
