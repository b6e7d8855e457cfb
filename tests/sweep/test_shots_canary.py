"""Noise in place of faces shows who was seen: with shots, those videos of the target and no other face of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from trained_runs import SWEEP, fill_pool

from fasray.execution.messages import TrialOrder
from fasray.faces.face_index import FaceIndex
from fasray.faces.sets.manifest import read_manifest
from fasray.faces.sets.reading import read_index
from fasray.faces.synthetic import generate
from fasray.protocols import parse
from fasray.sweep.plan import make_plan
from fasray.sweep.sweep_file import parse_sweep
from fasray.training.context import Context
from fasray.training.loop import train

Poisoned = NDArray[np.bool_]


class Canary:
    """Trains one trial on faces some of which are noise."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data = folder, folder / "faces"
        generate(str(self.data), subjects=3, domains="OC", image_size=32, processes=1)
        self.index: FaceIndex = read_index(str(self.data))
        self.clean = np.zeros(len(self.index), np.bool_)
        self._trained = 0

    def scores(self, protocol: str, poisoned: Poisoned) -> pd.DataFrame:
        """The last score file of a trial that may see all that its protocol gives it."""
        self._trained += 1
        place = self.folder / str(self._trained)
        text = SWEEP.format(data=self.data).replace("[O->C]", f"['{protocol}']")
        plan = make_plan(parse_sweep(text), read_manifest(str(self.data)).hash, self.index)
        trial = plan.trial(plan.cells[0], plan.cells[0].configuration({}), 0)
        pool = fill_pool(self.data, place / "pools", poisoned)
        roles = TrialOrder(trial, "", "", "", "train+test", -1).roles(pool.index)
        train(trial, pool, roles, Context(str(place / "trial"), seed=0, total_steps=trial.training.steps))
        found = sorted((place / "trial").glob("eval-*.parquet"))[-1]
        return pd.read_parquet(found).set_index(["role", "video", "frame"])["score"].sort_index()


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Canary:
    return Canary(tmp_path_factory.mktemp("canary"))


@pytest.mark.parametrize("rule", ["", pytest.param("-videos", marks=pytest.mark.slow)])
def test_of_the_target_a_trial_sees_its_shots_and_no_other_face(canary: Canary, rule: str) -> None:
    name = f"O->C+1shot{rule}"
    shots = parse(name).assign(canary.index).shots
    others = np.asarray(canary.index.domain == "C")
    others[shots] = False
    clean, noise = canary.scores(name, canary.clean), canary.scores(name, others)
    assert clean.loc["source-dev"].equals(noise.loc["source-dev"])
    assert not clean.loc["target"].equals(noise.loc["target"])
    shot_videos = set(canary.index.video[shots].tolist())
    assert not shot_videos & set(clean.loc["target"].index.get_level_values("video"))
    only_shots = canary.clean.copy()
    only_shots[shots] = True
    assert not clean.loc["source-dev"].equals(canary.scores(name, only_shots).loc["source-dev"])


def test_parts_of_one_dataset_on_both_sides_see_nothing_of_each_other(canary: Canary) -> None:
    name = "O[attack!=replay]->O[attack=replay],O[attack=print]"
    roles = parse(name).assign(canary.index)
    unseen = ~np.isin(np.arange(len(canary.index)), np.concatenate([roles.train, roles.source_dev]))
    clean, noise = canary.scores(name, canary.clean), canary.scores(name, unseen)
    assert clean.loc["source-dev"].equals(noise.loc["source-dev"])
    for part in parse(name).parts:
        role = f"target:{part.name}"
        assert not clean.loc[role].equals(noise.loc[role])
        assert set(clean.loc[role].index.get_level_values("video")) == set(
            canary.index.video[parse(part.name).assign(canary.index).target].tolist()
        )
