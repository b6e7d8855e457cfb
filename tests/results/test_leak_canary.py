"""If the target's labels were noise, every honest rule would read 50 % HTER; a rule that reads them reads less.

The scores of a run stay as they are, and the target's videos get random labels, two hundred times. What an honest rule
picks cannot depend on them, so its HTER averages one half. An oracle picks what fits the noise.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from score_runs import MadeTrial, score_path, score_table, write_scores

from fasray.results.frame import compute_results, offered
from fasray.results.scores import Evaluation, RunView, ScoreReader
from fasray.results.selection import PLANNED_SELECTIONS, SELECTIONS

RELABELLINGS = 200
TARGET_VIDEOS = 80
STEPS = (10, 20, 30)


class Relabelling(ScoreReader):
    """Reads score files, each once, and gives the target's videos the labels of the day, alike in all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.label = np.zeros(0, np.int8)
        self._whole: dict[str, Evaluation] = {}

    def read_all(self, uris: list[str]) -> list[Evaluation]:  # type: ignore[override]
        self._whole |= {uri: self.read(uri) for uri in uris if uri not in self._whole}
        return [self._relabelled(self._whole[uri]) for uri in uris]

    def _relabelled(self, whole: Evaluation) -> Evaluation:
        if "I" not in whole.target.domain:  # of an inner trial, which never saw the target
            return whole
        attack = np.where(self.label == 1, "live", "print")
        return Evaluation(whole.trial, whole.step, whole.source_dev, whole.target.relabelled(self.label, attack))


@pytest.fixture(scope="module")
def relabelled(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Rows of the frame at video level, one set for each relabelling."""
    folder = tmp_path_factory.mktemp("canary")
    trials = [MadeTrial("s0", stage="search", status="stopped", steps=STEPS, seed=9), MadeTrial("c0", steps=STEPS)]
    for number, trial in enumerate(trials):
        for step in STEPS:
            # A little better than chance, so that a leak of the true labels would show as well.
            rng = np.random.default_rng([number, step])
            source = score_table(rng, 0.3, 0.3, videos=12, frames=2)
            target = score_table(rng, 0.1, 0.1, videos=TARGET_VIDEOS, frames=2, sources=())
            kept = [place for place, role in enumerate(source["role"]) if role == "source-dev"]
            columns = {name: [source[name][place] for place in kept] + target[name] for name in source}
            write_scores(score_path(folder, trial.id, step), trial.id, step, columns)
    for left_out, other in (("C", "M"), ("M", "C")):
        trials.append(MadeTrial(f"i{left_out}", protocol=f"C&M->I/{left_out}", stage="inner", steps=STEPS))
        for step in STEPS:
            rng = np.random.default_rng([ord(left_out), step])
            columns = score_table(rng, 0.3, 0.2, frames=2, sources=(other,), target=left_out)
            write_scores(score_path(folder, trials[-1].id, step), trials[-1].id, step, columns)
    run = RunView("canary", "", trials, lambda trial, step: str(score_path(folder, trial, step)))
    reader, rng, parts = Relabelling(), np.random.default_rng(5), []
    for _ in range(RELABELLINGS):
        reader.label = (rng.permutation(TARGET_VIDEOS) % 2).astype(np.int8)
        parts.append(compute_results(run, offered(run), reader, resamples=0).frame)
    frame = pd.concat(parts)
    return frame[frame["level"] == "video"]


@pytest.mark.parametrize(
    "rule", [name for name, rule in {**SELECTIONS, **PLANNED_SELECTIONS}.items() if not rule.oracle]
)
def test_honest_rules_average_one_half_and_never_change_their_choice(relabelled: pd.DataFrame, rule: str) -> None:
    rows = relabelled[relabelled["selection"] == rule]
    assert len(rows) == RELABELLINGS
    assert abs(rows["hter"].mean() - 0.5) < 0.01
    assert abs(rows["auc"].mean() - 0.5) < 0.01
    assert len({tuple(steps) for steps in rows["steps"]}) == 1
    assert len({tuple(thresholds) for thresholds in rows["thresholds"]}) == 1


@pytest.mark.parametrize("rule", [name for name, rule in SELECTIONS.items() if rule.oracle])
def test_oracles_find_something_in_noise(relabelled: pd.DataFrame, rule: str) -> None:
    rows = relabelled[relabelled["selection"] == rule]
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
