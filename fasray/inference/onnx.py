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
                        rounding, the JPEG round trip; null if unknown
``fasray.frames``       which frames of a video are scored; null likewise
``fasray.output``       name, direction, how scores of frames make that of a video, what a threshold decides, the
                        thresholds that the model's own source-dev EER gives, and the calibration fitted on
                        source-dev; null if its score file is not there
``fasray.sample``       a picture of a generated face, its crop and its score, to check one's own code on
``fasray.parity``       largest difference from torch in the export's own check, and its number of images
``fasray.int8``         of a quantised model: how its scores, decisions and HTER differ from those of float32
======================  =======================================================================================
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fasray.errors import RunFailedError, SpecError
from fasray.inference.metadata import OUTPUT, describe
from fasray.inference.scorer import Scorer
from fasray.methods.base import Method
from fasray.version import __version__

TOLERANCE = 1e-4
"""Largest difference between the scores of torch and of ONNX Runtime that an export accepts."""
OLDEST_OPSET = 17
_TORCHS_OLDEST_OPSET = 18
"""What torch writes for any older one, too."""
_AXES_ARE_INPUTS = 18
"""Of reductions."""
_BATCHES = (1, 3, 8)
_PACKAGES = ("onnx", "onnxruntime", "onnxscript")
INPUT = "images"


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


def export_scorer(scorer: Scorer, *, opset: int | None = None) -> Exported:
    """Return a trained model on the CPU as ONNX, described by its run; see :func:`export_method`."""
    return export_method(scorer.method, scorer.trial.training.image_size, describe(scorer), opset=opset)


def export_method(
    method: Method, image_size: int, metadata: dict[str, Any] | None = None, *, opset: int | None = None
) -> Exported:
    """Return a method's score as ONNX, compared with torch over batches of several sizes.

    Args:
        method: built, on the CPU.
        image_size: S.
        metadata: additional metadata, by key without ``fasray.``.
        opset: version of ONNX's operators, for older runtimes; None: what torch writes.

    Raises:
        SpecError: onnx or its companions are not installed, or the graph cannot be written in ``opset``.
        RunFailedError: the scores differ from torch's by more than ``TOLERANCE``.
    """
    require()
    method.networks.eval()
    batches = [_pictures(count, image_size) for count in _BATCHES]
    method.score(torch.from_numpy(batches[0]))  # what is computed once for each set of weights becomes a constant
    model = _graph(method, batches[1], opset)
    difference = _difference(method, model.SerializeToString(), batches)
    facts = {
        **(metadata or {}),
        "input": {
            "name": INPUT,
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
    return Exported(with_metadata(model, facts), difference, sum(_BATCHES), facts)


def with_metadata(model: Any, facts: Mapping[str, Any]) -> bytes:
    """Return the bytes of an ONNX model (``onnx.ModelProto``) whose metadata are ``facts``."""
    import onnx

    onnx.helper.set_model_props(model, {f"fasray.{key}": json.dumps(value) for key, value in facts.items()})
    content: bytes = model.SerializeToString()
    return content


def _graph(method: Method, images: NDArray[np.float32], opset: int | None) -> Any:
    """Return the method's score as an ``onnx.ModelProto``."""
    program = torch.onnx.export(
        _Scoring(method).eval(),
        (torch.from_numpy(images),),
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_shapes={INPUT: {0: torch.export.Dim("batch")}},
        opset_version=opset if opset is None else max(opset, _TORCHS_OLDEST_OPSET),
        dynamo=True,
        verbose=False,
    )
    assert program is not None  # noqa: S101  # a path was not given, so a program comes back
    return program.model_proto if opset is None else in_opset(program.model_proto, opset)


def in_opset(model: Any, opset: int) -> Any:
    """Return an ``onnx.ModelProto`` with the operators of an opset, its own or an older one.

    What reductions take as an input since opset 18, their axes, is an attribute before.

    Raises:
        SpecError: an operator of the graph has another meaning there, or is not there.
    """
    import onnx

    (own,) = (entry for entry in model.opset_import if not entry.domain)
    graph, version = model.graph, own.version
    constants = {entry.name: onnx.numpy_helper.to_array(entry) for entry in graph.initializer}
    constants |= {
        node.output[0]: onnx.numpy_helper.to_array(node.attribute[0].t)
        for node in graph.node
        if node.op_type == "Constant" and node.attribute[0].name == "value"
    }
    newer = set()
    for node in graph.node:
        name = node.op_type
        if node.domain or version <= opset or onnx.defs.get_schema(name, version).since_version <= opset:
            continue
        if (
            opset < _AXES_ARE_INPUTS
            and name.startswith("Reduce")
            and len(node.input) == 2
            and node.input[1] in constants
        ):
            kept = [entry for entry in node.attribute if entry.name != "noop_with_empty_axes"]
            axes = onnx.helper.make_attribute("axes", constants[node.input[1]].tolist())
            del node.attribute[:]
            node.attribute.extend([*kept, axes])
            del node.input[1]
        elif not _same_but_for_types(name, opset, version):
            newer.add(name)
    if newer or opset > version or opset < OLDEST_OPSET or model.functions:
        raise SpecError(
            f"the graph cannot be written with opset {opset}" + (f": {', '.join(sorted(newer))}" if newer else ""),
            where="--opset",
            remedy=f"choose from {OLDEST_OPSET} to {version}, or leave it out",
        )
    used = {name for node in graph.node for name in node.input}
    for entry in [entry for entry in graph.initializer if entry.name not in used]:
        graph.initializer.remove(entry)
    own.version = opset
    if opset < _AXES_ARE_INPUTS:
        model.ir_version = min(model.ir_version, 8)  # what the runtimes of those operators read
    onnx.checker.check_model(model, full_check=True)
    return model


def _same_but_for_types(name: str, opset: int, version: int) -> bool:
    """Tell whether an operator takes the same attributes and inputs: it came again for more types."""
    import onnx

    try:
        old, new = (onnx.defs.get_schema(name, number) for number in (opset, version))
    except onnx.defs.SchemaError:
        return False
    return set(old.attributes) == set(new.attributes) and len(old.inputs) == len(new.inputs)


def opened(content: bytes) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Return a function that gives ONNX Runtime's scores [B] on the CPU for images [B, 3, S, S]."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def score(images: NDArray[np.float32]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = session.run([OUTPUT], {INPUT: images})[0]
        return found

    return score


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
    score, largest = opened(content), 0.0
    for images in batches:
        with torch.inference_mode():
            expected = method.score(torch.from_numpy(images)).numpy()
        apart = np.abs(score(images) - expected)
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
