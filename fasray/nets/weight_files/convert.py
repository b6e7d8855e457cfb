"""Make a safetensors file with fasray's names from a published weights file, or say what such a file is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import safetensors.torch
from torch import Tensor

from fasray import storage
from fasray.errors import DataError, SpecError, did_you_mean
from fasray.nets.weight_files import architectures
from fasray.nets.weight_files.architectures import CLASSIFIERS, Misfit, misfit, tensors_of
from fasray.nets.weight_files.formats import FORMATS, Format
from fasray.nets.weight_files.tensors import TensorFile, read_tensors
from fasray.version import __version__

METADATA_KEY = "fasray"
"""Of a converted file: JSON with ``architecture``, ``format``, ``source_sha256`` and ``fasray``, its version."""


@dataclass(frozen=True)
class Recognised:
    """A weights file that is of an architecture."""

    file: TensorFile
    format: str
    """Whose names it has: a library, or ``fasray`` if it was converted."""
    architecture: str
    tensors: Mapping[str, Tensor]
    """float32, by fasray's names."""
    source_sha256: str
    """Of the file that a converted one was made from; else of the file itself."""
    note: str = ""
    """What the file does not say and its user must know."""

    @property
    def parameters(self) -> int:
        """How many of the numbers are trained."""
        return architectures.parameters(self.tensors)

    @property
    def as_it_is(self) -> bool:
        """Whether the file loads without being converted."""
        more = [name for name in self.file.tensors if name not in self.tensors]
        return len(self.file.tensors) - len(more) == len(self.tensors) and all(
            name.startswith(CLASSIFIERS) for name in more
        )


def recognise(where: str, architecture: str = "", width: float = 1.0) -> Recognised:
    """Read a weights file and find out by names and shapes what it is.

    Args:
        where: path or URI.
        architecture: the only one that will do; left out: the one that fits.
        width: of the networks, 1 for published ones.

    Raises:
        DataError: the file is missing or damaged, would run code, or is of no architecture of fasray's; tensors that
            are missing, unexpected or of another shape are named.
        SpecError: there is no such architecture.
    """
    if architecture and architecture not in architectures.names():
        raise SpecError(
            f"unknown architecture {architecture!r}", remedy=did_you_mean(architecture, architectures.names())
        )
    file = read_tensors(where)
    form = _format_of(file)
    tensors, unknown = form.convert(file.tensors, where)
    candidates = [architecture] if architecture else _candidates(form)
    compared = {name: misfit(tensors_of(name, width), tensors) for name in candidates}
    nearest = min(compared, key=lambda name: len(compared[name]))
    if compared[nearest] or unknown:
        raise _no_fit(where, form, nearest, compared[nearest], unknown, width)
    card = _card(file)
    return Recognised(
        file=file,
        format="fasray" if card else _people_call(form, file),
        architecture=nearest,
        tensors=tensors,
        source_sha256=str(card.get("source_sha256") or file.sha256),
        note=_note(form, file) if not card else "",
    )


def convert(where: str, out: str, architecture: str = "", width: float = 1.0) -> Recognised:
    """Write the tensors of a weights file as safetensors with fasray's names; return what the file was.

    The same file gives the same bytes. Metadata name architecture, format and the source file's SHA-256. Position
    embeddings keep their grid; they are interpolated to a run's image size when they are loaded.

    Args:
        where: path or URI of the file.
        out: path or URI to write, ``.safetensors``.
        architecture: see :func:`recognise`.
        width: see :func:`recognise`.

    Raises:
        DataError: as :func:`recognise`.
        SpecError: ``out`` has another ending, or there is no such architecture.
        StorageError: the store does not answer.
    """
    if not out.endswith(".safetensors"):
        raise SpecError("the file to write must end in .safetensors", where=out)
    found = recognise(where, architecture, width)
    card = {
        "architecture": found.architecture,
        "format": found.format,
        "source_sha256": found.source_sha256,
        "fasray": __version__,
    }
    metadata = {METADATA_KEY: json.dumps(card, sort_keys=True)}  # one entry: their order would not be the same
    storage.write_bytes(out, safetensors.torch.save(dict(found.tensors), metadata))
    return found


def _card(file: TensorFile) -> dict[str, object]:
    """Return what a file that fasray wrote says of itself; nothing of another's."""
    try:
        card = json.loads(file.metadata.get(METADATA_KEY, "{}"))
    except ValueError:
        card = {}
    return card if isinstance(card, dict) else {}


def _format_of(file: TensorFile) -> Format:
    form = max(FORMATS, key=lambda form: form.matches(file.tensors))
    if 2 * form.matches(file.tensors) <= len(file.tensors):
        raise DataError(
            f"of {len(file.tensors)} tensors no format knows most; the first are "
            + ", ".join(sorted(file.tensors)[:3]),
            where=file.where,
            remedy=f"known are {', '.join(architectures.names())} in the names of their libraries",
        )
    return form


def _candidates(form: Format) -> Sequence[str]:
    return [name for name in architectures.names() if architectures.family(name) == form.family]


def _no_fit(where: str, form: Format, nearest: str, found: Misfit, unknown: Sequence[str], width: float) -> DataError:
    listed = Misfit(found.missing, (*unknown, *found.unexpected), found.shapes)
    return DataError(
        f"the names are {form.name}'s, but the tensors are not those of {nearest}, the nearest architecture; {listed}",
        where=where,
        remedy="take the whole file of a supported architecture (`fasray weights list`), or with --width W one of a "
        "smaller form"
        if width == 1
        else f"--width {width:g} must be the training.width of the file's network",
    )


def _people_call(form: Format, file: TensorFile) -> str:
    if form.family != "clip" or " or " not in form.name:
        return form.name
    return "OpenAI" if "input_resolution" in file.tensors or file.container == "TorchScript" else "open_clip"


def _note(form: Format, file: TensorFile) -> str:
    if _people_call(form, file) != "open_clip":
        return ""
    return (
        "open_clip's files do not say their activation: fasray's CLIP has that of OpenAI's weights (quickgelu); "
        "weights that were trained with another give wrong features"
    )
