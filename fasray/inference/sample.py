"""A generated face that an exported model carries, with its crop and score, for users to check their code on."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fasray.errors import DataError
from fasray.faces import jpeg
from fasray.faces.detection import detector_kind
from fasray.faces.extraction import labels
from fasray.faces.extraction.extract import Settings
from fasray.faces.synthetic.head import draw_expression, draw_head
from fasray.faces.synthetic.identity import draw_identity
from fasray.faces.synthetic.light import draw_background, draw_light
from fasray.faces.synthetic.pose import draw_pose, render
from fasray.faces.synthetic.raster import to_display
from fasray.inference.scorer import Scorer
from fasray.seeds import stream

_SIDE = 96
_SMOOTHING = 1.0
"""Of the picture, pixels: neighbours are so alike that arithmetic which rounds otherwise gives the same crop."""


def scored_sample(scorer: Scorer, settings: Settings | None) -> dict[str, Any]:
    """Return what the metadata hold of the picture, as JSON values.

    Args:
        scorer: the model.
        settings: how faces are cut out for it; None if that is not known. Then the whole picture is the crop, as it is
            where faces come cut out, or where the detector is not installed.
    """
    picture = draw_picture()
    box = None if settings is None or settings.cropped else _box(picture, settings)
    if settings is None or box is None:
        side = scorer.trial.training.image_size if settings is None else settings.image_size
        crop, facts = np.asarray(cv2.resize(picture, (side, side)), np.uint8), {}
    else:
        matrix = labels.crop_matrix(box, settings.image_size, settings.margin)
        cut = labels.cut_out(np.ascontiguousarray(picture[..., ::-1]), matrix, settings.image_size)
        decoded = jpeg.decode(jpeg.encode(cut, settings.quality))
        assert decoded is not None  # noqa: S101 - it was encoded just now
        crop, facts = decoded, {"picture": _png(picture), "box": box.ravel().tolist()}
    return {
        **facts,
        "crop": _png(crop),
        "score": float(scorer.score(crop[None])[0]),
        "about": "a generated face, PNG in base64; box: left, top, right, bottom of the detector's points",
    }


def _box(picture: NDArray[np.uint8], settings: Settings) -> NDArray[np.float32] | None:
    """Return [2, 2] left, top and right, bottom of the detector's points; None if it finds no face or is not there."""
    try:
        detector = detector_kind(settings.detector).build(settings.read_models())
    except DataError:
        return None
    face = detector.find(np.ascontiguousarray(picture[..., ::-1]))
    return None if face is None else np.stack([face.points[:, :2].min(0), face.points[:, :2].max(0)])


def crop_of(sample: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Return the crop that the metadata of a sample hold, [S, S, 3] RGB."""
    data = np.frombuffer(base64.b64decode(sample["crop"]), np.uint8)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), np.uint8)


def draw_picture() -> NDArray[np.uint8]:
    """Return the picture, [S, S, 3] uint8 RGB, the same on every machine up to rounding."""

    def rng(purpose: str) -> np.random.Generator:
        return stream(0, f"export.{purpose}")

    head = draw_head(draw_identity(rng("identity")), draw_expression(rng("mood")), _SIDE)
    background = draw_background(rng("back"), _SIDE, "plain")
    view = render(head, draw_pose(rng("pose"), 1.0), draw_light(rng("light"), 1.0, 0.5), background)
    levels = np.rint(np.clip(to_display(view.image), 0, 1) * 255).astype(np.uint8)
    return np.asarray(cv2.GaussianBlur(levels, (0, 0), _SMOOTHING), np.uint8)


def _png(image: NDArray[np.uint8]) -> str:
    done, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    assert done  # noqa: S101 - memory is all that it needs
    return base64.b64encode(data.tobytes()).decode()
