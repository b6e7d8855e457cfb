"""From frames to videos: one score a video, the mean of its frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasray.errors import DataError
from fasray.metrics.inputs import check_scores


@dataclass(frozen=True, eq=False)
class Videos:
    """Columns of equal length V, one entry a video, by name."""

    video: NDArray[np.str_]
    score: NDArray[np.float64]
    label: NDArray[np.int8]
    domain: NDArray[np.str_]
    attack_type: NDArray[np.str_]
    frames: NDArray[np.int64]
    """Number of frames that were averaged."""


def to_videos(
    score: ArrayLike, label: ArrayLike, domain: ArrayLike, attack_type: ArrayLike, video: ArrayLike
) -> Videos:
    """Average the frames of each video.

    The order of rows does not change a bit of the result: frames are added in the order of their scores.

    Raises:
        DataError: empty, NaN, strange labels, lengths that differ, a video whose frames disagree in label, domain or
            attack type, or a video whose mean does not exist (+inf and -inf among its frames).
    """
    scores, live = check_scores(score, label)
    columns: dict[str, NDArray[Any]] = {
        "video": np.asarray(video),
        "label": live.astype(np.int8),
        "domain": np.asarray(domain),
        "attack_type": np.asarray(attack_type),
    }
    for name, column in columns.items():
        if column.shape != scores.shape:
            raise DataError(f"{len(column)} values of {name} for {len(scores)} scores", remedy="give one to each score")
    names, first, inverse, frames = np.unique(
        columns["video"], return_index=True, return_inverse=True, return_counts=True
    )
    for name, column in columns.items():
        differs = column != column[first][inverse]
        if differs.any():
            raise DataError(
                f"the frames of video {str(columns['video'][differs][0])!r} disagree in {name}",
                where=name,
                remedy="give different videos different names",
            )
    order = np.lexsort((scores, inverse))
    starts = np.concatenate([[0], np.cumsum(frames)[:-1]])
    with np.errstate(invalid="ignore"):
        means = np.add.reduceat(scores[order], starts) / frames
    if np.isnan(means).any():
        raise DataError(
            f"video {str(names[np.isnan(means)][0])!r} has frames scored +inf and -inf",
            remedy="its mean does not exist; give finite scores",
        )
    return Videos(
        names,
        means,
        columns["label"][first],
        columns["domain"][first],
        columns["attack_type"][first],
        frames.astype(np.int64),
    )
