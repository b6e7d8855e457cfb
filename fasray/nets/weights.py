"""Initial weights of a backbone: none, ImageNet's, or a file's.

A sweep says ``backbone_weights: none | imagenet | PATH or URI``; an address may end in ``#sha256=<hex>``, which the
file must then have. Files are safetensors, or state dicts read without unpickling objects.

A run keeps a copy of all weights that it reads: the driver of the sweep reads each once, and trials on other machines
then need neither the file nor the internet.
"""

from __future__ import annotations

import functools
import hashlib
import io
from collections.abc import Mapping
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from fasray import storage
from fasray.errors import DataError

CLASSIFIER = "fc."
"""Prefix of torchvision's 1000-class layer, which a feature extractor does not have."""


def load_backbone(backbone: nn.Module, weights: str, copies: str = "", *, architecture: str = "resnet18") -> None:
    """Fill ``backbone`` in place with the weights that ``weights`` names; ``none`` leaves it as it is.

    Args:
        backbone: a module with the file's state-dict names, e.g. :class:`fasray.nets.resnet.ResNet18`.
        weights: ``none``, ``imagenet`` (torchvision's, from its download cache), or a path or URI.
        copies: folder or URI of copies; a copy that is there is read instead, one that is missing is written; empty:
            no copies.
        architecture: torchvision's name of the network that the backbone is.

    Raises:
        DataError: no such file, a different checksum, not a weights file, or names or shapes that do not fit.
    """
    if weights == "none":
        return
    copy = _copy_of(weights, architecture, copies) if copies else ""
    copied = bool(copy) and storage.exists(copy)
    if copied:
        state = _read_copy(copy)
    elif weights == "imagenet":
        state = _imagenet(architecture)
    else:
        state = _read(weights)
    kept = {name: tensor for name, tensor in state.items() if not name.startswith(CLASSIFIER)}
    _check(backbone.state_dict(), kept, weights, architecture)
    if copy and not copied:
        apart = {name: tensor.contiguous().clone() for name, tensor in state.items()}  # such files share no memory
        storage.write_bytes(copy, safetensors.torch.save(apart))
    backbone.load_state_dict(kept, strict=False)


def _copy_of(weights: str, architecture: str, folder: str) -> str:
    kind = architecture if weights == "imagenet" else ""
    name = hashlib.sha256(f"{weights} {kind}".encode()).hexdigest()[:24]
    return storage.join(folder, f"{name}.safetensors")


@functools.lru_cache(maxsize=2)
def _read_copy(uri: str) -> Mapping[str, Tensor]:
    """Read a copy, which never changes; a process that runs one trial after another reads it once."""
    return _read(uri)


def _imagenet(architecture: str) -> Mapping[str, Tensor]:
    from torchvision.models import get_model_weights  # slow to import, and most runs do not need it

    weights: Any = get_model_weights(architecture)
    try:
        state: Mapping[str, Tensor] = weights.IMAGENET1K_V1.get_state_dict(
            progress=False, check_hash=True, map_location="cpu", weights_only=True
        )
    except Exception as error:  # a download and torch's reader fail in a dozen ways, with no common class
        raise DataError(
            f"the ImageNet weights can be neither read from torchvision's cache nor downloaded: {_reason(error)}",
            where="training.backbone_weights: imagenet",
            remedy="download them on a machine with internet access and give the file's path, "
            "delete a damaged file from the cache, or set backbone_weights: none",
        ) from error
    return state


def _read(address: str) -> Mapping[str, Tensor]:
    uri, _, wanted = address.partition("#sha256=")
    data = storage.read_bytes(uri)
    found = hashlib.sha256(data).hexdigest()
    if wanted and found != wanted.lower():
        raise DataError(
            f"the weights have SHA-256 {found}, expected {wanted}",
            where=uri,
            remedy="give the right file, or correct the checksum",
        )
    try:
        if uri.endswith(".safetensors"):
            state = safetensors.torch.load(data)
        else:
            state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # on damaged bytes torch's reader raises many kinds of exceptions
        raise DataError(
            f"not a readable weights file: {_reason(error)}",
            where=uri,
            remedy="save a plain state dict, or a .safetensors file",
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise DataError(
            "the file is not a state dict (names to tensors)",
            where=uri,
            remedy="save model.state_dict() alone, without optimizer or other entries",
        )
    return state


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _check(own: Mapping[str, Tensor], given: Mapping[str, Tensor], weights: str, architecture: str) -> None:
    """Refuse weights that do not fill the backbone; BatchNorm's batch counters may be missing (old files lack them)."""
    missing = [name for name in own if name not in given and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in given if name not in own]
    shapes = [
        f"{name} is {tuple(given[name].shape)} in the file and {tuple(own[name].shape)} in the backbone"
        for name in own
        if name in given and given[name].shape != own[name].shape
    ]
    findings = [
        f"{kind}: {', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}"
        for kind, names in (("missing", missing), ("unexpected", unexpected), ("different shapes", shapes))
        if names
    ]
    if findings:
        remedy = "set training.width: 1" if shapes else f"the names must be those of torchvision's {architecture}"
        raise DataError(f"the weights do not fit this backbone; {'; '.join(findings)}", where=weights, remedy=remedy)
