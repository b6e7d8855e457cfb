"""Checkpoints: bit-exact, the newest and the best kept, damage passed over, nothing executed."""

from __future__ import annotations

import json
from pathlib import Path

import fsspec
import pytest
import torch
from made_trials import TINY, digests, made_trial, run

from fasray import storage
from fasray.errors import DataError
from fasray.faces.loading.pool import FacePool
from fasray.methods.base import Build, Method
from fasray.runs.reading import Reading
from fasray.training import checkpoint
from fasray.training.trial import Trial


def built(trial: Trial) -> Method:
    method = trial.build_method()
    method.build(Build(num_domains=2, image_size=32, total_steps=6, width=0.125))
    return method


def trained(trial: Trial) -> Method:
    method = built(trial)
    torch.manual_seed(0)
    for _ in range(2):
        for parameter in method.networks.parameters():
            parameter.grad = torch.randn_like(parameter)
        for optimizer in method.optimizers.values():
            optimizer.step()
    return method


def reading(step: int, auc: float, loss: float = 0.5) -> Reading:
    return Reading(step=step, source_dev_auc=auc, source_dev_loss=loss)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_what_is_restored_equals_what_was_saved_bit_by_bit(tmp_path: Path, optimizer: str) -> None:
    trial = made_trial(optimizer=optimizer)
    method = trained(trial)
    checkpoint.save(str(tmp_path), method, trial, ("A", "B"), [reading(2, 0.7)])
    fresh = built(trial)
    checkpoint.restore(checkpoint.read(str(tmp_path), 2), fresh)
    wanted, got = method.networks.state_dict(), fresh.networks.state_dict()
    assert list(wanted) == list(got)
    assert all(torch.equal(wanted[name], got[name]) for name in wanted)
    for name, one in method.optimizers.items():
        before, after = one.state_dict(), fresh.optimizers[name].state_dict()
        assert before["param_groups"] == after["param_groups"]
        assert before["state"].keys() == after["state"].keys()
        for number, entries in before["state"].items():
            for key, value in entries.items():
                other = after["state"][number][key]
                assert torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other


def test_the_newest_and_the_best_are_kept(tmp_path: Path) -> None:
    trial = made_trial()
    method, history = trained(trial), []
    figures = [(0.6, 0.5), (0.8, 0.5), (0.8, 0.4), (0.8, 0.4), (0.7, 0.1)]
    for number, (auc, loss) in enumerate(figures, 1):
        history.append(reading(number, auc, loss))
        checkpoint.save(str(tmp_path), method, trial, ("A", "B"), history)
    assert checkpoint.best_step(history) == 3
    assert checkpoint.steps(str(tmp_path)) == [3, 5]
    assert len(list(tmp_path.iterdir())) == 4


def test_a_checkpoint_of_undefined_figures_can_be_read(tmp_path: Path) -> None:
    trial = made_trial()
    history = [reading(1, float("nan"), float("inf")), reading(2, 0.5)]
    checkpoint.save(str(tmp_path), trained(trial), trial, ("A", "B"), history)
    card = checkpoint.read(str(tmp_path), 2).card
    assert card.history[0].source_dev_auc != card.history[0].source_dev_auc
    assert checkpoint.best_step(card.history) == 2


@pytest.mark.parametrize("damage", ["flip a bit", "truncate", "drop weights", "drop card", "break card", "alien card"])
def test_damage_is_passed_over_for_an_older_checkpoint_then_for_a_fresh_start(
    pool: FacePool, tmp_path: Path, damage: str
) -> None:
    run(made_trial(), pool, tmp_path)
    before = digests(tmp_path)
    folder = tmp_path / "checkpoint"
    for step in checkpoint.steps(str(folder)):
        card, weights = folder / f"step-{step:08d}.json", folder / f"step-{step:08d}.safetensors"
        data = bytearray(weights.read_bytes())
        if damage == "flip a bit":
            data[len(data) // 2] ^= 1
            weights.write_bytes(data)
        elif damage == "truncate":
            weights.write_bytes(data[: len(data) // 2])
        elif damage == "drop weights":
            weights.unlink()
        elif damage == "drop card":
            card.unlink()
        elif damage == "break card":
            card.write_text(card.read_text()[:-20])
        else:
            content = json.loads(card.read_text())
            content["trial"]["id"] = "0" * 16
            card.write_text(json.dumps(content))
    assert run(made_trial(), pool, tmp_path, reported_step=6) == []
    assert digests(tmp_path) == before


def test_a_damaged_newest_checkpoint_falls_back_to_the_best(tmp_path: Path) -> None:
    trial = made_trial()
    method = trained(trial)
    checkpoint.save(str(tmp_path), method, trial, ("A", "B"), [reading(2, 0.9)])
    checkpoint.save(str(tmp_path), method, trial, ("A", "B"), [reading(2, 0.9), reading(4, 0.8)])
    (tmp_path / "step-00000004.safetensors").write_bytes(b"")
    found = checkpoint.newest(str(tmp_path), built(trial), trial, checkpoint.steps(str(tmp_path)))
    assert found is not None
    assert found.step == 2


def test_a_checkpoint_of_another_network_is_refused_before_anything_changes(tmp_path: Path) -> None:
    trial = made_trial()
    checkpoint.save(str(tmp_path), trained(trial), trial, ("A", "B"), [reading(2, 0.9)])
    found = checkpoint.read(str(tmp_path), 2)
    other = made_trial("safas", training=TINY)
    method = built(other)
    before = {name: tensor.clone() for name, tensor in method.networks.state_dict().items()}
    with pytest.raises(DataError, match="another network"):
        checkpoint.restore(found, method)
    assert all(torch.equal(before[name], tensor) for name, tensor in method.networks.state_dict().items())
    assert checkpoint.newest(str(tmp_path), method, other, [2]) is None


def test_checkpoints_lie_on_any_store(tmp_path: Path) -> None:
    trial, folder = made_trial(), f"memory://{tmp_path.name}/checkpoint"
    method = trained(trial)
    checkpoint.save(folder, method, trial, ("A", "B"), [reading(2, 0.9)])
    checkpoint.save(folder, method, trial, ("A", "B"), [reading(2, 0.9), reading(4, 0.95)])
    assert storage.listing(folder) == ["step-00000004.json", "step-00000004.safetensors"]
    assert checkpoint.read(folder, 4).card.domains == ("A", "B")
    fsspec.filesystem("memory").store.clear()
