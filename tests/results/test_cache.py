"""The results cache of a run never changes a number: it is made again when it is gone, damaged or out of date."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from locations import GOLDEN
from made_runs import Size, write_run

from fasray import storage
from fasray.results import cache, load
from fasray.results.audit.verify import verify_run
from fasray.results.cache import ResultsCache
from fasray.results.frame import results_frame
from fasray.results.listings import evaluations_frame
from fasray.results.selection import SELECTIONS
from fasray.runs.layout import RESULTS_CACHE, RESULTS_FILE
from fasray.runs.record import read_run

FROZEN = GOLDEN / "frozen_sweep" / "run"
SIZE = Size(searched=2, seeds=(0, 1), evaluations=3, target_videos=30, source_videos=12)
EVERY = (*SELECTIONS, "mean-of-last-2")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "run"
    write_run(folder, SIZE)
    return folder


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "run"))


class Counting(ResultsCache):
    """A cache that notes what had to be computed."""

    def __init__(self, run: str) -> None:
        super().__init__(run, settled_s=0)
        self.computed: list[tuple[str, ...]] = []

    def put(self, key: Sequence[str], *value: Any) -> None:
        self.computed.append(tuple(key))
        super().put(key, *value)


class Reader:
    """Tables of a run with its cache, and how many cells and rules had to be computed for the last one."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.computed = 0

    def table(self, selections: tuple[str, ...] = EVERY) -> pd.DataFrame:
        counting = Counting(str(self.run))
        frame = results_frame(read_run(str(self.run)), selections, counting)
        counting.save()
        self.computed = len(counting.computed)
        return frame

    def without(self) -> pd.DataFrame:
        return results_frame(read_run(str(self.run)), EVERY)


def test_tables_are_the_same_with_and_without_a_cache(run: Path) -> None:
    reader = Reader(run)
    plain = reader.without()
    pd.testing.assert_frame_equal(reader.table(), plain, check_exact=True)
    assert reader.computed == 4 * len(EVERY)
    pd.testing.assert_frame_equal(reader.table(), plain, check_exact=True)
    assert reader.computed == 0
    pd.testing.assert_frame_equal(
        reader.table(("last",)), plain[plain["selection"] == "last"].reset_index(drop=True), check_exact=True
    )


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def change_a_number(path: Path) -> None:
    text = path.read_bytes()
    assert b'"hter"' not in text
    path.write_bytes(text.replace(b"0.", b"1.", 1))


def of_other_code(path: Path) -> None:
    head, body = path.read_bytes().split(b"\n", 1)
    form, code, digest = head.split()
    path.write_bytes(b" ".join([form, b"0" * len(code), digest]) + b"\n" + body)


@pytest.mark.parametrize(
    "spoil", [Path.unlink, cut, change_a_number, of_other_code, lambda path: path.write_bytes(b"")]
)
def test_a_cache_that_is_gone_or_damaged_is_made_again(run: Path, spoil: Callable[[Path], object]) -> None:
    reader = Reader(run)
    plain = reader.table()
    spoil(run / RESULTS_CACHE)
    pd.testing.assert_frame_equal(reader.table(), plain, check_exact=True)
    assert reader.computed == 4 * len(EVERY)
    reader.table()
    assert reader.computed == 0


def scored(run: Path, stage: str) -> Path:
    """A score file of the first trial of a stage."""
    trial = next(trial for trial in read_run(str(run)).trials if trial.stage == stage)
    return run / "trials" / trial.id / f"eval-{trial.steps[-1]:08d}.parquet"


def invert(path: Path) -> None:
    """Turn the scores of a file round and set its time back."""
    before = path.stat()
    table = pq.read_table(path)
    scores = [1 - score for score in table["score"].to_pylist()]
    place = table.column_names.index("score")
    pq.write_table(table.set_column(place, table.schema.field(place), [scores]), path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_confirmed_score_file_that_changed_is_read_again_even_if_its_time_was_set_back(run: Path) -> None:
    reader = Reader(run)
    before = reader.table()
    invert(scored(run, "confirm"))
    after = reader.table()
    assert reader.computed == len(EVERY)
    pd.testing.assert_frame_equal(after, reader.without(), check_exact=True)
    assert not after["hter"].equals(before["hter"])


def test_a_searched_score_file_that_changed_concerns_the_best_of_the_search_alone(run: Path) -> None:
    reader = Reader(run)
    before = reader.table()
    invert(scored(run, "search"))
    after = reader.table()
    assert reader.computed == 1
    pd.testing.assert_frame_equal(after, reader.without(), check_exact=True)
    concerned = before["selection"] == "oracle-search"
    pd.testing.assert_frame_equal(after[~concerned], before[~concerned], check_exact=True)


def test_a_score_file_that_is_gone_is_an_error_and_no_old_number(run: Path) -> None:
    reader = Reader(run)
    reader.table()
    scored(run, "confirm").unlink()
    with pytest.raises(Exception, match="no such file"):
        reader.table()


def test_what_the_log_says_of_a_trial_counts(run: Path) -> None:
    reader = Reader(run)
    before = reader.table()
    lines = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    last = max(number for number, line in enumerate(lines) if line["event"] == "reported")
    lines[last] = {"event": "ended", "trial": lines[last]["trial"], "status": "diverged", "reason": "made"}
    (run / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    after = reader.table()
    assert reader.computed == len(EVERY)
    assert (before["n_failed"].sum(), after["n_failed"].sum()) == (0, 2 * len(EVERY))
    pd.testing.assert_frame_equal(after, reader.without(), check_exact=True)


def listed(run: Path) -> tuple[pd.DataFrame, set[str]]:
    """The evaluations of a run with its cache, and the trials whose score files had to be read."""
    counting = Counting(str(run))
    frame = evaluations_frame(read_run(str(run)), counting)
    counting.save()
    return frame, {trial for trial, _ in counting.computed}


def test_evaluations_are_the_same_with_and_without_a_cache(run: Path) -> None:
    plain = evaluations_frame(read_run(str(run)))
    trials = set(plain["trial"])
    for expected in (trials, set()):
        frame, read = listed(run)
        assert read == expected
        pd.testing.assert_frame_equal(frame, plain, check_exact=True)


@pytest.mark.parametrize("spoil", [Path.unlink, cut, of_other_code, lambda path: path.write_bytes(b"")])
def test_a_cache_of_evaluations_that_is_gone_or_damaged_is_made_again(
    run: Path, spoil: Callable[[Path], object]
) -> None:
    plain, trials = listed(run)
    spoil(run / RESULTS_CACHE)
    for expected in (trials, set()):
        frame, read = listed(run)
        assert read == expected
        pd.testing.assert_frame_equal(frame, plain, check_exact=True)


def test_tables_and_evaluations_share_it(run: Path) -> None:
    reader = Reader(run)
    reader.table()
    listed(run)
    reader.table()
    assert reader.computed == 0
    assert listed(run)[1] == set()


def test_evaluations_of_a_score_file_that_changed_are_computed_again(run: Path) -> None:
    before, _ = listed(run)
    path = scored(run, "search")
    invert(path)
    after, read = listed(run)
    assert read == {path.parent.name}
    pd.testing.assert_frame_equal(after, evaluations_frame(read_run(str(run))), check_exact=True)
    changed = (after["target_auc"] != before["target_auc"]).to_numpy()
    assert after.loc[changed, "trial"].tolist() == [path.parent.name]


def test_files_of_this_very_moment_are_not_trusted_yet(run: Path) -> None:
    kept = ResultsCache(str(run), settled_s=3600)
    results_frame(read_run(str(run)), EVERY, kept)
    kept.save()
    assert not (run / RESULTS_CACHE).exists()


def test_only_long_runs_have_a_cache(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load.load_results(str(run))
    assert not (run / RESULTS_CACHE).exists()
    evaluations = load.load_evaluations(str(run))
    assert not (run / RESULTS_CACHE).exists()
    monkeypatch.setattr(load, "LEAST_SCORE_FILES", 4)
    monkeypatch.setattr(cache, "SETTLED_S", 0.0)
    plain = load.load_results(str(run))
    assert (run / RESULTS_CACHE).exists()
    pd.testing.assert_frame_equal(load.load_results(str(run)), plain, check_exact=True)
    for _ in range(2):
        pd.testing.assert_frame_equal(load.load_evaluations(str(run)), evaluations, check_exact=True)
        assert (run / RESULTS_CACHE).exists()


def test_verify_does_not_trust_it(tmp_path: Path) -> None:
    run = Path(shutil.copytree(FROZEN, tmp_path / "run"))
    reader = Reader(run)
    reader.table()
    path = run / RESULTS_CACHE
    body = cache.read_cache(str(path))
    assert body is not None
    forged = re.sub(rb'"mean":\[[^]]*\]', lambda found: re.sub(rb"[-\w.]+(?=[,\]])", b"0.0", found[0]), body)
    cache.write_cache(str(path), forged)  # it fits together
    assert reader.table()["hter"].max() == 0
    reader.without().to_parquet(run / RESULTS_FILE)
    found = verify_run(read_run(str(run)))
    assert found.numbers > 0
    assert not [finding for finding in found.findings if finding.where == RESULTS_FILE]


def test_a_place_that_cannot_be_written_to_has_no_cache_and_the_same_table(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader(run)
    (run / RESULTS_CACHE).mkdir()
    pd.testing.assert_frame_equal(reader.table(), reader.without(), check_exact=True)


def test_on_s3_a_score_file_that_changed_is_read_again(run: Path, s3: str) -> None:
    for path in run.rglob("*"):
        if path.is_file():
            name, content = str(path.relative_to(run)), path.read_bytes()
            if path.name == "events.jsonl":
                name = f"events/00000000-{content.count(bytes([10])) - 1:08d}.jsonl"
            storage.write_bytes(f"{s3}/{name}", content)

    def table() -> tuple[pd.DataFrame, bool]:
        kept = ResultsCache(s3)
        frame = results_frame(read_run(s3), EVERY, kept)
        kept.save()
        return frame, kept.changed

    plain = Reader(run).without()
    for computed in (True, False):
        frame, changed = table()
        assert changed is computed
        pd.testing.assert_frame_equal(frame, plain, check_exact=True)
    path = scored(run, "confirm")
    invert(path)
    storage.write_bytes(f"{s3}/{path.relative_to(run)}", path.read_bytes())
    frame, changed = table()
    assert changed
    pd.testing.assert_frame_equal(frame, Reader(run).without(), check_exact=True)
