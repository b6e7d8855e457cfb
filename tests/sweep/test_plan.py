"""What a plan counts and refuses of the training section."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sweep_fixtures import SWEEP, make_table, plan_of

from fasray.errors import SpecError
from fasray.faces.face_index import FaceIndex
from fasray.methods.erm import ERM

FRAMES = 3


def several_frames() -> FaceIndex:
    """The fixtures' table with three frames of each video."""
    table = make_table()
    repeated = {name: np.repeat(getattr(table, name), FRAMES) for name in FaceIndex.__dataclass_fields__}
    return replace(table, **{**repeated, "frame": np.tile(np.arange(FRAMES, dtype=np.int32), len(table))})


def test_scored_images_are_counted_by_eval_frames() -> None:
    table = several_frames()
    for cell in plan_of(SWEEP, table).cells:
        assert (cell.source_dev_scored, cell.target_scored) == (cell.source_dev_images, cell.target_images)
    for cell in plan_of(SWEEP, table, "training.eval_frames=2").cells:
        assert cell.source_dev_scored == 2 * cell.source_dev_images // FRAMES
        assert cell.target_scored == 2 * cell.target_images // FRAMES


def test_compiling_is_refused_with_the_methods_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ERM, "no_compile", "its graph is drawn at random")
    plan_of(SWEEP, make_table())
    with pytest.raises(SpecError, match="erm cannot be compiled: its graph is drawn at random") as caught:
        plan_of(SWEEP, make_table(), "training.compile=true")
    assert "key training.compile" in str(caught.value)


def test_compiling_is_refused_for_several_workers() -> None:
    assert plan_of(SWEEP, make_table(), "training.compile=true").cells
    with pytest.raises(SpecError, match="averages over the workers"):
        plan_of(SWEEP, make_table(), "training.compile=true", "resources.workers=2")
