"""Frames become videos by their mean, whatever the order of rows."""

from __future__ import annotations

import numpy as np
import pytest

from fasray import metrics
from fasray.errors import DataError


def test_videos_are_means_with_their_counts() -> None:
    found = metrics.to_videos(
        [0.2, 0.9, 0.4, 0.7],
        [0, 1, 0, 1],
        ["A", "B", "A", "B"],
        ["print", "live", "print", "live"],
        ["x", "w", "x", "w"],
    )
    assert found.video.tolist() == ["w", "x"]
    assert found.score == pytest.approx([0.8, 0.3])
    assert found.label.tolist() == [1, 0]
    assert found.domain.tolist() == ["B", "A"]
    assert found.attack_type.tolist() == ["live", "print"]
    assert found.frames.tolist() == [2, 2]


def test_the_order_of_frames_does_not_change_one_bit() -> None:
    rng = np.random.default_rng(0)
    video = rng.integers(0, 20, 500).astype(str)
    score = rng.random(500)
    constant = np.zeros(500, int)
    reference = metrics.to_videos(score, constant, constant, constant, video)
    for _ in range(5):
        order = rng.permutation(500)
        again = metrics.to_videos(score[order], constant, constant, constant, video[order])
        np.testing.assert_array_equal(again.score, reference.score)
    expected = [score[video == name].mean() for name in reference.video]
    np.testing.assert_allclose(reference.score, expected, atol=1e-12)


@pytest.mark.parametrize("column", ["label", "domain", "attack_type"])
def test_frames_that_disagree_about_their_video_are_refused(column: str) -> None:
    columns = {"label": [1, 1], "domain": ["A", "A"], "attack_type": ["live", "live"]}
    columns[column] = [1, 0] if column == "label" else ["A", "B"]
    with pytest.raises(DataError, match=f"video 'v' disagree in {column}"):
        metrics.to_videos([0.1, 0.2], columns["label"], columns["domain"], columns["attack_type"], ["v", "v"])


def test_opposite_infinities_and_ragged_columns_are_refused() -> None:
    with pytest.raises(DataError, match=r"\+inf and -inf"):
        metrics.to_videos([np.inf, -np.inf], [1, 1], ["A"] * 2, ["live"] * 2, ["v"] * 2)
    with pytest.raises(DataError, match="1 values of domain"):
        metrics.to_videos([0.1, 0.2], [1, 1], ["A"], ["live"] * 2, ["v"] * 2)
