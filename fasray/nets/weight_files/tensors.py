"""Read the tensors of a weights file without running anything that the file says.

Safetensors hold numbers only. What ``torch.save`` and TorchScript write are zip archives with a pickle, which may call
any function; here it is read by an unpickler that knows tensors, numbers, texts and containers, and refuses everything
else by name. Nothing is imported, and the code of a TorchScript archive is not looked at.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import pickle
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from fasray import storage
from fasray.errors import DataError

Container = Literal["safetensors", "torch.save", "TorchScript"]

_WRAPPERS = ("state_dict", "model_state_dict", "model", "teacher")
"""Keys under which training programs keep a state dict next to other things; the first that is there is taken."""

_DEEPEST = 100


@dataclass(frozen=True)
class TensorFile:
    """What a weights file holds."""

    where: str
    """Path or URI."""
    sha256: str
    """Of the whole file."""
    container: Container
    tensors: Mapping[str, Tensor]
    """By name; on the CPU, of the file's own types."""
    metadata: Mapping[str, str]
    """Of a safetensors file; else empty."""


def read_tensors(where: str) -> TensorFile:
    """Read all tensors of a file; of a TorchScript archive, those of its module tree by their dotted names.

    Raises:
        DataError: no such file, or it is damaged, or it would run code, or it holds no tensors by name.
        StorageError: the store does not answer.
    """
    return parse_tensors(storage.read_bytes(where), where)


def parse_tensors(data: bytes, where: str) -> TensorFile:
    """Read the tensors of a file that is in memory; see :func:`read_tensors`. The kind is found by content."""
    digest = hashlib.sha256(data).hexdigest()
    metadata: dict[str, str] = {}
    container: Container
    try:
        if data.startswith(b"PK"):
            container, found = _read_archive(data)
        elif _is_legacy(data):
            container, found = "torch.save", _read_legacy(data)
        else:
            container, found = "safetensors", safetensors.torch.load(data)
            metadata = safetensors_metadata(data)
    except _NotAllowedError as error:
        raise _runs_code(where, str(error)) from error
    except Exception as error:  # on damaged bytes these readers raise many kinds of exceptions
        raise DataError(
            f"not a readable weights file: {_reason(error)}",
            where=where,
            remedy="it is damaged or cut off, or not a weights file: compare its size and checksum with its source's",
        ) from error
    return TensorFile(where, digest, container, _by_name(found, where), metadata)


def _runs_code(where: str, name: str) -> DataError:
    return DataError(
        f"the file asks for {name}, which is neither a tensor nor a plain container; it was not run",
        where=where,
        remedy="where the file is from a source that you trust, save its state dict alone, as .safetensors",
    )


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _is_legacy(data: bytes) -> bool:
    """Whether this is a bare pickle, as ``torch.save`` wrote it before version 1.6, and not safetensors."""
    return data[:1] == b"\x80" and data[8:9] != b"{"


def safetensors_metadata(data: bytes) -> dict[str, str]:
    """Return the metadata in the bytes of a safetensors file; safetensors itself reads it from local files alone."""
    size = int.from_bytes(data[:8], "little")
    return dict(json.loads(data[8 : 8 + size]).get("__metadata__", {}))


def _by_name(found: Any, where: str) -> dict[str, Tensor]:
    """Return the tensors of a state dict, also of one within a training program's checkpoint."""
    if isinstance(found, Mapping):
        for key in _WRAPPERS:
            if isinstance(found.get(key), Mapping):
                found = found[key]
                break
    if isinstance(found, Mapping) and found and all(isinstance(value, Tensor) for value in found.values()):
        return {str(name): tensor for name, tensor in found.items()}
    raise DataError(
        "the file is not a state dict (names to tensors)",
        where=where,
        remedy="save model.state_dict() alone, without optimizer or other entries",
    )


class _NotAllowedError(pickle.UnpicklingError):
    """A pickle asks for something that is neither a tensor nor a plain container."""


class _Node:
    """A module of a TorchScript archive, as far as it holds tensors."""

    state: Mapping[str, Any] = {}

    def tensors(self, prefix: str, depth: int = 0) -> Iterator[tuple[str, Tensor]]:
        if depth > _DEEPEST:
            raise pickle.UnpicklingError("modules within modules without end")
        for name, value in self.state.items():
            if isinstance(value, Tensor):
                yield prefix + name, value
            elif isinstance(value, _Node):
                yield from value.tensors(f"{prefix}{name}.", depth + 1)


_TYPES = {
    "DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
}  # fmt: skip


def _rebuild_tensor(values: Tensor, offset: int, size: Sequence[int], stride: Sequence[int], *rest: Any) -> Tensor:
    """Return a view of a storage; no place outside it is ever read, and none twice."""
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if min((offset, *size, *stride)) < 0 or (0 not in size and last >= len(values)) or math.prod(size) > len(values):
        raise pickle.UnpicklingError(f"a tensor of shape {tuple(size)} does not lie in its storage")
    return torch.as_strided(values, tuple(size), tuple(stride), offset)


def _first(value: Any, *rest: Any) -> Any:
    return value


_FUNCTIONS = {
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _first,
    ("torch.jit._pickle", "build_intlist"): _first,
    ("torch.jit._pickle", "build_doublelist"): _first,
    ("torch.jit._pickle", "build_boollist"): _first,
    ("torch.jit._pickle", "build_tensorlist"): _first,
    ("torch.jit._pickle", "restore_type_tag"): _first,
    ("collections", "OrderedDict"): OrderedDict,
}
"""All that a pickle can call; each is ours, or a container."""


_OPERATIONS = {
    pickle.PROTO, pickle.FRAME, pickle.STOP, pickle.MARK, pickle.GLOBAL, pickle.STACK_GLOBAL, pickle.REDUCE,
    pickle.NEWOBJ, pickle.BUILD, pickle.BINPERSID, pickle.MEMOIZE, pickle.BINPUT, pickle.LONG_BINPUT, pickle.BINGET,
    pickle.LONG_BINGET, pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.BININT, pickle.BININT1, pickle.BININT2,
    pickle.LONG1, pickle.BINFLOAT, pickle.BINUNICODE, pickle.SHORT_BINUNICODE, pickle.EMPTY_TUPLE, pickle.TUPLE,
    pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3, pickle.EMPTY_LIST, pickle.APPEND, pickle.APPENDS, pickle.EMPTY_DICT,
    pickle.SETITEM, pickle.SETITEMS,
}  # fmt: skip
"""Of the pickle machine; what torch writes for tensors and containers."""


class _TensorUnpickler(pickle._Unpickler):
    """Builds tensors, numbers, texts and containers; any other name that a pickle asks for is refused."""

    stack: list[Any]
    dispatch: ClassVar = {
        key: handler for key, handler in pickle._Unpickler.dispatch.items() if bytes([key]) in _OPERATIONS
    }

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(io.BytesIO(archive.read(f"{root}data.pkl")))
        self._archive, self._root = archive, root
        self._storages: dict[tuple[torch.dtype, str, int], Tensor] = {}

    def _build(self) -> None:
        """Give a module its contents; the attributes of a dictionary are passed over, and nothing else has any."""
        state = self.stack.pop()
        if isinstance(self.stack[-1], _Node) and isinstance(state, dict):
            self.stack[-1].state = state
        elif not isinstance(self.stack[-1], OrderedDict):
            raise _NotAllowedError("attributes of a value")

    dispatch[pickle.BUILD[0]] = _build  # type: ignore[assignment]  # called with the unpickler itself

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _FUNCTIONS:
            return _FUNCTIONS[module, name]
        if module == "torch" and name in _TYPES:
            return _TYPES[name]
        if module == "__torch__" or module.startswith("__torch__."):
            return _Node
        raise _NotAllowedError(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Tensor:
        _, dtype, key, _, length = pid
        return self._storage(dtype, key, length)

    def _storage(self, dtype: torch.dtype, key: str, length: int) -> Tensor:
        if (dtype, key, length) not in self._storages:
            data = self._archive.read(f"{self._root}data/{key}")
            if len(data) != length * dtype.itemsize:
                raise pickle.UnpicklingError(f"data/{key} has {len(data)} bytes, expected {length * dtype.itemsize}")
            values = torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0, dtype=dtype)
            self._storages[dtype, key, length] = values
        return self._storages[dtype, key, length]


def _read_legacy(data: bytes) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a pickle's protocol
        try:
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:  # its text advises to run the file
            asked = re.search(r"GLOBAL (\S+)", str(error))
            raise _NotAllowedError(asked[1] if asked else "an object") from error


def _read_archive(data: bytes) -> tuple[Container, Any]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        root = next((name.removesuffix("data.pkl") for name in names if re.fullmatch(r"[^/]+/data\.pkl", name)), "")
        if not root:
            raise pickle.UnpicklingError("a zip archive without data.pkl")
        if sum(entry.file_size for entry in archive.infolist() if "/code/" not in entry.filename) > len(data):
            raise pickle.UnpicklingError("a compressed archive, which torch does not write")
        if f"{root}byteorder" in names and archive.read(f"{root}byteorder") != b"little":
            raise pickle.UnpicklingError("its numbers are big-endian")
        script = any(name.startswith(f"{root}code/") for name in names)
        found = _TensorUnpickler(archive, root).load()
        return "TorchScript" if script else "torch.save", dict(found.tensors("")) if isinstance(found, _Node) else found
