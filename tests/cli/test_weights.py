"""``fasray weights``: what there is, what a file, a sweep and a run start from, and the converter."""

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file

from fasray.cli import cli
from fasray.errors import DataError
from fasray.nets import backbones
from fasray.nets.weight_files import architectures
from fasray.runs.layout import SPEC_FILE
from fasray.runs.weights import UsedWeights, write_weights


def called(*words: object) -> Result:
    return CliRunner().invoke(cli, ["weights", *map(str, words)], catch_exceptions=False)


@pytest.fixture
def old_file(tmp_path: Path) -> Path:
    """A ResNet-50 as a program left it that trained in parallel."""
    torch.manual_seed(1)
    state = backbones.make("resnet50", width=0.125, image_size=32).state_dict()
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}, tmp_path / "old.pth")
    return tmp_path / "old.pth"


def test_a_file_is_converted_and_both_are_described(old_file: Path, tmp_path: Path) -> None:
    before = called("list", old_file, "--width", 0.125).output
    assert "architecture  resnet50" in before
    assert "to use it     fasray weights convert FILE OUT.safetensors" in before
    said = called("convert", old_file, tmp_path / "new.safetensors", "--width", 0.125)
    assert said.exit_code == 0
    assert f"{{backbone_weights: {{resnet50: {tmp_path / 'new.safetensors'}}}}}" in said.output
    after = called("list", tmp_path / "new.safetensors", "--width", 0.125).output
    digest = before.split("sha256")[1].split()[0]
    assert f"source sha256 {digest}" in said.output
    assert f"made from     a file of sha256 {digest}" in after
    assert "to use it     as it is" in after
    assert "conv1.weight" in load_file(tmp_path / "new.safetensors")


def test_a_file_that_does_not_fit_is_named_and_nothing_is_written(old_file: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"old\.pth: .*different shapes: conv1\.weight is \(8, 3, 7, 7\)"):
        called("convert", old_file, tmp_path / "new.safetensors")
    assert not (tmp_path / "new.safetensors").exists()


def test_all_architectures_are_listed_with_files_that_fit() -> None:
    listed = called("list").output
    for name in architectures.names():
        assert name in listed
        assert architectures.known_files(name), "a user must learn where weights come from"
    assert "149,620,737" in listed
    assert "://" not in listed


def test_what_a_sweep_and_a_run_start_from(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep.yml"
    sweep.write_text(
        "name: a\ndata: synthetic\nprotocols: [O&C->I]\nmethods: {erm: {}, hfn_mp: {}}\n"
        "training: {profile: auto, backbone_weights: {resnet18: imagenet, resnet50: w.safetensors}}\n"
    )
    lines = [line.split() for line in called("list", sweep).output.splitlines()]
    assert lines == [["method", "architecture", "weights"], ["erm", "resnet18", "imagenet"],
                     ["hfn_mp", "resnet50", "w.safetensors"]]  # fmt: skip
    run = tmp_path / "run"
    run.mkdir()
    (run / SPEC_FILE).touch()
    assert "no initial weights are on record" in called("list", run).output
    used = UsedWeights(
        method="erm", backbone=None, architecture="resnet18", weights="imagenet", sha256="ab12", copy_file="c",
        copy_sha256="",
    )  # fmt: skip
    write_weights(str(run), [used])
    assert called("list", run).output.splitlines()[1].split() == ["erm", "resnet18", "imagenet", "ab12"]
