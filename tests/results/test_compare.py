"""Methods of a run or two against a baseline: the figures are brute force's, and what has no pairs is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from scipy import stats
from score_runs import MadeTrial, score_path, score_table, write_record, write_scores
from sklearn.metrics import roc_auc_score

import fasray
from fasray.cli import cli
from fasray.errors import DataError, SpecError
from fasray.metrics import eer
from fasray.results.compare import COMPARE_COLUMNS, CompareOptions, compare_runs
from fasray.results.compare_text import difference_grid, rank_grid
from fasray.results.tables.latex_grid import grid_to_latex
from fasray.results.tables.text import MARK
from fasray.runs.record import RunRecord

PROTOCOLS = ("C&M->I", "C&M->O")
GAPS = {"erm": 0.30, "ssdg": 0.62, "twin": 0.30}
SEEDS = (0, 1, 2)


def made(folder: Path, methods: tuple[str, ...], seeds: tuple[int, ...] = SEEDS, videos: int = 48) -> RunRecord:
    """A run of one evaluation a trial; ``ssdg`` is much better than ``erm``, ``twin`` has its very scores."""
    trials = []
    for method in methods:
        for protocol in PROTOCOLS:
            for seed in seeds:
                trial = MadeTrial(f"{method}{protocol[-1]}{seed}", method, protocol, seed=seed, steps=(10,))
                rng = np.random.default_rng([seed, ord(protocol[-1])] + [7] * (method == "ssdg"))
                columns = score_table(rng, 0.5, GAPS[method], videos=videos, frames=2, target=protocol[-1])
                write_scores(score_path(folder, trial.id, 10), trial.id, 10, columns)
                trials.append(trial)
    return write_record(folder, trials)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    return made(tmp_path_factory.mktemp("compared") / "run", ("erm", "ssdg", "twin"))


def videos_of(run: RunRecord, method: str, protocol: str, seed: int) -> tuple[pd.DataFrame, float]:
    """One row a target video, and the EER threshold of source-dev, from the scores that anybody can load."""
    scores = fasray.load_scores(run.uri, "source-dev", [f"{method}{protocol[-1]}{seed}"])
    by_video = scores.groupby(["role", "video"]).agg(
        {"score": "mean", "label": "first", "subject": "first", "attack_type": "first"}
    )
    dev = by_video.loc["source-dev"]
    return by_video.loc["target"], eer(dev["score"], dev["label"]).threshold


def hter(videos: pd.DataFrame, threshold: float) -> float:
    accepted = videos["score"] >= threshold
    return float((accepted[videos["label"] == 0].mean() + (~accepted[videos["label"] == 1]).mean()) / 2)


def test_differences_are_those_of_brute_force(run: RunRecord) -> None:
    for figure in ("hter", "auc"):
        frame = compare_runs([run], CompareOptions("erm", figure)).frame
        assert list(frame.columns) == list(COMPARE_COLUMNS)
        rows = frame[frame["method"] == "ssdg"].set_index("protocol")
        values: dict[str, list[list[float]]] = {"erm": [], "ssdg": []}
        for method, of_method in values.items():
            for protocol in PROTOCOLS:
                found = [videos_of(run, method, protocol, seed) for seed in SEEDS]
                of_method.append(
                    [
                        hter(*each) if figure == "hter" else roc_auc_score(each[0]["label"], each[0]["score"])
                        for each in found
                    ]
                )
        difference = np.array(values["ssdg"]) - np.array(values["erm"])
        for number, protocol in enumerate(PROTOCOLS):
            assert rows.loc[protocol, "difference"] == pytest.approx(difference[number].mean(), abs=1e-12)
        assert rows.loc["mean", "difference"] == pytest.approx(difference.mean(), abs=1e-12)
        assert rows.loc["mean", "value_baseline"] == pytest.approx(np.mean(values["erm"]), abs=1e-12)
        assert rows.loc["mean", "verdict"] == "better"
        assert (rows["better"] > 0.75).all()


def test_the_interval_is_that_of_an_own_bootstrap_with_both_kinds_of_chance(run: RunRecord) -> None:
    row = compare_runs([run], CompareOptions("erm")).frame.query("method == 'ssdg'").set_index("protocol").loc["C&M->I"]
    rng = np.random.default_rng(1)
    found = {name: [videos_of(run, name, "C&M->I", seed) for seed in SEEDS] for name in ("erm", "ssdg")}
    people = found["erm"][0][0]["subject"].unique()

    rows = {name: np.flatnonzero(found["erm"][0][0]["subject"] == name) for name in people}
    label = found["erm"][0][0]["label"].to_numpy()
    sides = [[videos["score"].to_numpy() >= limit for videos, limit in found[name]] for name in ("ssdg", "erm")]

    def differences(drawn: np.ndarray) -> np.ndarray:
        """The difference of each seed, over the videos of the people drawn, again for each time that they are."""
        taken = np.concatenate([rows[name] for name in drawn])
        live = label[taken] == 1
        wrong = [[(a[taken][~live].mean() + (~a[taken][live]).mean()) / 2 for a in side] for side in sides]
        return np.asarray(np.array(wrong[0]) - np.array(wrong[1]))

    own = np.array([differences(rng.choice(people, len(people))) for _ in range(2000)])
    upscale = len(people) / (len(people) - 1)
    of_people = own.mean(axis=1).var() * upscale
    seeds, single = np.var(differences(people), ddof=1), own.var(axis=0).mean() * upscale
    interaction = max((single - of_people) * 3 / 2, 0) / 2
    of_seeds = max(seeds - interaction, 0) / 3
    half = np.sqrt(of_people * stats.t.ppf(0.975, len(people) - 1) ** 2 + of_seeds * stats.t.ppf(0.975, 2) ** 2)
    assert row["subjects"] == len(people)
    assert (row["upper"] - row["lower"]) / 2 == pytest.approx(half, rel=0.06)
    assert (row["upper"] + row["lower"]) / 2 == pytest.approx(row["difference"])


def test_a_method_with_the_same_scores_is_equivalent_and_one_that_differs_is_not(run: RunRecord) -> None:
    found = compare_runs([run], CompareOptions("erm", margin=0.02))
    rows = found.frame[found.frame["protocol"] == "mean"].set_index("method")
    assert rows.loc["twin", ["difference", "verdict", "p", "better"]].tolist() == [0, "equivalent", 1, 0.5]
    assert rows.loc["ssdg", "verdict"] == "better"
    assert rows.loc["ssdg", "p_equivalence"] > 0.5
    p = sorted(rows["p"])
    assert rows.loc["ssdg", "p_holm"] == pytest.approx(2 * p[0])
    assert found.methods[0] == "ssdg"
    assert found.ranks is not None
    assert found.ranks.mean == (1, 2.5, 2.5)


def test_one_subject_less_or_other_people_are_refused_and_so_are_other_faces(run: RunRecord, tmp_path: Path) -> None:
    other = made(tmp_path / "fewer", ("ssdg",), videos=44)
    with pytest.raises(DataError, match="disagree in who chooses and who judges on C&M->I"):
        compare_runs([run, other], CompareOptions("erm"))
    same = made(tmp_path / "same", ("ssdg",))
    faces = replace(same, data=replace(same.data, manifest_hash="n" * 64))
    with pytest.raises(
        DataError, match="different data: their face sets have the hashes mmmmmmmmmmmm and nnnnnnnnnnnn"
    ):
        compare_runs([run, faces], CompareOptions("erm"))


def test_two_runs_are_compared_as_one_and_their_methods_told_from_each_other(run: RunRecord, tmp_path: Path) -> None:
    alone = made(tmp_path / "alone", ("erm",))
    other = made(tmp_path / "other", ("ssdg", "erm"))
    one = compare_runs([run], CompareOptions("erm")).frame.query("method == 'ssdg'")
    two = compare_runs([alone, other], CompareOptions("erm"))
    ends = ["difference", "lower", "upper"]
    np.testing.assert_array_equal(two.frame.query("method == 'ssdg'")[ends], one[ends])
    assert set(two.frame["method"]) == {"ssdg", "erm (2)"}
    assert set(two.frame.query("method == 'erm (2)'")["difference"]) == {0}


def test_only_seeds_that_both_ran_are_paired(run: RunRecord, tmp_path: Path) -> None:
    frame = compare_runs([run, made(tmp_path / "a", ("ssdg",), (2, 3))], CompareOptions("erm")).frame
    assert set(frame[frame["method"].str.startswith("ssdg (2)")]["n_pairs"]) == {1}
    assert frame["note"].str.startswith("one seed").sum() == 3
    strangers = [made(tmp_path / "b", ("erm",)), made(tmp_path / "c", ("ssdg",), (7,))]
    with pytest.raises(DataError, match="no method has a seed in common"):
        compare_runs(strangers, CompareOptions("erm"))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (CompareOptions("ems"), "no confirmed run of 'ems'"),
        (CompareOptions("erm", margin=2.0), "a margin of 200 points"),
        (CompareOptions("erm", selection="oracle-search"), "applies to no single confirmed run"),
        (CompareOptions("erm", selection="best"), "no selection 'best'"),
    ],
)
def test_what_cannot_be_compared_is_refused(run: RunRecord, options: CompareOptions, reason: str) -> None:
    with pytest.raises(SpecError, match=reason):
        compare_runs([run], options)


def command(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["compare", *arguments], catch_exceptions=False)


def test_the_command_prints_table_latex_json_and_plots(run: RunRecord, tmp_path: Path) -> None:
    shown = command(run.uri, "--baseline", "erm", "--margin", "2", "--plots", str(tmp_path / "plots")).output
    assert "twin    mean      equivalent      3        12" in shown
    assert "with 12 subjects and 3 seeds a difference under" in shown
    assert "To see 2 points takes about" in shown
    assert "Critical difference (Nemenyi, 95 %): " in shown
    for name in ("differences", "ranks"):
        assert (tmp_path / "plots" / f"{name}.svg").read_text().startswith("<?xml")
    document = json.loads(command(run.uri, "--baseline", "erm", "--format", "json").output)
    assert len(document["differences"]) == 6
    assert document["ranks"]["methods"][0] == "ssdg"
    assert document["differences"][0]["margin"] is None
    latex = command(run.uri, "--baseline", "erm", "--format", "latex", "--figure", "acer").output
    assert "ACER of erm" in latex
    assert "C\\&M$\\rightarrow$I" in latex


def test_no_interval_goes_beyond_what_rates_can_differ_by(tmp_path: Path) -> None:
    """Two seeds that disagree leave one degree of freedom, and an interval of more than 100 points to both sides."""
    trials = []
    for method, gaps in (("erm", (0.9, 0.05)), ("ssdg", (0.05, 0.9))):
        for seed, gap in enumerate(gaps):
            trial = MadeTrial(f"{method}{seed}", method, "C&M->I", seed=seed, steps=(10,))
            columns = score_table(np.random.default_rng(seed), 0.5, gap, videos=48, frames=2)
            write_scores(score_path(tmp_path, trial.id, 10), trial.id, 10, columns)
            trials.append(trial)
    (row,) = compare_runs([write_record(tmp_path, trials)], CompareOptions("erm")).frame.to_dict("records")
    assert (row["lower"], row["upper"]) == (-1, 1)
    assert -1 < row["difference"] < 1


def test_protocols_with_shots_are_marked(run: RunRecord) -> None:
    found = compare_runs([run], CompareOptions("erm"))
    shots = replace(found, frame=found.frame.replace("C&M->O", "C&M->O+5shot"))
    shown = difference_grid(shots)
    assert {row[1] for row in shown.rows} == {"mean", "C&M->I", f"C&M->O+5shot {MARK}"}
    assert any(note.startswith(MARK) for note in shown.notes)


def test_a_hostile_name_stays_words(run: RunRecord) -> None:
    found = compare_runs([run], CompareOptions("erm"))
    hostile = found.frame.replace("ssdg", "\\input{x}&\n")
    text = grid_to_latex(difference_grid(replace(found, frame=hostile)))
    assert "\\textbackslash{}input\\{x\\}\\&\\textbackslash{}n" in text
    ranks = rank_grid(found)
    assert ranks is not None
    assert ranks.rows[0][:2] == ("ssdg", "1.00")
