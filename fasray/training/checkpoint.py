"""Weights and optimizer state on disk: safetensors for the numbers, JSON for the rest; loading runs no code.

A checkpoint is ``step-00000400.optimizer.safetensors``, ``step-00000400.safetensors`` (the networks) and then
``step-00000400.json``, which names the SHA-256 of both and so commits them. Kept are the newest, and without its
optimizers the best by source-dev AUC. What is damaged is passed over.

Frozen parameters that still are what the initial weights made them are left out; the card has their SHA-256, by which
they are checked when the weights are loaded again.
"""

from __future__ import annotations

import hashlib
import logging
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError, field_serializer
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from fasray import storage
from fasray.errors import DataError
from fasray.methods.base import Method
from fasray.runs.layout import checkpoint_name, checkpoint_step
from fasray.runs.reading import Reading, best
from fasray.training.trial import Trial
from fasray.version import __version__

log = logging.getLogger(__name__)

_FORMAT = 2
_FORMATS = (1, 2)
"""1 had networks and optimizers in one file."""
_NETWORKS, _OPTIMIZERS = "networks", "optimizers"
_NETWORK_FILE, _OPTIMIZER_FILE = "safetensors", "optimizer.safetensors"


class CheckpointCard(BaseModel):
    """The JSON file of a checkpoint: everything but the tensors."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    format: int
    step: int
    sha256: str
    """Of the file with the networks."""
    optimizer_sha256: str = ""
    """Of the file with the optimizers; empty in format 1."""
    frozen: dict[str, str] = {}
    """SHA-256 of each parameter that was left out, by name."""
    trial: dict[str, Any]
    domains: tuple[str, ...]
    optimizers: dict[str, dict[str, Any]]
    """By optimizer: ``groups`` (the param groups) and ``state`` (what of it is no tensor, by parameter number)."""
    history: tuple[Reading, ...]
    """Figures only: what an evaluation cost differs from run to run."""
    versions: dict[str, str]

    @field_serializer("history")
    def _figures(self, history: tuple[Reading, ...]) -> list[dict[str, Any]]:
        return [reading.model_dump(include={"step", "source_dev_auc", "source_dev_loss"}) for reading in history]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in memory, found whole."""

    card: CheckpointCard
    tensors: Mapping[str, Tensor]
    resumable: bool = False
    """The state of the optimizers is there too."""

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return self.card.step


def frozen_parameters(method: Method) -> dict[str, str]:
    """Return the SHA-256 of each parameter of a built method that takes no gradient, by its name in the networks."""
    return {name: _sha256(value) for name, value in method.networks.named_parameters() if not value.requires_grad}


def save(
    folder: str,
    method: Method,
    trial: Trial,
    domains: Sequence[str],
    history: Sequence[Reading],
    rebuilt: Mapping[str, str] | None = None,
) -> None:
    """Write a checkpoint of a built method after the last step of ``history``, then drop those no longer needed.

    Args:
        folder: local path or URI; made if need be.
        method: built; its networks and optimizers are stored.
        trial: what is being trained.
        domains: the training domains, in the order of their ids.
        history: source-dev figures of every evaluation so far, the present one last.
        rebuilt: parameters that initial weights make anew, as :func:`frozen_parameters` found them when the method had
            been built; those that are still frozen and the same are left out. None: there are no such weights.
    """
    step = history[-1].step
    frozen = frozen_parameters(method) if rebuilt else {}
    left_out = {name: sha256 for name, sha256 in frozen.items() if rebuilt and sha256 == rebuilt.get(name)}
    states, optimizers = _optimizer_states(method)
    sha256 = {_OPTIMIZER_FILE: _write(folder, step, _OPTIMIZER_FILE, save_tensors(states))}
    del states
    networks = {
        name: _stored(tensor)
        for name, tensor in _network_tensors(method).items()
        if name.removeprefix(f"{_NETWORKS}/") not in left_out
    }
    sha256[_NETWORK_FILE] = _write(folder, step, _NETWORK_FILE, save_tensors(networks))
    card = CheckpointCard(
        format=_FORMAT,
        step=step,
        sha256=sha256[_NETWORK_FILE],
        optimizer_sha256=sha256[_OPTIMIZER_FILE],
        frozen=left_out,
        trial=trial.model_dump(mode="json"),
        domains=tuple(domains),
        optimizers=optimizers,
        history=tuple(history),
        versions={"fasray": __version__, "torch": torch.__version__, "python": platform.python_version()},
    )
    _write(folder, step, "json", card.model_dump_json(indent=1).encode())
    best = {checkpoint_name(best_step(history), suffix) for suffix in (_NETWORK_FILE, "json")}
    _drop_all_but(folder, best | {checkpoint_name(step, suffix) for suffix in (*sha256, "json")})


def best_step(history: Sequence[Reading]) -> int:
    """Return the step of the best evaluation by source-dev AUC; ties go to the lower loss, then to the earlier."""
    found = best(history)
    assert found is not None  # noqa: S101 - no checkpoint is without an evaluation
    return found.step


def steps(folder: str) -> list[int]:
    """Return the steps of the checkpoints in ``folder``, ascending; damaged ones are among them."""
    found = (checkpoint_step(name) for name in storage.listing(folder) if name.endswith(".json"))
    return sorted(step for step in found if step is not None)


def read(folder: str, step: int, *, to_resume: bool = False) -> Checkpoint:
    """Read one checkpoint and check it.

    Args:
        folder: local path or URI.
        step: which.
        to_resume: the state of the optimizers is wanted too.

    Raises:
        DataError: it is missing or damaged, or its optimizers are not there any more and are wanted.
    """
    where = storage.join(folder, checkpoint_name(step, "json"))
    try:
        card = CheckpointCard.model_validate_json(storage.read_bytes(where))
    except ValidationError as error:
        raise DataError(f"the checkpoint's card is not readable: {error.errors()[0]['msg']}", where=where) from error
    if card.format not in _FORMATS or card.step != step:
        raise DataError(f"this card is of format {card.format} and step {card.step}", where=where)
    tensors = _read_tensors(folder, card, _NETWORK_FILE, card.sha256)
    if to_resume and card.optimizer_sha256:
        tensors |= _read_tensors(folder, card, _OPTIMIZER_FILE, card.optimizer_sha256)
    return Checkpoint(card, tensors, resumable=to_resume or not card.optimizer_sha256)


def _read_tensors(folder: str, card: CheckpointCard, suffix: str, sha256: str) -> dict[str, Tensor]:
    where = storage.join(folder, checkpoint_name(card.step, suffix))
    data = storage.read_bytes(where)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DataError("the tensors are not those that were written", where=where)
    try:
        return load_tensors(data)
    except SafetensorError as error:
        raise DataError(f"the tensors are not readable: {error}", where=where) from error


def newest(folder: str, method: Method, trial: Trial, candidates: Sequence[int]) -> Checkpoint | None:
    """Return the newest whole checkpoint of this trial to go on from with the built method; ``None``: there is none.

    Args:
        folder: local path or URI.
        method: built as the trial's.
        trial: whose checkpoints count.
        candidates: steps to consider.
    """
    for step in sorted(candidates, reverse=True):
        try:
            checkpoint = read(folder, step, to_resume=True)
            _check_fit(checkpoint, method, trial)
        except DataError as error:
            log.warning("checkpoint passed over: %s", error)
        else:
            return checkpoint
    return None


def restore(checkpoint: Checkpoint, method: Method) -> None:
    """Put a checkpoint into a built method, bit by bit: networks, and optimizers if they were read.

    Raises:
        DataError: it is not of such a method, or frozen parameters that it leaves out are others there; nothing has
            been changed then.
    """
    _check_shapes(checkpoint, method)
    with torch.no_grad():
        for name, tensor in _network_tensors(method).items():
            if name in checkpoint.tensors:
                tensor.copy_(checkpoint.tensors[name])
    if not checkpoint.resumable:
        return
    for name, optimizer in method.optimizers.items():
        stored = checkpoint.card.optimizers[name]
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        state: dict[int, dict[str, Any]] = {int(key): dict(value) for key, value in stored["state"].items()}
        prefix = f"{_OPTIMIZERS}/{name}/"
        for key, tensor in checkpoint.tensors.items():
            if key.startswith(prefix):
                number, entry = key.removeprefix(prefix).split("/", 1)
                state.setdefault(int(number), {})[entry] = _laid_out_like(tensor, parameters[int(number)])
        groups = [{key: _group_value(key, value) for key, value in group.items()} for group in stored["groups"]]
        optimizer.load_state_dict({"state": state, "param_groups": groups})


def _optimizer_states(method: Method) -> tuple[dict[str, Tensor], dict[str, dict[str, Any]]]:
    tensors: dict[str, Tensor] = {}
    optimizers: dict[str, dict[str, Any]] = {}
    for name, optimizer in method.optimizers.items():
        written = optimizer.state_dict()
        rest: dict[str, dict[str, Any]] = {}
        for number, entries in written["state"].items():
            rest[str(number)] = {key: value for key, value in entries.items() if not isinstance(value, Tensor)}
            for key, value in entries.items():
                if isinstance(value, Tensor):
                    tensors[f"{_OPTIMIZERS}/{name}/{number}/{key}"] = _stored(value)
        optimizers[name] = {"groups": written["param_groups"], "state": rest}
    return tensors, optimizers


def _network_tensors(method: Method) -> dict[str, Tensor]:
    return {f"{_NETWORKS}/{name}": tensor for name, tensor in method.networks.state_dict().items()}


def _stored(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)


def _laid_out_like(tensor: Tensor, parameter: Tensor) -> Tensor:
    """Give a buffer the memory layout of its parameter: kernels round alike only on like layouts."""
    if tensor.shape != parameter.shape:
        return tensor
    return torch.empty_like(parameter, dtype=tensor.dtype, device="cpu").copy_(tensor)


def _group_value(key: str, value: Any) -> Any:
    """JSON knows no tuples; optimizers write pairs (betas) as such, and parameter numbers as a list."""
    return tuple(value) if isinstance(value, list) and key != "params" else value


def _check_fit(checkpoint: Checkpoint, method: Method, trial: Trial) -> None:
    if checkpoint.card.trial.get("id") != trial.id:
        raise DataError(f"a checkpoint of trial {checkpoint.card.trial.get('id')}, not of {trial.id}")
    _check_shapes(checkpoint, method)


def _check_shapes(checkpoint: Checkpoint, method: Method) -> None:
    """Check all that :func:`restore` relies on, so that it cannot fail half-way."""
    left_out = checkpoint.card.frozen
    wanted = {
        name: tuple(tensor.shape)
        for name, tensor in _network_tensors(method).items()
        if name.removeprefix(f"{_NETWORKS}/") not in left_out
    }
    there = {
        name: tuple(tensor.shape) for name, tensor in checkpoint.tensors.items() if name.startswith(f"{_NETWORKS}/")
    }
    if wanted != there:
        first = sorted(set(wanted.items()) ^ set(there.items()))[0][0]
        raise DataError(f"a checkpoint of another network, see {first}")
    parameters = dict(method.networks.named_parameters())
    for name, sha256 in left_out.items():
        if name not in parameters or _sha256(parameters[name]) != sha256:
            raise DataError(
                f"the checkpoint leaves out {name}, which was frozen, and the initial weights now give another one",
                where="training.backbone_weights",
                remedy="give the weights that the trial began with",
            )
    groups = {
        name: [len(group["params"]) for group in optimizer.param_groups]
        for name, optimizer in method.optimizers.items()
    }
    stored = {
        name: [len(group["params"]) for group in entry["groups"]] for name, entry in checkpoint.card.optimizers.items()
    }
    if groups != stored:
        raise DataError("a checkpoint of other optimizers")


def _write(folder: str, step: int, suffix: str, data: bytes) -> str:
    """Write a file of a checkpoint and return its SHA-256."""
    storage.write_bytes(storage.join(folder, checkpoint_name(step, suffix)), data)
    return hashlib.sha256(data).hexdigest()


def _drop_all_but(folder: str, kept: set[str]) -> None:
    names = storage.listing(folder)
    for name in sorted(names):  # .json sorts before the others: no card is ever without its weights
        if checkpoint_step(name) is not None and name not in kept:
            storage.remove(storage.join(folder, name))


def _sha256(tensor: Tensor) -> str:
    return hashlib.sha256(_stored(tensor).reshape(-1).view(torch.uint8).numpy().data).hexdigest()
