"""A whole sweep, run as a user runs it: what it leaves, what it says, and that its numbers depend on nothing else."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from small_sweeps import pool_cards, score_digests, table_of

from fasray.faces.sets.manifest import read_manifest
from fasray.results.selection import SELECTIONS
from fasray.runs.record import read_run

OURS = re.compile(
    r"tiny: 2 methods x 2 protocols, 8 search trials and 8 confirming runs"
    r"|starting Ray|no GPUs: trials run on CPU cores|filling the pool of decoded faces"
    r"|decoding faces: \d+ of 480|training"
    r"|cells \d/4 \| trials \d+/16: .* \| best source-dev AUC .* \| time left: .*"
    r"|wrote .*/run/(results\.parquet|report\.html)"
)

TRAIN_AFRESH = """
import sys
from pathlib import Path
from fasray.faces.loading.pool import FacePool
from fasray.protocols import parse
from fasray.training.context import Context
from fasray.training.loop import train
from fasray.training.trial import Trial

spec, folder, out = map(Path, sys.argv[1:])
trial, pool = Trial.model_validate_json(spec.read_bytes()), FacePool.open(folder)
context = Context(str(out), seed=trial.seed, total_steps=trial.training.steps)
train(trial, pool, parse(trial.protocol).assign(pool.index), context)
"""


def test_it_completes_and_prints_the_table(finished) -> None:
    assert finished.ran.code == 0, finished.ran.err
    lines = [line.split() for line in finished.ran.out.splitlines()]
    assert [line[:3] for line in lines if line[:1] in (["erm"], ["safas"])] == [
        [method, protocol, "2"] for method in ("erm", "safas") for protocol in ("O&C->I", "O&M->I")
    ]


def test_it_leaves_table_report_scores_and_curves(finished) -> None:
    run = finished.place.run_folder
    assert (run / "report.html").stat().st_size > 1000
    table = table_of(run)
    rules = set(SELECTIONS) - {"oracle-search"}
    assert set(table.selection) == rules
    assert len(table) == 4 * len(rules) * 2
    trials = read_run(str(run)).trials
    assert len(trials) == 16
    for trial in trials:
        folder = run / "trials" / trial.id
        assert sorted(path.name for path in folder.glob("eval-*.parquet")) == [
            f"eval-{step:08d}.parquet" for step in trial.steps
        ]
        assert list((folder / "tensorboard").iterdir())
        assert (folder / "checkpoint").is_dir()


def test_confirming_runs_train_to_the_full_budget_on_fresh_seeds(finished) -> None:
    trials = read_run(str(finished.place.run_folder)).trials
    confirmed = [trial for trial in trials if trial.stage == "confirm"]
    assert {trial.steps for trial in confirmed} == {(2, 4, 6, 8)}
    assert {trial.seed for trial in confirmed}.isdisjoint({trial.seed for trial in trials if trial.stage == "search"})


def test_every_image_is_decoded_exactly_once(finished) -> None:
    rows = read_manifest(str(finished.place.data)).rows
    assert finished.decoded_images == rows == 480
    assert [card["decoded"] for card in pool_cards(finished.place)] == [rows]


def test_nothing_of_rays_own_messages_is_shown(finished) -> None:
    foreign = [line for line in finished.ran.err.splitlines() if not OURS.fullmatch(line)]
    assert foreign == []
    assert "ray" not in finished.ran.out.lower()


def test_run_again_it_says_that_all_is_done_and_starts_nothing(finished) -> None:
    before = score_digests(finished.place.run_folder)
    again = finished.place.drive()
    assert again.code == 0, again.err
    assert "all 16 trials of this run are done already" in again.err
    assert "starting Ray" not in again.err
    assert again.out == finished.ran.out
    assert score_digests(finished.place.run_folder) == before


def test_a_changed_sweep_file_is_refused_with_the_difference(finished) -> None:
    refused = finished.place.drive("--set", "search.seed=7", "--set", "methods.erm.config.flip=0.25")
    assert refused.code == 2
    assert "search.seed: 100 -> 7" in refused.err
    assert "methods.erm.config.flip: 0.5 -> 0.25" in refused.err
    assert "another --out" in refused.err
    assert "Traceback" not in refused.err


def test_no_file_of_a_run_holds_a_token_or_a_path_of_this_machine(finished) -> None:
    run, data = finished.place.run_folder, str(finished.place.data)
    given = json.dumps(data).strip('"')  # the sweep file's own `data:` is the user's word
    files = [path for path in run.rglob("*") if path.is_file()]
    assert len(files) > 50
    for file in files:
        content = file.read_bytes()
        assert finished.token.encode() not in content, file
        if file.name in ("sweep.yaml", "report.html"):
            content = content.replace(given.encode(), b"")
        for word in (str(finished.place.folder), str(Path(data).parent), sys.prefix, str(Path.home())):
            assert word.encode() not in content, f"{word} in {file}"


def test_a_run_directory_can_be_moved(finished, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(finished.place.run_folder, moved)
    here = finished.place.command("results", finished.place.run_folder, "--format", "json")
    there = finished.place.command("results", moved, "--format", "json")
    assert there.code == 0, there.err
    assert json.loads(there.out) == json.loads(here.out)
    page = tmp_path / "page.html"
    assert finished.place.command("report", moved, "-o", page).code == 0
    assert page.read_bytes() == (finished.place.run_folder / "report.html").read_bytes()


@pytest.mark.parametrize("method", ["erm", "safas"])
def test_a_trial_in_a_warm_actor_has_the_bits_of_one_in_a_fresh_process(finished, tmp_path: Path, method: str) -> None:
    """The last trial of a method ran in a process that had trained both methods before."""
    run = finished.place.run_folder
    trial = [trial.id for trial in read_run(str(run)).trials if trial.method == method][-1]
    (pool,) = (path.parent for path in finished.place.pools.glob("*/pool.json"))
    warm, fresh = run / "trials" / trial, tmp_path / trial
    subprocess.run(
        [sys.executable, "-c", TRAIN_AFRESH, warm / "spec.json", pool, fresh], env=finished.place.env, check=True
    )
    scores = sorted(path.name for path in warm.glob("eval-*.parquet"))
    assert len(scores) == 4
    for name in scores:
        assert (warm / name).read_bytes() == (fresh / name).read_bytes(), name
    weights = sorted(path.relative_to(warm) for path in warm.glob("checkpoint/**/*.safetensors"))
    assert weights
    for file in weights:
        one, other = load_file(warm / file), load_file(fresh / file)
        assert one.keys() == other.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], other[key], err_msg=f"{file}: {key}")


def test_what_is_logged_while_training_is_about_source_dev_only(finished) -> None:
    known = {"event", "trial", "step", "source_dev_auc", "source_dev_loss", "decision"}
    known |= {"seconds", "evaluation_seconds", "cpu_seconds", "gpu_seconds", "bytes_read", "bytes_written"}
    known |= {"device", "precision", "torch"}
    log = (finished.place.run_folder / "events.jsonl").read_text().splitlines()
    reports = [json.loads(line) for line in log if '"event":"reported"' in line]
    assert len(reports) > 40
    assert all(set(report) == known for report in reports)
