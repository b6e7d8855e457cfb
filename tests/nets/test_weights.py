import hashlib

import pytest
import safetensors.torch
import torch

from fasray.errors import DataError
from fasray.nets.resnet import ResNet18
from fasray.nets.weights import load_backbone


@pytest.fixture
def source():
    torch.manual_seed(5)
    return ResNet18(0.125)


def target():
    torch.manual_seed(6)
    return ResNet18(0.125)


def equal(one, other):
    return all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


def test_none_leaves_the_backbone_as_it_is():
    backbone = target()
    load_backbone(backbone, "none")
    assert equal(backbone, target())


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_fills_the_backbone_and_its_classifier_is_passed_over(source, tmp_path, suffix):
    state = {**source.state_dict(), "fc.weight": torch.zeros(10, 64), "fc.bias": torch.zeros(10)}
    path = tmp_path / f"weights{suffix}"
    (safetensors.torch.save_file if suffix == ".safetensors" else torch.save)(state, path)
    backbone = target()
    load_backbone(backbone, str(path))
    assert equal(backbone, source)


def test_the_checksum_is_checked(source, tmp_path):
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(source.state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    backbone = target()
    load_backbone(backbone, f"{path}#sha256={digest}")
    assert equal(backbone, source)
    with pytest.raises(DataError, match="expected"):
        load_backbone(backbone, f"{path}#sha256={'0' * 64}")


def test_old_files_without_batch_counters_are_taken(source, tmp_path):
    state = {name: value for name, value in source.state_dict().items() if "num_batches" not in name}
    torch.save(state, tmp_path / "old.pth")
    backbone = target()
    load_backbone(backbone, str(tmp_path / "old.pth"))
    assert torch.equal(backbone.conv1.weight, source.conv1.weight)


def test_names_that_do_not_fit_are_told(source, tmp_path):
    state = source.state_dict()
    state["stem.weight"] = state.pop("conv1.weight")
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(DataError, match=r"missing: conv1\.weight; unexpected: stem\.weight"):
        load_backbone(target(), str(tmp_path / "w.pth"))


def test_weights_of_another_width_are_refused_before_anything_changes(tmp_path):
    torch.save(ResNet18(0.25).state_dict(), tmp_path / "w.pth")
    backbone = target()
    with pytest.raises(DataError, match="different shapes") as caught:
        load_backbone(backbone, str(tmp_path / "w.pth"))
    assert "training.width" in caught.value.remedy
    assert equal(backbone, target())


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_damaged_file_is_a_data_error(tmp_path, suffix):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(b"not weights at all")
    with pytest.raises(DataError, match="not a readable weights file"):
        load_backbone(target(), str(path))


def test_a_file_that_would_run_code_is_refused(tmp_path):
    torch.save({"conv1.weight": torch.optim.SGD}, tmp_path / "w.pth")
    with pytest.raises(DataError, match=r"torch\.optim\.sgd\.SGD.* not run"):
        load_backbone(target(), str(tmp_path / "w.pth"))


def test_a_file_that_is_no_state_dict_is_refused(tmp_path):
    torch.save({"epoch": 3, "conv1.weight": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(DataError, match="state dict"):
        load_backbone(target(), str(tmp_path / "w.pth"))


def test_a_missing_file_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        load_backbone(target(), str(tmp_path / "none.pth"))


def test_imagenet_weights_come_from_the_cache(tmp_path, monkeypatch):
    """A damaged file in the cache is reported with a remedy, not a traceback; so would be a failed download."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    (cache / "resnet18-f37072fd.pth").write_bytes(b"half a download")
    with pytest.raises(DataError, match="ImageNet") as caught:
        load_backbone(ResNet18(), "imagenet")
    assert "backbone_weights: none" in caught.value.remedy


def test_a_kept_copy_serves_where_the_file_is_not(source, tmp_path):
    path, folder = tmp_path / "weights.pth", str(tmp_path / "run" / "weights")
    torch.save(source.state_dict(), path)
    load_backbone(target(), str(path), folder)
    path.unlink()
    backbone = target()
    load_backbone(backbone, str(path), folder)
    load_backbone(backbone, "none", folder)
    assert equal(backbone, source)
    with pytest.raises(DataError):
        load_backbone(backbone, str(path), str(tmp_path / "elsewhere"))
    with pytest.raises(DataError):
        load_backbone(backbone, str(path))


def test_a_kept_copy_is_not_written_again_even_if_the_file_has_changed_since(source, tmp_path):
    path, folder = tmp_path / "weights.pth", tmp_path / "weights"
    torch.save(source.state_dict(), path)
    load_backbone(target(), str(path), str(folder))
    (copy,) = folder.iterdir()
    before = copy.stat().st_mtime_ns
    torch.save(target().state_dict(), path)
    backbone = target()
    load_backbone(backbone, str(path), str(folder))
    assert equal(backbone, source), "a run goes on with what it began with"
    assert copy.stat().st_mtime_ns == before


def test_weights_that_do_not_fit_are_not_kept(source, tmp_path):
    path, folder = tmp_path / "weights.pth", tmp_path / "weights"
    torch.save(source.state_dict(), path)
    with pytest.raises(DataError, match="do not fit"):
        load_backbone(ResNet18(0.25), str(path), str(folder))
    assert not folder.exists()
