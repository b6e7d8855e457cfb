"""A trained model as one ONNX file: the same scores as torch's, with all that a user must know in its metadata.

The graph takes ``images``, float32 [batch, 3, S, S] RGB in [0, 1], and gives ``score``, [batch], higher = more bona
fide; HSV channels, normalisation and region masks are part of it. The metadata describe, in JSON, how a
picture becomes such an image:

======================  =======================================================================================
``fasray.model``        trial, method, configuration, protocol, training domains, step, version of fasray
``fasray.input``        name, layout, type, colours, range, size
``fasray.window``       which part of a stored face crop is scored, and how it is resized
``fasray.preparation``  how face crops were made: detector, margin, size, JPEG quality; null if unknown
``fasray.crop``         what those numbers mean: the margin relative to what, interpolation, pixel centres, edges,
                        the JPEG round trip; null if unknown or if the faces were generated
``fasray.frames``       which frames of a video are scored; null likewise
``fasray.output``       name, direction, how scores of frames make that of a video, what a threshold decides, and the
                        thresholds that the model's own source-dev EER gives; null if its score file is not there
``fasray.parity``       largest difference from torch in the export's own check, and its number of images
======================  =======================================================================================
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fasray.errors import RunFailedError, SpecError
from fasray.inference.preparation import recorded_preparation
from fasray.inference.scorer import Scorer
from fasray.methods.base import Augment, Method
from fasray.version import __version__

TOLERANCE = 1e-4
"""Largest difference between the scores of torch and of ONNX Runtime that an export accepts."""
_BATCHES = (1, 3, 8)
_PACKAGES = ("onnx", "onnxruntime", "onnxscript")
_INPUT, _OUTPUT = "images", "score"


@dataclass(frozen=True, eq=False)
class Exported:
    """An ONNX model and the result of its check."""

    content: bytes
    difference: float
    """Largest absolute difference of a score from torch's."""
    images: int
    """Images that were compared."""
    metadata: dict[str, Any]
    """Its metadata by key, before they became JSON."""


class _Scoring(nn.Module):
    """A method's score as a module: from images [B, 3, S, S] to [B]."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.networks = method.networks
        self._method = method

    def forward(self, images: Tensor) -> Tensor:
        return self._method.score(images)


def export_checkpoint(uri: str, step: int | None = None) -> Exported:
    """Return the model of a checkpoint as ONNX.

    Args:
        uri: folder of checkpoints, or of a trial.
        step: which; None: the best by source-dev.

    Raises:
        SpecError: onnx or its companions are not installed, or there is no such step.
        DataError: there is no checkpoint, or it is damaged.
        RunFailedError: the scores differ from torch's.
    """
    require()
    scorer = Scorer.load(uri, step)
    trial = scorer.trial
    preparation, thresholds = recorded_preparation(scorer), scorer.thresholds()
    settings = preparation.to_json() if preparation else None
    metadata = {
        "model": {
            "trial": trial.id,
            "method": trial.method,
            "config": trial.config,
            "protocol": trial.protocol,
            "domains": list(scorer.domains),
            "step": scorer.step,
            "fasray": __version__,
        },
        "window": _window(trial.training.augment_of(scorer.method), trial.training.image_size),
        "preparation": settings,
        "crop": _crop(settings),
        "frames": _frames(settings),
        "output": {
            "name": _OUTPUT,
            "direction": "higher = more bona fide",
            "video": "mean of the scores of its frames with a face; no score without any",
            "decision": "live if the score is at or above the threshold, else attack",
            "threshold": thresholds and {"rule": "source-dev EER", **asdict(thresholds)},
        },
    }
    return export_method(scorer.method, trial.training.image_size, metadata)


def export_method(method: Method, image_size: int, metadata: dict[str, Any] | None = None) -> Exported:
    """Return a method's score as ONNX, compared with torch over batches of several sizes.

    Args:
        method: built, on the CPU.
        image_size: S.
        metadata: additional metadata, by key without ``fasray.``.

    Raises:
        SpecError: onnx or its companions are not installed.
        RunFailedError: the scores differ from torch's by more than ``TOLERANCE``.
    """
    require()
    import onnx

    method.networks.eval()
    batches = [_pictures(count, image_size) for count in _BATCHES]
    method.score(torch.from_numpy(batches[0]))  # what is computed once for each set of weights becomes a constant
    program = torch.onnx.export(
        _Scoring(method).eval(),
        (torch.from_numpy(batches[1]),),
        input_names=[_INPUT],
        output_names=[_OUTPUT],
        dynamic_shapes={_INPUT: {0: torch.export.Dim("batch")}},
        dynamo=True,
        verbose=False,
    )
    assert program is not None  # noqa: S101  # a path was not given, so a program comes back
    model = program.model_proto
    difference = _difference(method, model.SerializeToString(), batches)
    facts = {
        **(metadata or {}),
        "input": {
            "name": _INPUT,
            "layout": "NCHW",
            "type": "float32",
            "colours": "RGB",
            "range": [0, 1],
            "values": "level / 255 of uint8 pixels",
            "size": image_size,
        },
        "parity": {"difference": difference, "images": sum(_BATCHES)},
    }
    model.producer_name, model.producer_version = "fasray", __version__
    model.doc_string = (
        "Face anti-spoofing: images (RGB in [0, 1]) to score (higher = more bona fide). The metadata, JSON by key, say "
        "how a picture becomes an image and what decides."
    )
    onnx.helper.set_model_props(model, {f"fasray.{key}": json.dumps(value) for key, value in facts.items()})
    return Exported(model.SerializeToString(), difference, sum(_BATCHES), facts)


def require() -> None:
    """Check that the packages that an export needs are installed.

    Raises:
        SpecError: one of them cannot be imported.
    """
    import importlib

    for package in _PACKAGES:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise SpecError(
                f"an export needs the package {package}, which is not installed",
                remedy=f"run: python -m pip install {' '.join(_PACKAGES)}",
            ) from error


def _difference(method: Method, content: bytes, batches: list[NDArray[np.float32]]) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    largest = 0.0
    for images in batches:
        with torch.inference_mode():
            expected = method.score(torch.from_numpy(images)).numpy()
        (found,) = session.run([_OUTPUT], {_INPUT: images})
        apart = np.abs(found - expected)
        largest = max(largest, float(apart.max()) if np.isfinite(apart).all() else np.inf)
    if largest > TOLERANCE:
        raise RunFailedError(
            f"ONNX Runtime's scores differ from torch's by up to {largest:.2g}",
            remedy=f"nothing was written; at most {TOLERANCE} is accepted. Try the versions in constraints.txt",
        )
    return largest


def _pictures(count: int, size: int) -> NDArray[np.float32]:
    """Return noise, smooth ramps and flat pictures in turn, [count, 3, size, size] at whole levels of 255."""
    rng = np.random.default_rng([count, size])
    noise = rng.integers(0, 256, (count, 3, size, size))
    ramp = np.linspace(0, 1, size)
    ends = rng.integers(0, 256, (count, 3, 2, 1, 1))
    smooth = ends[:, :, 0] + (ends[:, :, 1] - ends[:, :, 0]) * (ramp[:, None] + ramp) / 2
    flat = np.broadcast_to(ends[:, :, 0], noise.shape)
    kind = np.arange(count)[:, None, None, None] % 3
    levels = np.select([kind == 0, kind == 1], [noise, np.round(smooth)], flat)
    return (levels / 255).astype(np.float32)


def _window(augment: Augment, image_size: int) -> dict[str, Any]:
    """Return which part of a stored crop is scored; see ``augment.evaluation``."""
    if augment.crop == "pixels":
        offset = "(side of the crop - pixels) // 2 from the top and from the left"
        return {"rule": "middle", "pixels": image_size, "offset": offset, "resize": None}
    return {
        "rule": "middle",
        "share_of_area": augment.eval_scale,
        "side": "square root of share_of_area times the side of the crop, not rounded",
        "resize": {
            "to": image_size,
            "how": "bilinear",
            "antialias": False,
            "pixel_centres": "half: output x reads (x + 1/2) * side / to - 1/2, from the window's corner on",
            "edge": "replicate",
            "after": "division by 255; not rounded",
        },
    }


def _crop(settings: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return how a face is cut out of a frame; see ``extraction.labels``."""
    if settings is None or "margin" not in settings:
        return None
    return {
        "shape": "square, upright: moved and scaled, not turned",
        "centre": "middle of the bounding box of the detector's points",
        "side": f"{settings['margin']} times the longer side of that box, in frame pixels, not rounded",
        "to": settings["image_size"],
        "how": "bilinear (OpenCV warpAffine, INTER_LINEAR); an output pixel x reads (x - shift) / zoom of the frame",
        "zoom": "to / side; shift = to / 2 - zoom * centre, with whole numbers at pixel centres",
        "shrink": "a face over twice as large as the crop is first resized to the crop's scale by area (INTER_AREA)",
        "edge": "replicate",
        "jpeg": {"round_trip": True, "quality": settings["quality"], "chroma": "4:4:4"},
    }


def _frames(settings: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return which frames of a video are taken; see ``FrameRule``."""
    if settings is None or "frames" not in settings:
        return None
    count, every = settings["frames"], settings.get("every")
    if every is not None:
        return {"every": every, "rule": "frames 0, every, 2 * every and so on, upright"}
    rule = "frame (2 * i + 1) * total // (2 * count) for i = 0 to count - 1, of those that decode, upright"
    return {"count": count, "rule": f"{rule}; all of a video that has fewer"}
