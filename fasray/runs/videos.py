"""Where, how and of whom each video of a run was recorded, so that score files need not repeat it.

One small file a run, written when the run is begun: camera, session, and what the records know of people. It is looked
up by the names of videos in score files. Runs of earlier releases do not have it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fasray import storage
from fasray.errors import DataError
from fasray.protocols.roles import RowTable
from fasray.runs.layout import VIDEO_FILE
from fasray.storage.parquet import DAMAGE

VIDEO_COLUMNS = ("camera", "session", "ethnicity", "sex", "age_group", "modality")
"""What is known of a video in addition to the columns of a score file; empty means unknown."""


@dataclass(frozen=True, eq=False)
class VideoFacts:
    """All videos of a run's data."""

    video: NDArray[np.str_]
    """[V] names, sorted."""
    columns: Mapping[str, NDArray[np.str_]]
    """[V] each of VIDEO_COLUMNS, by name."""

    @classmethod
    def of(cls, table: RowTable) -> VideoFacts:
        """Take the facts of every video from its first row."""
        video, first = np.unique(table.video, return_index=True)
        return cls(video, {name: getattr(table, name)[first] for name in VIDEO_COLUMNS})

    def of_videos(self, name: str, videos: NDArray[np.str_]) -> NDArray[np.str_]:
        """Return one of VIDEO_COLUMNS for each of ``videos``, empty for one that is not known."""
        if not len(self.video):
            return np.full(len(videos), "")
        place = np.minimum(np.searchsorted(self.video, videos), len(self.video) - 1)
        return np.where(self.video[place] == videos, self.columns[name][place], "")


def write_videos(run: str, table: RowTable) -> None:
    """Write the facts of the run's videos, unless they are there."""
    uri = storage.join(run, VIDEO_FILE)
    if storage.exists(uri):
        return
    facts, sink = VideoFacts.of(table), pa.BufferOutputStream()
    columns = {"video": facts.video, **facts.columns}
    pq.write_table(
        pa.table({name: pa.array(column.tolist(), pa.string()) for name, column in columns.items()}),
        sink,
        compression="zstd",
        write_page_checksum=True,
    )
    storage.write_once(uri, sink.getvalue().to_pybytes())


def read_videos(run: str) -> VideoFacts | None:
    """Return the facts of the run's videos; None for a run that does not have them.

    Raises:
        DataError: the file is damaged.
    """
    uri = storage.join(run, VIDEO_FILE)
    if not storage.exists(uri):
        return None
    try:
        content = pa.BufferReader(storage.read_bytes(uri))
        rows = pq.ParquetFile(content, page_checksum_verification=True).read(use_threads=False)
        column: dict[str, NDArray[Any]] = {
            name: np.array(rows.column(name).to_pylist(), dtype=np.str_) for name in ("video", *VIDEO_COLUMNS)
        }
    except (*DAMAGE, KeyError) as error:
        remedy = "delete it, and run the same sweep again: it is written from the data"
        raise DataError(f"the file of the run's videos is damaged: {error}", where=uri, remedy=remedy) from error
    return VideoFacts(column.pop("video"), column)
