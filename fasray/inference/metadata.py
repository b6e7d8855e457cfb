"""What the metadata of an exported model say of it: all that is needed to use the file alone."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from fasray.errors import SpecError
from fasray.faces.extraction.crops import DETECT, WHOLE
from fasray.inference.preparation import recorded_preparation, settings_for
from fasray.inference.sample import scored_sample
from fasray.inference.scorer import Scorer, calibration_of, thresholds_of
from fasray.methods.base import Augment
from fasray.results.scores import Scores
from fasray.version import __version__

OUTPUT = "score"
"""Name of a graph's output."""


def describe(scorer: Scorer) -> dict[str, Any]:
    """Return the metadata of a model by key, without ``fasray.``, as JSON values; what is not known is None."""
    trial = scorer.trial
    preparation, settings = recorded_preparation(scorer), None
    with contextlib.suppress(SpecError):
        settings = settings_for(scorer)
    facts = settings.facts() if settings else None
    return {
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
        "preparation": preparation.to_json() if preparation else None,
        "crop": _crop(facts),
        "frames": _frames(facts),
        "output": describe_output(scorer.source_dev),
        "sample": scored_sample(scorer, settings),
    }


def describe_output(source_dev: Scores | None) -> dict[str, Any]:
    """Return what a score means and decides, by a model's own scores of source-dev, where they are known."""
    thresholds = source_dev and thresholds_of(source_dev)
    calibration = source_dev and calibration_of(source_dev)
    return {
        "name": OUTPUT,
        "direction": "higher = more bona fide",
        "video": "mean of the scores of its frames with a face; no score without any",
        "decision": "live if the score is at or above the threshold, else attack",
        "threshold": thresholds and {"rule": "source-dev EER", **asdict(thresholds)},
        "calibration": calibration and {"of": "scores of videos", "fitted_on": "source-dev", **calibration.to_json()},
        "probability": "1 / (1 + exp(-(slope * x + intercept))), x = the score, or, where input is logit, "
        "log(score / (1 - score)) of the score clipped to [1e-7, 1 - 1e-7]",
    }


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
    if settings is None:
        return None
    common = {
        "to": settings["image_size"],
        "how": "bilinear (OpenCV warpAffine, INTER_LINEAR); an output pixel x reads (x - shift) / zoom of the frame",
        "shrink": "what is over twice as large as the crop is first resized to its scale by area (INTER_AREA)",
        "edge": "replicate",
        "rounding": "to the nearest of 256 levels, halves to even",
        "colours": "8 bits a channel, as decoded, without colour management",
        "jpeg": {"round_trip": True, "quality": settings["quality"], "chroma": "4:4:4"},
    }
    if settings.get("cropped") == WHOLE:
        return {
            "shape": "the whole picture, which comes cut out, in the middle of a square",
            "zoom": "to / longer side; shift = (to - zoom * side) / 2 + zoom / 2 - 1/2, by width and by height, with "
            "whole numbers at pixel centres",
            **common,
        }
    inside = " found with a black border of half the picture's longer side around it"
    return {
        "shape": "square, upright: moved and scaled, not turned",
        "centre": "middle of the bounding box of the detector's points" + inside * (settings.get("cropped") == DETECT),
        "side": f"{settings['margin']} times the longer side of that box, in frame pixels, not rounded",
        "zoom": "to / side; shift = to / 2 - zoom * centre, with whole numbers at pixel centres",
        **common,
    }


def _frames(settings: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return which frames of a video are taken; see ``FrameRule``."""
    if settings is None:
        return None
    count, every = settings["frames"], settings.get("every")
    if every is not None:
        return {"every": every, "rule": "frames 0, every, 2 * every and so on, upright"}
    rule = "frame (2 * i + 1) * total // (2 * count) for i = 0 to count - 1, of those that decode, upright"
    return {"count": count, "rule": f"{rule}; all of a video that has fewer"}
