"""What switching a part off did: pairs by seed, from the same files as every other number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from score_runs import MadeTrial, make_run

from fasray.errors import SpecError
from fasray.results.ablations import ABLATION_COLUMNS, MEAN_OF_PROTOCOLS, ablation_frame, ablation_grid
from fasray.results.frame import results_frame
from fasray.results.tables.text import to_markdown, to_text
from fasray.runs.record import RunRecord

PROTOCOLS = ("C&M->I", "C&M->O")


def trials() -> list[MadeTrial]:
    """Three seeds on two protocols, whole and without a part; the part's last run failed. ERM has no ablation."""
    made = [MadeTrial("plain", seed=0)]
    for protocol in PROTOCOLS:
        for seed in range(3):
            for variant in ("", "no triplet"):
                failed = variant and seed == 2 and protocol == PROTOCOLS[1]
                made.append(
                    MadeTrial(
                        f"{protocol}{seed}{variant}".replace("->", "to").replace("&", ""), method="ssdg", seed=seed,
                        protocol=protocol, variant=variant, status="failed" if failed else "done",
                        steps=() if failed else (10, 20, 30),
                    )
                )  # fmt: skip
    return made


@pytest.fixture
def run(tmp_path: Path) -> RunRecord:
    return make_run(tmp_path, trials())


def test_the_difference_is_that_of_the_result_frame_and_its_interval_students(run: RunRecord) -> None:
    frame = ablation_frame(run)
    assert list(frame.columns) == list(ABLATION_COLUMNS)
    results = results_frame(run, ["source-dev"]).query("method == 'ssdg'").set_index(["variant", "protocol", "level"])
    row = frame[(frame["protocol"] == PROTOCOLS[0]) & (frame["level"] == "video")].iloc[0]
    assert (row["method"], row["ablation"], row["n_pairs"]) == ("ssdg", "no triplet", 3)
    for figure in ("hter", "auc"):
        whole, without = (results.loc[variant, PROTOCOLS[0], "video"][figure] for variant in ("", "no triplet"))
        assert row[figure] == pytest.approx(whole, abs=1e-12)
        assert row[f"{figure}_ablated"] == pytest.approx(without, abs=1e-12)
        assert row[f"{figure}_difference"] == pytest.approx(without - whole, abs=1e-12)

    def by_seed(variant: str) -> np.ndarray:
        chosen = [t for t in run.trials if (t.variant, t.protocol) == (variant, PROTOCOLS[0]) and t.method == "ssdg"]
        frames = [results_frame(run.subset([trial.id]), ["source-dev"]) for trial in chosen]
        return np.array([frame[frame["level"] == "video"]["auc"].item() for frame in frames])

    expected = stats.ttest_rel(by_seed("no triplet"), by_seed(""))
    interval = expected.confidence_interval(0.95)
    assert (row["auc_lower"], row["auc_upper"]) == pytest.approx((interval.low, interval.high), abs=1e-12)
    assert row["auc_p"] == pytest.approx(expected.pvalue, abs=1e-12)


def test_a_pair_of_which_one_failed_is_left_out_and_counted(run: RunRecord) -> None:
    frame = ablation_frame(run).query("level == 'video'").set_index("protocol")
    assert frame["n_pairs"].to_dict() == {PROTOCOLS[0]: 3, PROTOCOLS[1]: 2, MEAN_OF_PROTOCOLS: 2}


def test_methods_without_ablations_are_left_out_and_a_run_without_any_is_empty(run: RunRecord, tmp_path: Path) -> None:
    assert set(ablation_frame(run)["method"]) == {"ssdg"}
    assert ablation_frame(make_run(tmp_path / "other", [MadeTrial("plain")])).empty


def test_the_table_says_what_a_difference_means(run: RunRecord) -> None:
    grid = ablation_grid(ablation_frame(run))
    assert len(grid.rows) == 3
    assert "ssdg    triplet  C&M->I" in to_text(grid)
    assert "without the part minus with it" in to_markdown(grid)


def test_an_unknown_rule_is_refused(run: RunRecord) -> None:
    with pytest.raises(SpecError, match="no selection 'best'"):
        ablation_frame(run, "best")
