"""``eval_frames`` takes evenly spaced frames of every video, whatever the order of the rows."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from protocol_tables import table_of

from fasray.protocols import spaced_frames


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5), count=st.integers(1, 10), seed=st.integers(0, 2**32 - 1)
)
def test_frames_of_each_video_are_those_of_a_loop_over_the_rule(sizes: list[int], count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    made = [
        {"domain": "C", "subject": f"s{video}", "video": f"v{video}", "frame": frame}
        for video, size in enumerate(sizes)
        for frame in rng.choice(500, size, replace=False).tolist()
    ]
    rng.shuffle(made)
    table = table_of(made)
    rows = np.sort(rng.choice(len(made), rng.integers(1, len(made) + 1), replace=False))
    wanted: set[int] = set()
    for video in set(table.video[rows].tolist()):
        mine = sorted(
            (row for row in rows.tolist() if table.video[row] == video), key=lambda row: int(table.frame[row])
        )
        wanted |= {mine[(2 * number + 1) * len(mine) // (2 * count)] for number in range(count)}
    assert spaced_frames(table, rows, count).tolist() == sorted(wanted)


def test_all_frames_and_no_rows_stay_as_they_are() -> None:
    table = table_of([{"domain": "C", "subject": "s", "video": "v", "frame": frame} for frame in range(3)])
    assert spaced_frames(table, np.arange(3), "all").tolist() == [0, 1, 2]
    assert spaced_frames(table, np.arange(0), 2).tolist() == []
