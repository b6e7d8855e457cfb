"""Which settings matter: what is there is found, what is not is not, and chance is named as such."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from click.testing import CliRunner
from score_runs import MadeTrial, made_reading, make_run

from fasray.cli import cli
from fasray.results.importance import ALL_PROTOCOLS, FEWEST_TRIALS, IMPORTANCE_COLUMNS, importance_frame
from fasray.results.report import render_report
from fasray.results.sensitivity import normal_scores, ped_anova, setting
from fasray.runs.record import DataFacts, RunRecord

SPACE: Mapping[str, Mapping[str, Any]] = {
    "rate": {"loguniform": [1e-4, 1e-1]},
    "weight": {"uniform": [0.0, 1.0]},
    "norm": {"choice": ["batch", "group"]},
    "depth": {"integers": [1, 5]},
}
Config = dict[str, Any]


def draws(count: int, seed: int = 0) -> list[Config]:
    rng = np.random.default_rng(seed)
    return [
        {
            "rate": 10 ** float(rng.uniform(-4, -1)), "weight": float(rng.uniform()),
            "norm": ("batch", "group")[rng.integers(2)], "depth": int(rng.integers(1, 6)), "fixed": 3,
        }
        for _ in range(count)
    ]  # fmt: skip


def trials(
    quality: Callable[[Config], float], count: int = 32, protocol: str = "C&M->I", seed: int = 0
) -> list[MadeTrial]:
    """Search trials at random points, with a little noise."""
    noise = np.random.default_rng(100 + seed).normal(0, 0.005, count)
    return [
        MadeTrial(
            f"{protocol[-1]}{seed}{number:03d}", protocol=protocol, stage="search", seed=100, config=config,
            searched=tuple(SPACE), steps=(30,), readings=[made_reading(30, 0.8 + quality(config) / 10 + noise[number])],
        )
        for number, config in enumerate(draws(count, seed))
    ]  # fmt: skip


def record(made: list[MadeTrial], space: Mapping[str, Any] = SPACE) -> RunRecord:
    events = tuple(event for trial in made for event in trial.events())
    return RunRecord("run", "made", {"methods": {"erm": {"space": space}}}, "0", DataFacts("0", 0, 64, {}), events)


def by_label(frame: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return {"+".join(filter(None, (row["setting"], row["with_setting"]))): row for row in frame.to_dict("records")}


def place(config: Config) -> tuple[float, float]:
    """Rate and weight, each from -1 to 1 over its range."""
    return 2 * (math.log10(config["rate"]) + 4) / 3 - 1, 2 * config["weight"] - 1


def test_the_setting_that_matters_is_found_and_those_of_no_effect_are_not() -> None:
    found = by_label(importance_frame(record(trials(lambda config: -(place(config)[0] ** 2)))))
    assert found["rate"]["p_adjusted"] <= 0.05
    assert found["rate"]["importance"] > 2 * found["rate"]["null_upper"]
    others = [row for name, row in found.items() if name != "rate"]
    assert len(others) == 3 + 6
    assert min(row["p_adjusted"] for row in others) > 0.05


def test_a_pure_interaction_is_a_pairs_and_what_two_settings_do_by_themselves_is_none() -> None:
    together = by_label(importance_frame(record(trials(lambda config: math.prod(place(config))))))
    assert together["rate+weight"]["p_adjusted"] <= 0.01
    assert together["rate+weight"]["importance"] > 0.5
    added = by_label(importance_frame(record(trials(lambda config: sum(place(config))))))
    assert added["rate"]["p"] <= 0.05
    assert added["weight"]["p"] <= 0.05
    assert added["rate+weight"]["importance"] < 0.05


def test_ped_anova_is_optunas_for_every_kind_of_range() -> None:
    space = {**SPACE, "grid": {"grid": [4, 1, 2]}}
    tried = [{**config, "grid": (1, 2, 4)[n % 3]} for n, config in enumerate(draws(40, 40))]
    settings = [setting(name, entry, [config[name] for config in tried]) for name, entry in space.items()]
    rank, _ = normal_scores(np.random.default_rng(1).normal(size=40), np.zeros(40, np.int64))
    study = optuna.create_study(direction="maximize")
    kinds = {
        "choice": lambda bounds: optuna.distributions.CategoricalDistribution(range(len(bounds))),
        "grid": lambda bounds: optuna.distributions.CategoricalDistribution(range(len(bounds))),
        "uniform": lambda bounds: optuna.distributions.FloatDistribution(*bounds),
        "loguniform": lambda bounds: optuna.distributions.FloatDistribution(bounds[0], bounds[1], log=True),
        "integers": lambda bounds: optuna.distributions.IntDistribution(*bounds),
    }
    for number, config in enumerate(tried):
        values, ranges = {}, {}
        for name, entry in space.items():
            ((kind, bounds),) = entry.items()
            listed = sorted(bounds) if kind == "grid" else bounds
            ranges[name] = kinds[kind](bounds)
            values[name] = list(listed).index(config[name]) if kind in ("choice", "grid") else config[name]
        study.add_trial(optuna.trial.create_trial(params=values, distributions=ranges, value=rank[number]))
    expected = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.25).evaluate(study)
    assert {name: value for (name, _), value in ped_anova(settings, rank).items()} == pytest.approx(expected, rel=1e-9)


def test_words_and_a_word_with_a_number_are_judged_too() -> None:
    found = by_label(importance_frame(record(trials(lambda c: place(c)[1] * (1 if c["norm"] == "batch" else -1)))))
    assert found["weight+norm"]["p_adjusted"] <= 0.01
    assert found["rate+depth"]["p_adjusted"] > 0.05


def test_few_trials_give_no_figure_but_those_of_all_protocols_together_may() -> None:
    protocols = ("C&M->I", "C&M->O", "C&I->M")
    made = [
        trial
        for n, protocol in enumerate(protocols)
        for trial in trials(lambda config: n + place(config)[0], 8, protocol, n)  # noqa: B023 - called at once
    ]
    frame = importance_frame(record(made))
    cells = frame[frame["protocol"] != ALL_PROTOCOLS]
    assert cells["importance"].isna().all()
    assert set(cells["note"]) == {f"too few trials: 8 of at least {FEWEST_TRIALS}"}
    assert by_label(frame[frame["protocol"] == ALL_PROTOCOLS])["rate"]["p_adjusted"] <= 0.05


def test_only_the_order_of_outcomes_counts_and_what_tells_nothing_is_left_out() -> None:
    """Left out: a trial that failed, one that runs, one outside the ranges, confirming runs. The worst has diverged."""
    made = trials(lambda config: place(config)[0], 16)
    bent = [replace(trial, readings=[made_reading(30, trial.readings[0].source_dev_auc ** 3)]) for trial in made]
    worst = min(range(16), key=lambda number: bent[number].readings[0].source_dev_auc)
    bent[worst] = replace(made[worst], status="diverged")
    outside = {**made[0].config, "rate": 0.5}
    bent += [
        replace(made[0], id="out", config=outside),
        replace(made[0], id="failed", status="failed"),
        replace(made[0], id="running", status="running"),
        replace(made[0], id="confirm", stage="confirm", variant="no part"),
    ]
    pd.testing.assert_frame_equal(importance_frame(record(made)), importance_frame(record(bent)))


def test_every_form_and_the_report_show_them(tmp_path: Path) -> None:
    made = [*trials(lambda config: place(config)[0], 16), MadeTrial("won")]
    folder, space = tmp_path / "run", {name: SPACE[name] for name in ("rate", "weight")}
    made = [replace(trial, searched=tuple(space)) if trial.searched else trial for trial in made]
    run = make_run(folder, made, spec={"methods": {"erm": {"space": space}}})

    def command(*arguments: str) -> str:
        ran = CliRunner().invoke(cli, ["results", str(folder), "--what", "importance", *arguments])
        assert ran.exit_code == 0, ran.output
        return ran.output

    frame = importance_frame(run)
    assert list(frame.columns) == list(IMPORTANCE_COLUMNS)
    assert [row["setting"] for row in json.loads(command("--format", "json"))] == list(frame["setting"])
    assert command("--format", "csv").count("\n") == len(frame) + 1
    assert "rate x weight" in command()
    assert command("--format", "md").count("\n|") == len(frame) + 1
    command("--format", "parquet", "-o", str(tmp_path / "importance.parquet"))
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "importance.parquet"), frame, check_dtype=False)
    page = render_report(run)
    assert "Which settings matter" in page
    assert "Importance of the settings of erm on C&amp;M-&gt;I" in page


@pytest.mark.slow
def test_of_fifty_searches_without_any_effect_few_name_one() -> None:
    named = {"settings": 0, "pairs": 0}
    for seed in range(50):
        frame = importance_frame(record(trials(lambda config: 0.0, 16, seed=seed)))
        pairs = frame["with_setting"] != ""
        named["settings"] += bool((frame[~pairs]["p_adjusted"] <= 0.05).any())
        named["pairs"] += bool((frame[pairs]["p_adjusted"] <= 0.05).any())
    assert max(named.values()) <= 6  # of 50 at 5 %: seven or more would be one time in forty
