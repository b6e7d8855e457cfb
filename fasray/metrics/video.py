"""From frames to videos: one score a video, from its frames' mean, greatest score or first few; with counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasray.errors import DataError, SpecError
from fasray.metrics.inputs import check_column, check_scores


@dataclass(frozen=True, eq=False)
class Videos:
    """Columns of equal length V, one entry a video, by name."""

    video: NDArray[np.str_]
    score: NDArray[np.float64]
    label: NDArray[np.int8]
    domain: NDArray[np.str_]
    attack_type: NDArray[np.str_]
    frames: NDArray[np.int64]
    """Number of frames that the score was made of."""


def to_videos(
    score: ArrayLike,
    label: ArrayLike,
    domain: ArrayLike,
    attack_type: ArrayLike,
    video: ArrayLike,
    *,
    aggregate: str = "mean",
    frame: ArrayLike | None = None,
) -> Videos:
    """Make one score of the frames of each video.

    The order of rows does not change a bit of the result: frames are added in the order of their scores.

    Args:
        score: [N] higher = more live.
        label: [N] 1 = live, 0 = attack.
        domain: [N] where the video is from.
        attack_type: [N] of the video.
        video: [N] its name.
        aggregate: ``mean``; ``max``, the most live frame; or ``first-K``, the mean of the K frames with the lowest
            index, or of all where there are fewer.
        frame: [N] index of the frame in its video, different for each frame of a video; ``first-K`` needs it.

    Raises:
        DataError: empty, NaN, strange labels, lengths that differ, a video whose frames disagree in label, domain or
            attack type or share an index, or a video whose mean does not exist (+inf and -inf among its frames).
        SpecError: there is no such aggregate.

    >>> videos = to_videos([0.9, 0.7, 0.1], [1, 1, 0], ["O"] * 3, ["", "", "print"], ["a", "a", "b"])
    >>> list(zip(videos.video.tolist(), videos.score.round(2).tolist(), videos.frames.tolist()))
    [('a', 0.8, 2), ('b', 0.1, 1)]
    """
    count = check_aggregate(aggregate)
    scores, live = check_scores(score, label)
    if frame is not None:
        check_frames(np.asarray(video), check_column(frame, scores, "frame indices"))
    if count:
        chosen = _first(scores, np.asarray(video), frame, count)
        picked = (np.asarray(column)[chosen] for column in (score, label, domain, attack_type, video))
        return to_videos(*picked)
    columns: dict[str, NDArray[Any]] = {
        "video": np.asarray(video),
        "label": live.astype(np.int8),
        "domain": np.asarray(domain),
        "attack_type": np.asarray(attack_type),
    }
    for name, column in columns.items():
        check_column(column, scores, f"values of {name}")
    names, first, inverse, frames = np.unique(
        columns["video"], return_index=True, return_inverse=True, return_counts=True
    )
    for name, column in columns.items():
        differs = column != column[first][inverse]
        if differs.any():
            raise DataError(
                f"the frames of video {str(columns['video'][differs][0])!r} disagree in {name}",
                where=name,
                remedy="give different videos different names; if these are no videos, take each row by itself "
                "(fasray metrics --level frame)",
            )
    order = np.lexsort((scores, inverse))
    starts = np.concatenate([[0], np.cumsum(frames)[:-1]])
    if aggregate == "max":
        of_video = scores[order][starts + frames - 1]
    else:
        with np.errstate(invalid="ignore"):
            of_video = np.add.reduceat(scores[order], starts) / frames
    if np.isnan(of_video).any():
        raise DataError(
            f"video {str(names[np.isnan(of_video)][0])!r} has frames scored +inf and -inf",
            remedy="its mean does not exist; give finite scores",
        )
    return Videos(
        names,
        of_video,
        columns["label"][first],
        columns["domain"][first],
        columns["attack_type"][first],
        frames.astype(np.int64),
    )


def check_aggregate(aggregate: str) -> int:
    """Return K of ``first-K``, or 0 for ``mean`` and ``max``.

    Raises:
        SpecError: there is no such aggregate.
    """
    if aggregate in ("mean", "max"):
        return 0
    name, _, number = aggregate.rpartition("-")
    if name != "first" or not number.isascii() or not number.isdecimal() or int(number) < 1:
        raise SpecError(f"there is no aggregate {aggregate!r}", remedy="write mean, max, or first-4 for four frames")
    return int(number)


def check_frames(video: NDArray[Any], frame: NDArray[Any], places: Sequence[str] = ()) -> None:
    """Check that no frame of a video has two scores, both of which would count.

    Args:
        video: [N] its name.
        frame: [N] index of the frame.
        places: [N] of the rows in a file, for the message.

    Raises:
        DataError: one has.
    """
    names, inverse = np.unique(video, return_inverse=True)
    order = np.lexsort((frame, inverse))
    same = (inverse[order][1:] == inverse[order][:-1]) & (frame[order][1:] == frame[order][:-1])
    if same.any():
        at = int(np.flatnonzero(same)[0])
        first, second = order[at], order[at + 1]
        raise DataError(
            f"video {str(names[inverse[second]])!r} has frame {frame[second]} twice",
            where=f"{places[second]} (first: {places[first]})" if places else "",
            remedy="give each frame of a video once, with an index of its own",
        )


def _first(scores: NDArray[np.float64], video: NDArray[Any], frame: ArrayLike | None, count: int) -> NDArray[np.int64]:
    """Return the rows of the first ``count`` frames of each video."""
    if frame is None:
        raise DataError(
            f"the first {count} frames are unknown without frame indices", remedy="give the index of each frame"
        )
    index = check_column(frame, scores, "frame indices")
    names, inverse = np.unique(check_column(video, scores, "values of video"), return_inverse=True)
    order = np.lexsort((index, inverse))
    starts = np.searchsorted(inverse[order], np.arange(len(names)))
    rank = np.arange(len(order)) - starts[inverse[order]]
    return np.asarray(order[rank < count], np.int64)
