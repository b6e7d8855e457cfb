"""What is wrong with a weights file is named, and nothing that a file says is run."""

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor, nn

from fasray.errors import DataError, SpecError
from fasray.nets import backbones
from fasray.nets.weight_files.convert import convert, recognise
from fasray.nets.weight_files.tensors import read_tensors
from fasray.nets.weights import fit_positions, load_backbone

WIDTH = 0.125
NAME = "dinov2_vit_s_14_reg"


@pytest.fixture
def state() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return dict(backbones.make(NAME, width=WIDTH, image_size=28).state_dict())


class Touch:
    """Runs a command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def archived(content: bytes, path: Path, *, script: bool = False) -> None:
    """Write a pickle where torch has it in its archives."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("w/data.pkl", content)
        if script:
            archive.writestr("w/code/__torch__.py", "")


def as_torch_saves(value: Any, path: Path) -> None:
    torch.save(value, path)


def as_torch_saved(value: Any, path: Path) -> None:
    torch.save(value, path, _use_new_zipfile_serialization=False)


def as_torchscript(value: Any, path: Path) -> None:
    archived(pickle.dumps(value, 2), path, script=True)


def in_another_protocol(value: Any, path: Path) -> None:
    archived(pickle.dumps(value, 4), path)


@pytest.mark.parametrize("write", [as_torch_saves, as_torch_saved, as_torchscript, in_another_protocol])
def test_a_file_that_would_run_a_command_is_refused(write: Callable[[Any, Path], None], tmp_path: Path) -> None:
    canary, path = tmp_path / "canary", tmp_path / "w.pt"
    write({"number": 1, "command": Touch(canary)}, path)
    with pytest.raises(DataError, match=r"asks for posix\.system.*not run"):
        read_tensors(str(path))
    assert not canary.exists()
    pickle.loads(pickle.dumps(Touch(canary)))  # noqa: S301 - our own; it shows that reading it as a pickle runs `touch`
    assert canary.exists(), "else this test proves nothing"


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"\x80\x02cbuiltins\neval\nX\x03\x00\x00\x001+1\x85R.", "builtins.eval"),
        (b"\x80\x02ctorch\nload\nX\x01\x00\x00\x00x\x85R.", "torch.load"),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}b.", "attributes of a value"),
        (b"\x80\x02c__torch__\nM\n)\x81]b.", "attributes of a value"),
    ],
)
def test_what_is_no_tensor_is_refused_by_name(content: bytes, named: str, tmp_path: Path) -> None:
    archived(content, tmp_path / "w.pt", script=True)
    with pytest.raises(DataError, match=named):
        read_tensors(str(tmp_path / "w.pt"))


def storage_of(data: bytes, size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> bytes:
    """Return an archive whose only tensor is such a view of these bytes."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            return ("storage", torch.FloatStorage, "0", "cpu", len(data) // 4) if value is storage else None

    class View:
        def __reduce__(self) -> Any:
            return torch._utils._rebuild_tensor_v2, (storage, offset, size, stride, False, {})

    storage, written, archive = object(), io.BytesIO(), io.BytesIO()
    Pickler(written, 2).dump({"a": View()})
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("w/data.pkl", written.getvalue())
        file.writestr("w/data/0", data)
    return archive.getvalue()


def test_no_tensor_reads_beyond_its_storage(tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(storage_of(bytes(24), (2, 2), (1, 2), 1))
    assert read_tensors(str(tmp_path / "w.pt")).tensors["a"].tolist() == [[0, 0], [0, 0]]
    for size, stride, offset in (((2, 4), (4, 1), 0), ((6,), (1,), 1), ((2,), (-1,), 1), ((2**40,), (0,), 0)):
        (tmp_path / "w.pt").write_bytes(storage_of(bytes(24), size, stride, offset))
        with pytest.raises(DataError, match="does not lie in its storage"):
            read_tensors(str(tmp_path / "w.pt"))


@pytest.mark.parametrize("kind", ["safetensors", "torch.save", "old torch.save"])
def test_a_file_that_is_cut_off_or_damaged_is_named(kind: str, state: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "w"
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "torch.save")
    data = path.read_bytes()
    for end in (0, 7, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:end])
        with pytest.raises(DataError, match="w: not a readable weights file") as caught:
            read_tensors(str(path))
        assert "cut off" in caught.value.remedy
    if kind == "torch.save":  # the only one with checksums
        middle = len(data) // 2
        path.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
        with pytest.raises(DataError, match="CRC"):
            read_tensors(str(path))


def refusal(state: dict[str, Tensor], folder: Path) -> str:
    save_file({name: tensor.contiguous().clone() for name, tensor in state.items()}, folder / "w.safetensors")
    with pytest.raises(DataError) as caught:
        convert(str(folder / "w.safetensors"), str(folder / "out.safetensors"), width=WIDTH)
    assert not (folder / "out.safetensors").exists()
    return str(caught.value)


def test_renamed_missing_and_misshapen_tensors_are_named(state: dict[str, Tensor], tmp_path: Path) -> None:
    renamed = {name.replace("blocks.2.norm1.weight", "blocks.2.norm3.weight"): value for name, value in state.items()}
    said = refusal(renamed, tmp_path)
    assert f"the names are timm's, but the tensors are not those of {NAME}" in said
    assert "missing: blocks.2.norm1.weight; unexpected: blocks.2.norm3.weight" in said
    assert "different shapes: norm.bias is (47,)" in refusal({**state, "norm.bias": torch.zeros(47)}, tmp_path)
    half = {name: value for name, value in state.items() if not name.startswith("blocks.3.")}
    assert "missing: blocks.3.norm1.weight, blocks.3.norm1.bias" in refusal(half, tmp_path)
    assert "norm.weight has values that are not finite" in refusal(
        {**state, "norm.weight": state["norm.weight"] / 0}, tmp_path
    )
    other = {f"layer_{number}.kernel": torch.zeros(1) for number in range(3)}
    assert "the first are layer_0.kernel, layer_1.kernel, layer_2.kernel" in refusal(other, tmp_path)


def test_queries_keys_and_values_must_belong_together(tmp_path: Path) -> None:
    prefix = "vit.encoder.layer.0.attention.attention"
    parts = {f"{prefix}.{name}.weight": torch.zeros(48, 48) for name in ("query", "key")}
    assert "q (48, 48), k (48, 48), v missing" in refusal(parts, tmp_path)
    short = {**parts, f"{prefix}.value.weight": torch.zeros(47, 48)}
    assert "v (47, 48)" in refusal(short, tmp_path)


def test_one_file_gives_one_result_that_says_what_it_was_made_of(state: dict[str, Tensor], tmp_path: Path) -> None:
    half = {name: value.half() for name, value in state.items()}
    source, first, second = tmp_path / "w.pth", tmp_path / "1.safetensors", tmp_path / "2.safetensors"
    torch.save({**half, "head.weight": torch.zeros(5, 48)}, source)
    found = convert(str(source), str(first), width=WIDTH)
    assert found.parameters == sum(value.numel() for value in state.values())
    convert(str(source), str(second), width=WIDTH)
    assert first.read_bytes() == second.read_bytes()
    assert {value.dtype for value in load_file(first).values()} == {torch.float32}
    with safe_open(first, "pt") as opened:
        card = json.loads(opened.metadata()["fasray"])
    assert (card["architecture"], card["format"], card["source_sha256"]) == (NAME, "timm", found.file.sha256)
    save_file(half, tmp_path / "other.safetensors", {"fasray": "not ours"})
    assert recognise(str(tmp_path / "other.safetensors"), width=WIDTH).format == "timm"
    again = recognise(str(first), width=WIDTH)
    assert (again.format, again.source_sha256) == ("fasray", found.file.sha256)
    assert all(torch.equal(value, half[name].float()) for name, value in again.tensors.items())


def test_what_is_asked_for_must_be_there(state: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(DataError, match=r"not those of vit_s_14, .*; unexpected: reg_token"):
        recognise(str(tmp_path / "w.safetensors"), "vit_s_14", WIDTH)
    with pytest.raises(SpecError, match="did you mean 'vit_s_14'"):
        recognise(str(tmp_path / "w.safetensors"), "vit_s14")
    with pytest.raises(SpecError, match=r"must end in \.safetensors"):
        convert(str(tmp_path / "w.safetensors"), str(tmp_path / "w.pt"))


@pytest.mark.parametrize("first", [0, 1])
def test_position_embeddings_are_interpolated_as_timm_does(first: int) -> None:
    torch.manual_seed(2)
    theirs = torch.randn(1, first + 16, 8)
    for side in (2, 4, 7):
        shape = (1, first + side * side, 8)
        expected = resample_abs_pos_embed(theirs, [side, side], num_prefix_tokens=first)
        torch.testing.assert_close(fit_positions(theirs, shape), expected)
        torch.testing.assert_close(fit_positions(theirs[0], shape[1:]), expected[0])
    with pytest.raises(DataError, match="no square"):
        fit_positions(theirs[:, first:][:, :11], (1, 16, 8))
    with pytest.raises(DataError, match="in the network only" if not first else "in the file only"):
        fit_positions(theirs, (1, 16 + 1 - first, 8))


@torch.no_grad()
def test_weights_load_at_another_image_size(state: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(state, tmp_path / "w.safetensors")
    network: nn.Module = backbones.make(NAME, width=WIDTH, image_size=56)
    load_backbone(network, str(tmp_path / "w.safetensors"), architecture=NAME)
    loaded = network.state_dict()
    assert torch.equal(loaded["blocks.0.attn.qkv.weight"], state["blocks.0.attn.qkv.weight"])
    expected = resample_abs_pos_embed(state["pos_embed"], [4, 4], num_prefix_tokens=0)
    torch.testing.assert_close(loaded["pos_embed"], expected)
