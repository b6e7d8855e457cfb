"""An exported model with 8-bit weights and activations, and what that changes.

ONNX Runtime's static quantisation of convolutions and matrix products: int8 weights by output channel, uint8
activations whose ranges are the extremes over calibration images. These are source-dev images alone, and the thresholds
are chosen again on source-dev, for scores move.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fasray.errors import DataError, RunFailedError
from fasray.faces.loading import augment
from fasray.faces.loading.pool import FacePool
from fasray.inference.metadata import describe_output
from fasray.inference.onnx import INPUT, Exported, opened, with_metadata
from fasray.inference.sample import crop_of
from fasray.inference.scorer import Scorer, Thresholds, thresholds_of
from fasray.metrics.rates import rates_at
from fasray.results.scores import Scores, read_scores
from fasray.runs.layout import score_file

CALIBRATION_IMAGES = 256
"""At most, evenly spaced over the rows of source-dev."""
_BATCH = 32
_OPERATORS = (("Conv", "MatMul", "Gemm"), ("Conv", "Gemm"))
"""Tried in turn: ONNX Runtime 1.31's own fusions break some transformers whose matrix products are all quantised."""
MOST_DIFFERENCE = 0.05
"""Of source-dev scores, mean over frames, that is accepted."""

Images = NDArray[np.float32]
"""[B, 3, S, S] as the graph takes them."""
Model = Callable[[Images], Images]
"""Gives the scores, [B]."""


@dataclass(frozen=True)
class Change:
    """What quantising changes on the rows of one role; each model decides by its own source-dev EER threshold."""

    videos: int
    mean_difference: float
    """Of the scores of frames, absolute."""
    largest_difference: float
    decisions_changed: int
    """Videos."""
    hter_before: float
    hter_after: float

    @classmethod
    def of(cls, before: Scores, after: Scores, old: Thresholds, new: Thresholds) -> Change:
        """Compare the scores of two models of the same rows."""
        apart, (one, other) = np.abs(after.score - before.score), (before.videos, after.videos)
        return cls(
            videos=len(one.score),
            mean_difference=float(apart.mean()),
            largest_difference=float(apart.max()),
            decisions_changed=int(((one.score >= old.video) != (other.score >= new.video)).sum()),
            hter_before=rates_at(one.score, one.label, old.video).hter,
            hter_after=rates_at(other.score, other.label, new.video).hter,
        )


def quantise(exported: Exported, scorer: Scorer, pool: FacePool) -> Exported:
    """Return an exported model with 8-bit arithmetic, and the changes in its metadata ``int8``.

    Args:
        exported: in float32.
        scorer: what it was exported of, inside its run.
        pool: the faces that it was trained on.

    Raises:
        DataError: the score file of the model's step is not there, or the pool is of other faces.
        RunFailedError: the scores of source-dev are others by more than ``MOST_DIFFERENCE`` on average.
    """
    import onnx

    evaluation = read_scores(score_file(scorer.trial_dir, scorer.step), scorer.trial.protocol)
    check_faces(scorer, pool.manifest_hash)
    rows = _rows_of(pool, evaluation.source_dev)
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, CALIBRATION_IMAGES).astype(int))]
    ranges = [_windows(scorer, pool.images[part]) for part in _parts(chosen)]

    def scores_of(model: Model, scores: Scores) -> Scores:
        found = [model(_windows(scorer, pool.images[part])) for part in _parts(_rows_of(pool, scores))]
        return replace(scores, score=np.concatenate(found).astype(np.float64))

    original = opened(exported.content)
    before = scores_of(original, evaluation.source_dev)
    for operators in _OPERATORS:
        content = _quantised(exported.content, ranges, operators)
        model = opened(content)
        after = scores_of(model, evaluation.source_dev)
        apart = float(np.abs(after.score - before.score).mean())
        if apart <= MOST_DIFFERENCE:
            break
    else:
        raise RunFailedError(
            f"the int8 model's scores differ by {apart:.2g} on average",
            remedy=f"nothing was written; at most {MOST_DIFFERENCE} is accepted. Export without --int8",
        )
    old, new = thresholds_of(before), thresholds_of(after)
    changes = {"source-dev": Change.of(before, after, old, new)}
    if evaluation.scored_target is not None:
        target = [scores_of(each, evaluation.scored_target) for each in (original, model)]
        changes["target"] = Change.of(target[0], target[1], old, new)
    crop = crop_of(exported.metadata["sample"])
    facts = {
        **exported.metadata,
        "output": describe_output(after),
        "sample": {**exported.metadata["sample"], "score": float(model(_windows(scorer, crop[None]))[0])},
        "int8": {
            "calibration": f"{len(chosen)} images of source-dev",
            "operators": list(operators),
            **{role: asdict(each) for role, each in changes.items()},
        },
    }
    return Exported(with_metadata(onnx.load_from_string(content), facts), exported.difference, exported.images, facts)


def check_faces(scorer: Scorer, manifest: str) -> None:
    """Raise a DataError if the hash of a face set's manifest is not that of the model's faces."""
    if manifest != scorer.trial.data:
        raise DataError(
            "these are not the faces that the model was trained on",
            where="--data",
            remedy=f"name the face set whose manifest has the hash {scorer.trial.data}",
        )


def _rows_of(pool: FacePool, scores: Scores) -> NDArray[np.int64]:
    """Return the pool's rows of a score file's rows, in their order."""
    place = {key: row for row, key in enumerate(zip(pool.index.video, pool.index.frame, strict=True))}
    try:
        return np.array([place[key] for key in zip(scores.video, scores.frame, strict=True)], np.int64)
    except KeyError as error:
        raise DataError(f"the faces have no frame {error.args[0][1]} of video {error.args[0][0]}") from error


def _parts(rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH)]


def _windows(scorer: Scorer, crops: NDArray[np.uint8]) -> Images:
    training = scorer.trial.training
    windows = augment.evaluation(crops, training.augment_of(scorer.method), training.image_size, torch.device("cpu"))
    return np.ascontiguousarray(windows.numpy())


def _quantised(content: bytes, batches: list[Images], operators: tuple[str, ...]) -> bytes:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Batches(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(batches)

        def get_next(self) -> dict[str, Images] | None:
            images = next(self._left, None)
            return None if images is None else {INPUT: images}

    with tempfile.TemporaryDirectory(prefix="fasray-int8-") as folder:
        plain, ready, result = (str(Path(folder, name)) for name in ("plain.onnx", "ready.onnx", "int8.onnx"))
        Path(plain).write_bytes(content)
        quant_pre_process(plain, ready, skip_symbolic_shape=True)
        options: dict[str, Any] = {"ActivationSymmetric": False, "WeightSymmetric": True}
        quantize_static(
            ready, result, Batches(), quant_format=QuantFormat.QDQ, per_channel=True, extra_options=options,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, op_types_to_quantize=list(operators),
        )  # fmt: skip
        return Path(result).read_bytes()
