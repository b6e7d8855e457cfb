"""Frames become videos by their mean, whatever the order of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fasray import metrics
from fasray.errors import DataError, SpecError


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
    columns: dict[str, list[Any]] = {"label": [1, 1], "domain": ["A", "A"], "attack_type": ["live", "live"]}
    columns[column] = [1, 0] if column == "label" else ["A", "B"]
    with pytest.raises(DataError, match=f"video 'v' disagree in {column}"):
        metrics.to_videos([0.1, 0.2], columns["label"], columns["domain"], columns["attack_type"], ["v", "v"])


def test_opposite_infinities_and_ragged_columns_are_refused() -> None:
    with pytest.raises(DataError, match=r"\+inf and -inf"):
        metrics.to_videos([np.inf, -np.inf], [1, 1], ["A"] * 2, ["live"] * 2, ["v"] * 2)
    with pytest.raises(DataError, match="1 values of domain"):
        metrics.to_videos([0.1, 0.2], [1, 1], ["A"], ["live"] * 2, ["v"] * 2)


def test_the_most_live_frame_or_the_first_frames_can_stand_for_the_video() -> None:
    score, video, frame = [0.2, 0.9, 0.4, 0.7, 0.1], ["x", "w", "x", "w", "x"], [7, 0, 3, 1, 9]
    same = ([0, 1, 0, 1, 0], ["A"] * 5, ["t"] * 5, video)
    most = metrics.to_videos(score, *same, aggregate="max")
    assert (most.score.tolist(), most.frames.tolist()) == ([0.9, 0.4], [2, 3])
    first = metrics.to_videos(score, *same, aggregate="first-1", frame=frame)
    assert (first.score.tolist(), first.frames.tolist()) == ([0.9, 0.4], [1, 1])
    two = metrics.to_videos(score, *same, aggregate="first-2", frame=frame)
    assert two.score == pytest.approx([0.8, 0.3])
    more_than_there_are = metrics.to_videos(score, *same, aggregate="first-10", frame=frame)
    assert more_than_there_are.score.tolist() == metrics.to_videos(score, *same).score.tolist()
    assert more_than_there_are.frames.tolist() == [2, 3]


def test_infinite_frames_can_be_most_live() -> None:
    rows = ([np.inf, -np.inf], [1, 1], ["A"] * 2, ["live"] * 2, ["v"] * 2)
    assert metrics.to_videos(*rows, aggregate="max").score.tolist() == [np.inf]


@pytest.mark.parametrize("aggregate", ["median", "first", "first-0", "first--1", "first-x", "last-2", ""])
def test_unknown_aggregates_are_refused(aggregate: str) -> None:
    with pytest.raises(SpecError, match="no aggregate"):
        metrics.to_videos([0.1], [1], ["A"], ["live"], ["v"], aggregate=aggregate, frame=[0])


def test_first_frames_need_indices_that_differ() -> None:
    rows = ([0.1, 0.2], [1, 1], ["A"] * 2, ["live"] * 2, ["v"] * 2)
    with pytest.raises(DataError, match="the first 2 frames are unknown"):
        metrics.to_videos(*rows, aggregate="first-2")
    with pytest.raises(DataError, match="video 'v' has frame 3 twice"):
        metrics.to_videos(*rows, aggregate="first-2", frame=[3, 3])
