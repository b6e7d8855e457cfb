"""If the target's labels were noise, every honest rule would read 50 % HTER; a rule that reads them reads less.

The scores of a run stay as they are, and the target's videos get random labels, two hundred times. What an honest rule
picks cannot depend on them, so its HTER averages one half. An oracle picks what fits the noise. With several targets
each has labels of its own, and what is picked for one of them must not depend on those of another.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from score_runs import MadeTrial, make_run, score_path, score_table, write_scores

from fasray.metrics.summary import TARGET
from fasray.protocols import target_role
from fasray.results.frame import compute_results, offered
from fasray.results.scores import ScoredEvaluation, ScoreReader, Scores
from fasray.results.selection import PLANNED_SELECTIONS, SELECTIONS

RELABELLINGS = 200
TARGET_VIDEOS = 80


class Relabelling(ScoreReader):
    """Reads score files, each once, and gives the target's videos the labels of the day, alike in all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.label: dict[str, NDArray[np.int8]] = {}
        """By target."""
        self._whole: dict[tuple[str, str], ScoredEvaluation] = {}

    def read_all(self, uris: list[str], protocol: str = "") -> list[ScoredEvaluation]:  # type: ignore[override]
        self._whole |= {(uri, protocol): self.read(uri, protocol) for uri in uris if (uri, protocol) not in self._whole}
        return [self._relabelled(self._whole[uri, protocol]) for uri in uris]

    def _relabelled(self, whole: ScoredEvaluation) -> ScoredEvaluation:
        label = self.label.get(whole.target.domain[0])
        if label is None:  # of an inner trial, which never saw the target
            return whole
        attack = np.where(label == 1, "live", "print")
        return ScoredEvaluation(whole.trial, whole.step, whole.source_dev, relabel(whole.target, label, attack))


def relabel(scores: Scores, label: NDArray[np.int8], attack_type: NDArray[np.str_]) -> Scores:
    """The same scores under other labels and attack types, both [V], in the order of ``videos``."""
    grouping = scores.grouping
    videos = replace(grouping.videos, label=label, attack_type=attack_type)
    return replace(
        scores, label=label[grouping.inverse], attack_type=attack_type[grouping.inverse],
        grouping=replace(grouping, videos=videos),
    )  # fmt: skip


@pytest.fixture(scope="module", params=["C&M->I", "C&M->I,Y"])
def relabelled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Rows of the frame at video level, one set for each relabelling."""
    folder, name = tmp_path_factory.mktemp("canary"), request.param
    roles = dict.fromkeys("I", TARGET) if name == "C&M->I" else {each: target_role(f"C&M->{each}") for each in "IY"}
    outer = [MadeTrial("s0", protocol=name, stage="search", status="stopped", seed=9), MadeTrial("c0", protocol=name)]
    inner = [MadeTrial(f"i{source}", protocol=f"{name}/{source}", stage="inner") for source in "CM"]
    run = make_run(folder, [*outer, *inner], spec={"protocols": [name]})
    for number, trial in enumerate(outer):
        for step in trial.steps:
            # A little better than chance, so that a leak of the true labels would show as well.
            rng = np.random.default_rng([number, step])
            source = score_table(rng, 0.3, 0.3, videos=12, frames=2)
            kept = [place for place, role in enumerate(source["role"]) if role == "source-dev"]
            columns = {key: [values[place] for place in kept] for key, values in source.items()}
            for target, role in roles.items():
                found = score_table(rng, 0.1, 0.1, videos=TARGET_VIDEOS, frames=2, sources=(), target=target)
                found["role"] = [role] * len(found["role"])
                columns = {key: values + found[key] for key, values in columns.items()}
            write_scores(score_path(folder, trial.id, step), trial.id, step, columns)
    for trial, left_out, other in zip(inner, "CM", "MC", strict=True):
        for step in trial.steps:
            rng = np.random.default_rng([ord(left_out), step])
            columns = score_table(rng, 0.3, 0.2, frames=2, sources=(other,), target=left_out)
            write_scores(score_path(folder, trial.id, step), trial.id, step, columns)
    reader, rng, parts = Relabelling(), np.random.default_rng(5), []
    for _ in range(RELABELLINGS):
        reader.label = {target: (rng.permutation(TARGET_VIDEOS) % 2).astype(np.int8) for target in roles}
        parts.append(compute_results(run, offered(run), reader, resamples=0).frame)
    frame = pd.concat(parts)
    return frame[frame["level"] == "video"]


@pytest.mark.parametrize(
    "rule", [name for name, rule in {**SELECTIONS, **PLANNED_SELECTIONS}.items() if not rule.oracle]
)
def test_honest_rules_average_one_half_and_never_change_their_choice(relabelled: pd.DataFrame, rule: str) -> None:
    for _, rows in relabelled[relabelled["selection"] == rule].groupby("protocol"):
        assert len(rows) == RELABELLINGS
        assert abs(rows["hter"].mean() - 0.5) < 0.01
        assert abs(rows["auc"].mean() - 0.5) < 0.01
        assert len({tuple(steps) for steps in rows["steps"]}) == 1
        assert len({tuple(thresholds) for thresholds in rows["thresholds"]}) == 1


@pytest.mark.parametrize("rule", [name for name, rule in SELECTIONS.items() if rule.oracle])
def test_oracles_find_something_in_noise(relabelled: pd.DataFrame, rule: str) -> None:
    for _, rows in relabelled[relabelled["selection"] == rule].groupby("protocol"):
        assert rows["oracle"].all()
        assert rows["hter"].mean() < 0.47
        assert len({tuple(steps) for steps in rows["steps"]}) > 1


def test_oracles_that_may_choose_more_read_lower(relabelled: pd.DataFrame) -> None:
    mean = relabelled.groupby("selection")["hter"].mean()
    assert mean["oracle-search"] < mean["oracle"]
    assert mean["oracle-min-hter"] < mean["oracle"]
    gap = relabelled[relabelled["selection"] == "source-dev"]["optimism_gap"].mean()
    assert gap == pytest.approx(mean["oracle"] - mean["source-dev"], abs=1e-12)
    assert gap < -0.03
