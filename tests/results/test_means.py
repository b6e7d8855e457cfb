"""Means over targets and groups: the numbers of the separate cells, with an interval over all their subjects."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import logit
from scipy.stats import t
from score_runs import MadeTrial, make_run, score_path, score_table, write_record, write_scores

from fasray.errors import SpecError
from fasray.metrics.replicates import ScoredClusters
from fasray.metrics.resampling import draw, find_clusters
from fasray.results.audit.provenance import trace
from fasray.results.cache import ResultsCache
from fasray.results.figures import FIGURES
from fasray.results.frame import MARKS, compute_results, results_frame
from fasray.results.means import MEAN_OVER
from fasray.results.report.content import build_report
from fasray.results.scores import read_scores
from fasray.results.tables import latex
from fasray.results.tables import text as tables
from fasray.runs.record import RunRecord

JOINED = "C->I,M,O"
TARGETS = "IMO"
SEEDS = (0, 1, 2)
STEPS = (10, 20)
PEOPLE = 5
RULES = ("source-dev", "oracle")


def columns_of(rng: np.random.Generator, targets: Sequence[str], role: str) -> dict[str, list[Any]]:
    """Rows of source C and of each target; ``role`` names that of a target's rows."""
    found: dict[str, list[Any]] = {}
    for number, target in enumerate(targets):
        part = score_table(rng, 0.3, 0.15 + 0.1 * number, videos=4 * PEOPLE, sources=("C",), target=target)
        keep = [row for row, name in enumerate(part["role"]) if number == 0 or name == "target"]
        part["role"] = [role.format(target) if name == "target" else name for name in part["role"]]
        for name, values in part.items():
            found.setdefault(name, []).extend(values[row] for row in keep)
    return found


def joined_run(folder: Path) -> RunRecord:
    """One training a seed, which three targets judge."""
    trials = [MadeTrial(f"t{seed}", protocol=JOINED, seed=seed, steps=STEPS) for seed in SEEDS]
    for trial, step in itertools.product(trials, STEPS):
        columns = columns_of(np.random.default_rng([trial.seed, step]), TARGETS, "target:C->{}")
        write_scores(score_path(folder, trial.id, step), trial.id, step, columns)
    return write_record(folder, trials, spec={"protocols": [JOINED]})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    return joined_run(tmp_path_factory.mktemp("means"))


def separate_run(folder: Path, run: RunRecord) -> RunRecord:
    """The same scores as trials of one target each."""
    trials = []
    for trial, target in itertools.product(run.trials, TARGETS):
        trials.append(MadeTrial(f"{trial.id}{target}", protocol=f"C->{target}", seed=trial.seed, steps=STEPS))
        for step in trial.steps:
            columns = columns_of(np.random.default_rng([trial.seed, step]), TARGETS, "{}")
            keep = [row for row, role in enumerate(columns["role"]) if role in ("source-dev", target)]
            part = {name: [values[row] for row in keep] for name, values in columns.items()}
            part["role"] = ["target" if role == target else role for role in part["role"]]
            write_scores(score_path(folder, trials[-1].id, step), trials[-1].id, step, part)
    return write_record(folder, trials, spec={"protocols": [f"C->{target}" for target in TARGETS]})


def video_rows(run: RunRecord) -> dict[str, Mapping[str, Any]]:
    frame = results_frame(run, ["source-dev"])
    return {row["protocol"]: row for row in frame[frame["level"] == "video"].to_dict("records")}


def test_one_training_gives_the_rows_of_the_separate_cells_number_for_number(run: RunRecord, tmp_path: Path) -> None:
    joined, separate = results_frame(run, RULES), results_frame(separate_run(tmp_path, run), RULES)
    kept = joined[~joined["protocol"].str.startswith(MEAN_OVER)].reset_index(drop=True)
    assert set(kept["protocol"]) == {f"C->{target}" for target in TARGETS}
    assert set(joined["protocol"]) - set(kept["protocol"]) == {MEAN_OVER + JOINED}
    numbers = [name for name in kept.columns if name != "trials"]
    assert kept[numbers].equals(separate[numbers])


def test_the_mean_is_that_of_the_rows_and_varies_over_seeds(run: RunRecord) -> None:
    rows = video_rows(run)
    mean = rows.pop(MEAN_OVER + JOINED)
    by_seed = [video_rows(run.subset([f"t{seed}"])) for seed in SEEDS]
    for figure in FIGURES:
        assert mean[figure] == pytest.approx(np.mean([row[figure] for row in rows.values()]), abs=1e-12)
        each = [found[MEAN_OVER + JOINED][figure] for found in by_seed]
        assert mean[f"{figure}_std"] == pytest.approx(np.std(each, ddof=1), abs=1e-12)
    assert (mean["n_runs"], mean["n_seeds"], mean["videos"], mean["subjects"]) == (3, 3, 60, 15)


def test_the_interval_draws_the_people_of_all_targets_alike_for_all_seeds(run: RunRecord) -> None:
    """Against one bootstrap that draws the people of each target by itself and averages the whole table each time."""
    rows = video_rows(run)
    row = rows[MEAN_OVER + JOINED]
    used = list(zip(row["trials"], row["steps"], row["thresholds"], strict=True))
    parts = []
    for place, target in enumerate(TARGETS):
        figures = []
        for trial, step, threshold in used[3 * place : 3 * place + 3]:
            scores = read_scores(run.score_uri(trial, step), f"C->{target}").target
            live = scores.videos.label == 1
            clusters = find_clusters(scores.videos.score, live, scores.grouping.subjects)
            counts = draw(clusters, 3000, seed=70 + place)
            sample = ScoredClusters(scores.videos.score, live, clusters.index)
            figures.append((sample.far(counts, threshold) + sample.frr(counts, threshold)) / 2)
        parts.append(np.mean(figures, axis=0))
    error = np.mean(parts, axis=0).std() * math.sqrt(PEOPLE / (PEOPLE - 1))  # drawing n of n understates it
    half = (logit(row["hter_upper"]) - logit(row["hter_lower"])) / 2 * row["hter"] * (1 - row["hter"])
    # Student's t with the degrees of freedom of one target at least, and of all three at most
    assert t.ppf(0.975, 3 * (PEOPLE - 1)) * 0.95 < half / error < t.ppf(0.975, PEOPLE - 1) * 1.05
    assert half < np.mean([rows[f"C->{name}"]["hter_upper"] - rows[f"C->{name}"]["hter_lower"] for name in TARGETS]) / 2


def test_a_published_group_has_its_mean_and_a_bare_list_of_the_same_protocols_has_none(tmp_path: Path) -> None:
    names = ("SURF&CeFA->WMCA", "SURF&WMCA->CeFA", "CeFA&WMCA->SURF")
    trials = [
        MadeTrial(f"t{n}-{seed}", protocol=name, seed=seed, steps=STEPS)
        for n, name in enumerate(names)
        for seed in (0, 1)
    ]
    frame = results_frame(make_run(tmp_path / "group", trials, spec={"protocols": ["wcs"]}), RULES)
    assert "mean over wcs" in set(frame["protocol"])
    listed = results_frame(make_run(tmp_path / "list", trials, spec={"protocols": list(names)}), RULES)
    assert not any(name.startswith(MEAN_OVER) for name in listed["protocol"])
    without = frame[~frame["protocol"].str.startswith(MEAN_OVER)].reset_index(drop=True)
    assert without.equals(listed)
    fewer = results_frame(make_run(tmp_path / "fewer", trials[:-2], spec={"protocols": ["wcs"]}), RULES)
    assert not any(name.startswith(MEAN_OVER) for name in fewer["protocol"])


def test_with_a_failed_seed_of_one_protocol_the_mean_stays_and_its_deviation_is_unknown(tmp_path: Path) -> None:
    names = ("SURF&CeFA->WMCA", "SURF&WMCA->CeFA", "CeFA&WMCA->SURF")
    trials = [
        MadeTrial(f"t{n}-{seed}", protocol=name, seed=seed, steps=STEPS)
        for n, name in enumerate(names)
        for seed in (0, 1)
    ]
    failed = MadeTrial("t2-1", protocol=names[2], seed=1, status="failed", steps=(10,))
    row = video_rows(make_run(tmp_path, [*trials[:-1], failed], spec={"protocols": ["wcs"]}))["mean over wcs"]
    assert (row["n_failed"], math.isnan(row["hter_std"]), math.isnan(row["hter"])) == (1, True, False)


def test_the_cache_changes_no_mean_and_no_interval(run: RunRecord) -> None:
    cache = ResultsCache(run.uri, settled_s=0)
    plain = results_frame(run, RULES)
    assert results_frame(run, RULES, cache).equals(plain)
    cache.save()
    again = ResultsCache(run.uri, settled_s=0)
    assert results_frame(run, RULES, again).equals(plain)
    assert not again.changed


def test_shots_and_extra_sources_are_marked_in_every_table(tmp_path: Path) -> None:
    names = ("O&C&I->M", "O&C&I+CA->M", "O&C&I->M+5shot")
    trials = [MadeTrial(f"t{n}", protocol=name, steps=STEPS) for n, name in enumerate(names)]
    run = make_run(tmp_path, trials, spec={"protocols": list(names)})
    results = compute_results(run)
    marks = dict(zip(results.frame["protocol"], results.frame[MARKS], strict=True))
    assert marks == {names[0]: "", names[1]: "+CA", names[2]: "5-shot"}
    said = (
        f"{tables.MARK} Videos of the target, or a source more than usual, train: {names[1]} (+CA); {names[2]} (5-shot)"
    )
    shown = tables.grid(results.frame)
    assert [row[1] for row in shown.rows] == [names[0], f"{names[1]} {tables.MARK}", f"{names[2]} {tables.MARK}"]
    assert said in tables.to_text(shown)
    assert tables.to_markdown(shown).count(tables.MARK) == 3
    tex = latex.to_latex(results.frame)
    assert tex.count("\\S{}") == 3
    report = build_report(run, results, with_pictures=False)
    assert report.video == shown
    assert ["of which 5 videos of each class train" in cell.note for cell in report.cells] == [False, False, True]
    unmarked = results_frame(make_run(tmp_path / "usual", trials[:1], spec={"protocols": [names[0]]}), RULES)
    assert MARKS not in unmarked.columns
    assert tables.MARK not in tables.to_text(tables.grid(unmarked))


def test_a_mean_is_traced_through_its_parts(run: RunRecord) -> None:
    with pytest.raises(SpecError, match="name one of C->I, C->M, C->O"):
        trace(run, "erm", MEAN_OVER + JOINED)
    assert trace(run, "erm", "C->M").sources[0].trial == "t0"
