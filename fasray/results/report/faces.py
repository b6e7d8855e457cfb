"""The worst errors as pictures: which target faces a run was most wrong about, found in the shards."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from fasray import storage
from fasray.errors import DataError, FasrayError
from fasray.faces import jpeg
from fasray.faces.sets.manifest import MANIFEST_NAME, Shard, read_manifest
from fasray.faces.sets.reading import open_shard
from fasray.results.scores import Scores
from fasray.runs.record import RunRecord

EACH = 6
"""Pictures of each kind a cell."""
_SIDE = 112
_QUALITY = 82


@dataclass(frozen=True)
class FrameKey:
    """One frame of one video."""

    video: str
    frame: int


@dataclass(frozen=True)
class Suspect:
    """A target video far on the wrong side, and its most telling frame."""

    key: FrameKey
    score: float
    """Of the video."""
    wrong: bool
    """Whether it is on the wrong side of the honest threshold; the worst of a good run may be on the right one."""
    kind: str
    """Instrument or attack type; ``live``."""
    subject: str


def worst(scores: Scores, threshold: float) -> tuple[tuple[Suspect, ...], tuple[Suspect, ...]]:
    """Return the attack videos with the highest scores and the live ones with the lowest, worst first.

    Ties are broken by the video's name. Of each video the frame furthest on the wrong side is named.
    """
    videos = scores.videos
    found = []
    for label, sign in ((0, -1), (1, 1)):
        of_class = np.flatnonzero(videos.label == label)
        order = of_class[np.lexsort((videos.video[of_class], sign * videos.score[of_class]))][:EACH]
        found.append(tuple(_suspect(scores, int(row), sign, threshold) for row in order))
    return found[0], found[1]


def _suspect(scores: Scores, row: int, sign: int, threshold: float) -> Suspect:
    videos = scores.videos
    frames = np.flatnonzero(scores.video == videos.video[row])
    at = frames[np.lexsort((scores.frame[frames], sign * scores.score[frames]))[0]]
    score = float(videos.score[row])
    kind = str(scores.instrument[at]) or str(scores.attack_type[at])
    wrong = (score >= threshold) == (int(videos.label[row]) == 0)
    return Suspect(FrameKey(str(scores.video[at]), int(scores.frame[at])), score, wrong, kind, str(scores.subject[at]))


class ThumbnailStore:
    """The faces of a run, where they can be reached.

    Args:
        run: says where the data was.
        wanted: False if no face may be put into the page.
    """

    def __init__(self, run: RunRecord, wanted: bool) -> None:
        self._run = run
        self._wanted = wanted

    @cached_property
    def why_not(self) -> str:
        """Why there are no pictures; empty if there are."""
        if not self._wanted and not self._run.generated:
            return (
                "Faces of a data set that was not generated are left out: its licence may not allow passing them on."
                " Where it does, write the report with --with-pictures."
            )
        if not self._wanted:
            return "Pictures are switched off (--no-pictures)."
        if self._run.spec.get("data") is None:
            return "The run does not say where its faces are."
        try:
            if not storage.exists(storage.join(self._uri, MANIFEST_NAME)):
                return "The faces are not where they were when the run was made."
            if read_manifest(self._uri).hash != self._run.data.manifest_hash:
                return "The faces at the run's address are not those that it was made with: another manifest."
        except FasrayError as error:
            return f"The faces cannot be reached: {error.what}."
        return ""

    def thumbnails(self, keys: Sequence[FrameKey]) -> dict[FrameKey, str]:
        """Return small JPEG pictures of frames as data URIs; those that are not there or do not decode are left out."""
        if self.why_not:
            return {}
        missing, found = set(keys), {}
        try:
            for shard in read_manifest(self._uri).shards:
                if not missing:
                    break
                for key, data in _images(self._uri, shard, missing).items():
                    missing.discard(key)
                    small = _thumbnail(data)
                    if small:
                        found[key] = small
        except DataError as error:
            # A report is complete without its pictures.
            self.why_not = f"The faces cannot be shown: {error.where}: {error.what}."
        return found

    @cached_property
    def _uri(self) -> str:
        named = self._run.spec.get("data")
        if isinstance(named, str) and named != "synthetic":
            return named
        # The specification's own code knows where a generated set lies; it costs an import of torch.
        from pydantic import TypeAdapter

        from fasray.faces.data_source import SyntheticChoice, locate_dataset

        data: str | SyntheticChoice = TypeAdapter(str | SyntheticChoice).validate_python(named)
        return locate_dataset(data)


def _images(uri: str, shard: Shard, wanted: set[FrameKey]) -> dict[FrameKey, bytes]:
    """Return the image bytes of wanted frames in one shard, reading pixels only of row groups that have any."""
    found: dict[FrameKey, bytes] = {}
    with open_shard(uri, shard) as file:
        for number, names in enumerate(file.row_groups(("video", "frame"))):
            keys = map(FrameKey, names.column("video").to_pylist(), names.column("frame").to_pylist())
            rows = {row: key for row, key in enumerate(keys) if key in wanted}
            if rows:
                images = file.read_row_group(number, ["image"]).column("image").take(list(rows))
                found.update(zip(rows.values(), images.to_pylist(), strict=True))
    return found


def _thumbnail(data: bytes) -> str:
    image = jpeg.decode(data)
    if image is None:
        return ""
    small = cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    _, coded = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))
    return "data:image/jpeg;base64," + base64.b64encode(coded.tobytes()).decode()
