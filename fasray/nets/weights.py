"""Initial weights of a backbone: none, ImageNet's, or a file's.

A sweep says ``backbone_weights: none | imagenet | PATH or URI``, or has a map from architecture to one of these; an
address may end in ``#sha256=<hex>``, which the file must then have. Files are safetensors, or state dicts read without
unpickling objects; ``fasray weights convert`` makes them from the files of other libraries.

A run keeps a copy of all weights that it reads: the driver of the sweep reads each once, and trials on other machines
then need neither the file nor the internet.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional

from fasray import storage
from fasray.errors import DataError
from fasray.nets.weight_files.architectures import CLASSIFIERS, misfit
from fasray.nets.weight_files.tensors import parse_tensors, safetensors_metadata

COPY_KEY = "fasray"
"""Of the metadata of a run's copies: JSON with ``weights`` and the ``sha256`` of what they are a copy of."""
TOWER = "visual."
"""Prefix of CLIP's image tower, which also loads alone."""


def load_backbone(backbone: nn.Module, weights: str, copies: str = "", *, architecture: str = "resnet18") -> None:
    """Fill ``backbone`` in place with the weights that ``weights`` names; ``none`` leaves it as it is.

    Position embeddings of another image size are interpolated. Of CLIP's two towers, a backbone that is the image tower
    takes its part.

    Args:
        backbone: a module with the file's state-dict names, e.g. :class:`fasray.nets.resnet.ResNet18`.
        weights: ``none``, ``imagenet`` (torchvision's, from its download cache), or a path or URI.
        copies: folder or URI of copies; a copy that is there is read instead, one that is missing is written; empty:
            no copies.
        architecture: name of the network that the backbone is; for ``imagenet``, torchvision's.

    Raises:
        DataError: no such file, a different checksum, not a weights file, or names or shapes that do not fit.
    """
    if weights == "none":
        return
    copy = copy_of(weights, architecture, copies) if copies else ""
    copied = bool(copy) and storage.exists(copy)
    if copied:
        state, digest = _read_copy(copy), ""
    elif weights == "imagenet":
        state, digest = _imagenet(architecture)
    else:
        state, digest = _read(weights)
    own = backbone.state_dict()
    kept = _fitted(own, state, weights, architecture)
    if copy and not copied:
        apart = {name: tensor.contiguous().clone() for name, tensor in state.items()}  # such files share no memory
        card = {"weights": weights, "sha256": digest}
        storage.write_bytes(copy, safetensors.torch.save(apart, {COPY_KEY: json.dumps(card)}))
    backbone.load_state_dict(kept, strict=False)


def copy_of(weights: str, architecture: str, folder: str) -> str:
    """Return the path or URI of a run's copy of weights; see :func:`load_backbone`."""
    kind = architecture if weights == "imagenet" else ""
    name = hashlib.sha256(f"{weights} {kind}".encode()).hexdigest()[:24]
    return storage.join(folder, f"{name}.safetensors")


def source_of_copy(data: bytes) -> str:
    """Return the SHA-256 of the file that a copy was made of; empty if an older version of fasray made it."""
    return str(json.loads(safetensors_metadata(data).get(COPY_KEY, "{}")).get("sha256", ""))


@functools.lru_cache(maxsize=2)
def _read_copy(uri: str) -> Mapping[str, Tensor]:
    """Read a copy, which never changes; a process that runs one trial after another reads it once."""
    return _read(uri)[0]


def _imagenet(architecture: str) -> tuple[Mapping[str, Tensor], str]:
    from torchvision.models import get_model_weights  # slow to import, and most runs do not need it

    try:
        weights: Any = get_model_weights(architecture).IMAGENET1K_V1
        state: Mapping[str, Tensor] = weights.get_state_dict(
            progress=False, check_hash=True, map_location="cpu", weights_only=True
        )
        file = storage.join(torch.hub.get_dir(), "checkpoints", weights.url.rpartition("/")[2])
        digest = hashlib.sha256(storage.read_bytes(file)).hexdigest()
    except Exception as error:  # a download and torch's reader fail in a dozen ways, with no common class
        raise DataError(
            f"the ImageNet weights can be neither read from torchvision's cache nor downloaded: {_reason(error)}",
            where="training.backbone_weights: imagenet",
            remedy="download them on a machine with internet access and give the file's path, "
            "delete a damaged file from the cache, or set backbone_weights: none",
        ) from error
    return state, digest


def _read(address: str) -> tuple[Mapping[str, Tensor], str]:
    uri, _, wanted = address.partition("#sha256=")
    data = storage.read_bytes(uri)
    found = hashlib.sha256(data).hexdigest()
    if wanted and found != wanted.lower():
        raise DataError(
            f"the weights have SHA-256 {found}, expected {wanted}",
            where=uri,
            remedy="give the right file, or correct the checksum",
        )
    return parse_tensors(data, uri).tensors, found


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _fitted(
    own: Mapping[str, Tensor], state: Mapping[str, Tensor], weights: str, architecture: str
) -> dict[str, Tensor]:
    """Return what of a file the backbone takes.

    Raises:
        DataError: it does not fill the backbone.
    """
    kept = {name: tensor for name, tensor in state.items() if name in own or not name.startswith(CLASSIFIERS)}
    if any(name.startswith(TOWER) for name in kept) and not any(name.startswith(TOWER) for name in own):
        tower = {name.removeprefix(TOWER): tensor for name, tensor in kept.items() if name.startswith(TOWER)}
        kept = {name: tensor for name, tensor in tower.items() if name in own or name != "proj"}
    if found := misfit(own, kept):
        raise DataError(
            f"the weights do not fit this backbone; {found}",
            where=weights,
            remedy="set training.width: 1"
            if found.shapes
            else f"they must be those of {architecture}, with fasray's names: `fasray weights list FILE` says what a "
            "file is, and `fasray weights convert` gives it these names",
        )
    return {name: fit_positions(tensor, own[name].shape) for name, tensor in kept.items()}


def fit_positions(embedding: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the position embedding of a square grid of patches, interpolated to another square grid.

    Bicubic with antialiasing, as timm does it. Any other tensor of that shape already is returned as it is.

    Args:
        embedding: [1, N, C] or [N, C]; N = g * g patches, or one more for the class token, which comes first and stays.
        shape: with another N.

    Raises:
        DataError: patches of one of the two do not make a square, or the class token has a position in one only.
    """
    if embedding.shape == torch.Size(shape):
        return embedding
    rows_NC = embedding.reshape(-1, embedding.shape[-1])
    (old, first), (new, own_first) = (_grid(number) for number in (len(rows_NC), shape[-2]))
    if first != own_first:
        raise DataError(
            f"the class token has a position embedding in {'the file' if first else 'the network'} only",
            remedy="take weights of this architecture",
        )
    map_1CGG = rows_NC[first:].float().T.reshape(1, -1, old, old)
    map_1CGG = functional.interpolate(map_1CGG, (new, new), mode="bicubic", align_corners=False, antialias=True)
    return torch.cat([rows_NC[:first], map_1CGG.flatten(2)[0].T.to(embedding.dtype)]).reshape(tuple(shape))


def _grid(positions: int) -> tuple[int, int]:
    """Return the side of the grid, and how many positions are before those of its patches."""
    for first in (0, 1):
        side = math.isqrt(positions - first)
        if side and side * side == positions - first:
            return side, first
    raise DataError(
        f"{positions} position embeddings are no square of patches",
        remedy="take weights that were trained on square images",
    )
