"""From one video or picture to its face records: frames taken, face found, cropped, labelled, encoded.

Preparation and scoring both go through here, so that a model is used on what it was trained on, JPEG round trip
included.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fasray.errors import SpecError, did_you_mean
from fasray.faces import jpeg
from fasray.faces.corpora import SourceVideo
from fasray.faces.detection import MESH468, Frame, Models, Points, detector_kind, read_models
from fasray.faces.extraction import labels
from fasray.faces.extraction.arrays import holds_arrays, map_arrays
from fasray.faces.extraction.crops import CROPPED, DETECT, WHOLE, WholeCrop, find_inside, whole_matrix
from fasray.faces.extraction.frames import FrameRule, Remark, Share, UnreadableError, map_frames
from fasray.faces.extraction.sequences import map_pictures, picture_files
from fasray.faces.record import DEPTH_SIZE, INDEX_COLUMNS, LIVE, PARSING_SIZE, RECORD_SCHEMA


@dataclass(frozen=True)
class Settings:
    """What decides which pixels a video gives."""

    rule: FrameRule = FrameRule(count=10)
    """Which frames are taken."""
    image_size: int = 256
    """Side of the crops, pixels, 32 to 1024."""
    quality: int = jpeg.QUALITY
    """JPEG quality of the crops, 1 to 100."""
    margin: float = labels.MARGIN
    """Side of the crop relative to the face mesh's box."""
    detector: str = MESH468.name
    cropped: str = ""
    """Of faces that come cut out, one of ``crops.CROPPED``; empty: of whole pictures, in which a face is found."""

    def __post_init__(self) -> None:
        """Refuse settings that are out of range (SpecError)."""
        for option, value, low, high in (
            ("--image-size", self.image_size, 32, 1024),
            ("--quality", self.quality, 1, 100),
            ("--margin", self.margin, 1, 4),
        ):
            if not low <= value <= high:
                raise SpecError(f"{value} is out of range", where=option, remedy=f"choose from {low} to {high}")
        detector_kind(self.detector)
        if self.cropped and self.cropped not in CROPPED:
            what = f"{self.cropped!r} is not a way to take faces that come cut out"
            raise SpecError(what, where="--cropped", remedy=did_you_mean(self.cropped, CROPPED))
        if self.cropped == WHOLE:
            for name, given, default in (
                ("--detector", self.detector, MESH468.name),
                ("--margin", f"{self.margin:g}", f"{labels.MARGIN:g}"),
            ):
                if given != default:
                    what = f"no face is looked for in pictures that came cut out, so {given} has no use"
                    raise SpecError(what, where=name, remedy="leave it out, or choose --cropped detect")

    def facts(self) -> dict[str, Any]:
        """Return the settings as JSON values, the models' hashes among them."""
        return {
            "frames": self.rule.count,
            "every": self.rule.every,
            "image_size": self.image_size,
            "quality": self.quality,
            "margin": float(self.margin),
            "detector": self.detector,
            "models": {file.name: file.sha256 for file in detector_kind(self.detector).files},
            **({"cropped": self.cropped} if self.cropped else {}),
        }

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Settings:
        """Return the settings that ``facts`` were written of."""
        rule = FrameRule(count=facts["frames"], every=facts["every"])
        size, quality, margin, detector = (facts[key] for key in ("image_size", "quality", "margin", "detector"))
        return cls(rule, size, quality, margin, detector, facts.get("cropped", ""))

    def read_models(self) -> dict[str, bytes]:
        """Return the content of the detector's model files (DataError if they are not installed)."""
        return read_models(detector_kind(self.detector).files)


@dataclass(frozen=True)
class FaceCrop:
    """The face of one frame, cut out and encoded."""

    image: bytes
    """JPEG bytes."""
    points: Points
    """[468, 3] mesh in crop pixels."""
    matrix: NDArray[np.float32]
    """[2, 3] frame pixels -> crop pixels."""
    score: float | None
    """How sure the detector is, in [0, 1]; None where no face was looked for."""


@dataclass(frozen=True)
class Extracted:
    """What one video gave."""

    records: pa.RecordBatch
    """Rows of RECORD_SCHEMA, by frame."""
    taken: int
    """Frames that were looked at."""
    misses: tuple[int, ...] = ()
    """Numbers of the frames without a face."""
    remarks: tuple[str, ...] = ()
    """What is unusual about the file, though it was used."""
    unreadable: str = ""
    """Why nothing was taken from it; empty if it was."""


class Extractor:
    """Cuts faces out of videos.

    OpenCV is kept to one thread in this process: parallel work is done by several extractors.

    Args:
        settings: see there.
        models: content of the detector's model files.
    """

    def __init__(self, settings: Settings, models: Models) -> None:
        cv2.setNumThreads(1)
        self.settings = settings
        self._detector = (
            WholeCrop(models) if settings.cropped == WHOLE else detector_kind(settings.detector).build(models)
        )

    def crops(self, path: str, remark: Remark, *, turn_untagged: int = 0) -> list[tuple[int, FaceCrop | None]]:
        """Return (frame number, its face or None) of a file; arguments and errors as in ``frames.map_frames``."""
        return map_frames(path, self.settings.rule, remark, self._crop, turn_untagged=turn_untagged)

    def _crop(self, frame: Frame) -> FaceCrop | None:
        cropped, size = self.settings.cropped, self.settings.image_size
        face = find_inside(self._detector, frame) if cropped == DETECT else self._detector.find(frame)
        if face is None:
            return None
        whole = cropped == WHOLE
        matrix = whole_matrix(frame, size) if whole else labels.crop_matrix(face.points, size, self.settings.margin)
        image = jpeg.encode(labels.cut_out(frame, matrix, size), self.settings.quality)
        return FaceCrop(image, labels.in_crop(face.points, matrix), matrix, None if whole else face.score)

    def extract(self, root: str, video: SourceVideo, share: Share = (0, 1)) -> Extracted:
        """Return all that one video of a corpus gives; a video that cannot be read gives a reason.

        Args:
            root: local folder of the corpus.
            video: one of its videos.
            share: which of its frames; of a video whose frames are files, all.
        """
        rows, misses, remarks = [], [], list[str]()
        taken = 0
        rule, turn = self.settings.rule, video.rotate_untagged
        files = picture_files(root, video)
        try:
            if files:
                paths = [os.path.join(root, file) for file in files]
                found = map_pictures(paths, rule, remarks.append, self._crop, turn_untagged=turn, part=video.frames)
            else:
                path = os.path.join(root, video.path)
                read = map_arrays if holds_arrays(path) else map_frames
                found = read(path, rule, remarks.append, self._crop, turn_untagged=turn, part=video.frames, share=share)
            for number, crop in found:
                taken += 1
                if crop is None:
                    misses.append(number)
                else:
                    rows.append(self._record(video, number, crop, files[number] if files else video.path))
        except UnreadableError as error:
            return unreadable(str(error), tuple(remarks))
        records = pa.RecordBatch.from_pylist(rows, schema=RECORD_SCHEMA)
        return Extracted(records, taken, tuple(misses), tuple(remarks))

    def _record(self, video: SourceVideo, number: int, crop: FaceCrop, path: str) -> dict[str, Any]:
        size = self.settings.image_size
        depth, parsing = bytes(DEPTH_SIZE**2), bytes(PARSING_SIZE**2)
        if video.label == LIVE:
            depth = labels.depth_map(crop.points, size).tobytes()
            parsing = labels.parsing_map(crop.points, size).tobytes()
        return {
            "image": crop.image,
            **{name: getattr(video, name) for name in INDEX_COLUMNS if name != "frame"},
            "frame": number,
            "depth": depth,
            "parsing": parsing,
            "landmarks5": labels.five_landmarks(crop.points).ravel().tolist(),
            "crop_matrix": crop.matrix.ravel().tolist(),
            "detection_score": crop.score,
            "source_path": path,
            "sha256": hashlib.sha256(crop.image).hexdigest(),
            "label_source": f"{self.settings.detector} in a crop" if self.settings.cropped else self.settings.detector,
        }


def unreadable(reason: str, remarks: tuple[str, ...] = ()) -> Extracted:
    """Return what a video gives that nothing can be taken from."""
    return Extracted(pa.RecordBatch.from_pylist([], schema=RECORD_SCHEMA), 0, (), remarks, reason)
