"""Checkpoints: bit-exact, the newest and the best kept, damage passed over, nothing executed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pyarrow.parquet as pq
import pytest
import torch
from made_trials import TINY, digests, made_trial, run
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from fasray import storage
from fasray.errors import DataError
from fasray.faces.loading.pool import FacePool
from fasray.inference.scorer import Scorer
from fasray.methods import registry
from fasray.methods.base import Build, Method
from fasray.methods.erm import ERM
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


def same_networks(one: Method, other: Method) -> bool:
    pairs = zip(one.networks.state_dict().items(), other.networks.state_dict().items(), strict=True)
    return all(name == second and torch.equal(tensor, found) for (name, tensor), (second, found) in pairs)


def reading(step: int, auc: float, loss: float = 0.5) -> Reading:
    return Reading(step=step, source_dev_auc=auc, source_dev_loss=loss)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_what_is_restored_equals_what_was_saved_bit_by_bit(tmp_path: Path, optimizer: str) -> None:
    trial = made_trial(optimizer=optimizer)
    method = trained(trial)
    checkpoint.save(str(tmp_path), method, trial, ("A", "B"), [reading(2, 0.7)])
    fresh = built(trial)
    checkpoint.restore(checkpoint.read(str(tmp_path), 2, to_resume=True), fresh)
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
    assert [name for name in storage.listing(str(tmp_path)) if "optimizer" in name] == [
        "step-00000005.optimizer.safetensors"
    ]
    fresh = built(trial)
    checkpoint.restore(checkpoint.read(str(tmp_path), 3), fresh)
    assert same_networks(fresh, method)
    with pytest.raises(DataError, match=r"step-00000003\.optimizer"):
        checkpoint.read(str(tmp_path), 3, to_resume=True)


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


def test_only_a_checkpoint_with_its_optimizers_is_gone_on_from(tmp_path: Path) -> None:
    """If the newest is damaged, the best that is kept without them can be scored, not resumed."""
    trial, folder = made_trial(), str(tmp_path)
    method = trained(trial)
    checkpoint.save(folder, method, trial, ("A", "B"), [reading(2, 0.9)])
    checkpoint.save(folder, method, trial, ("A", "B"), [reading(2, 0.9), reading(4, 0.8)])
    found = checkpoint.newest(folder, built(trial), trial, checkpoint.steps(folder))
    assert found is not None
    assert found.step == 4
    (tmp_path / "step-00000004.safetensors").write_bytes(b"")
    assert checkpoint.newest(folder, built(trial), trial, checkpoint.steps(folder)) is None
    assert checkpoint.read(folder, 2).step == 2


def test_a_checkpoint_of_format_1_has_all_in_one_file_and_is_gone_on_from(tmp_path: Path) -> None:
    trial, folder = made_trial(optimizer="adam"), str(tmp_path)
    method = trained(trial)
    checkpoint.save(folder, method, trial, ("A", "B"), [reading(2, 0.9)])
    networks, states = tmp_path / "step-00000002.safetensors", tmp_path / "step-00000002.optimizer.safetensors"
    both = save_tensors({**load_tensors(networks.read_bytes()), **load_tensors(states.read_bytes())})
    networks.write_bytes(both)
    states.unlink()
    card = tmp_path / "step-00000002.json"
    content = json.loads(card.read_text()) | {"format": 1, "sha256": hashlib.sha256(both).hexdigest()}
    del content["optimizer_sha256"], content["frozen"]
    card.write_text(json.dumps(content))
    fresh = built(trial)
    found = checkpoint.newest(folder, fresh, trial, [2])
    assert found is not None
    checkpoint.restore(found, fresh)
    assert same_networks(fresh, method)
    (before,), (after,) = method.optimizers.values(), fresh.optimizers.values()
    assert torch.equal(before.state_dict()["state"][0]["exp_avg"], after.state_dict()["state"][0]["exp_avg"])


class Frozen(ERM):
    """Trains the head alone; statistics of batch normalisation move."""

    name = "frozen"

    def build(self, build: Build) -> None:
        super().build(build)
        self.networks["backbone"].requires_grad_(False)


@pytest.fixture
def frozen_trial(tmp_path: Path) -> Iterator[Trial]:
    with registry.registered(Frozen):
        backbone = built(made_trial("frozen")).networks["backbone"].state_dict()
        torch.manual_seed(3)
        weights = {name: torch.rand_like(tensor) if tensor.dim() else tensor for name, tensor in backbone.items()}
        (tmp_path / "weights.safetensors").write_bytes(save_tensors(weights))
        start = {"backbone_weights": str(tmp_path / "weights.safetensors")}
        yield made_trial("frozen", training=TINY.model_copy(update=start))


def test_frozen_parts_that_initial_weights_fill_are_left_out_and_come_back(
    pool: FacePool, tmp_path: Path, frozen_trial: Trial
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(frozen_trial, pool, whole)
    method, file = built(frozen_trial), whole / "checkpoint" / "step-00000006.safetensors"
    kept = [part for part in method.networks.parameters() if part.requires_grad] + list(method.networks.buffers())
    assert file.stat().st_size < 1.1 * sum(part.nbytes for part in kept) + len(load_tensors(file.read_bytes())) * 128
    card = checkpoint.read(str(file.parent), 6).card
    assert card.frozen.keys() == {f"backbone.{name}" for name, _ in method.networks["backbone"].named_parameters()}
    run(frozen_trial, pool, parts, stop_after=1)
    run(frozen_trial, pool, parts, reported_step=2)
    assert digests(parts) == digests(whole)
    scorer = Scorer.load(str(whole), 6)
    table = pq.read_table(whole / "eval-00000006.parquet")
    rows = pool.index.video.tolist().index(table["video"][0].as_py()) + table["frame"][0].as_py()
    assert scorer.score(pool.images[rows : rows + 1])[0] == pytest.approx(table["score"][0].as_py(), abs=1e-6)


def test_other_initial_weights_than_those_of_the_trial_are_refused(
    pool: FacePool, tmp_path: Path, frozen_trial: Trial
) -> None:
    run(frozen_trial, pool, tmp_path / "trial")
    weights = tmp_path / "weights.safetensors"
    changed = load_tensors(weights.read_bytes())
    changed["conv1.weight"][0] += 1
    weights.write_bytes(save_tensors(changed))
    with pytest.raises(DataError, match=r"leaves out backbone\.conv1\.weight") as caught:
        Scorer.load(str(tmp_path / "trial"))
    assert "weights that the trial began with" in caught.value.remedy
    weights.unlink()
    with pytest.raises(DataError, match=r"weights\.safetensors"):
        Scorer.load(str(tmp_path / "trial"))


def test_frozen_parts_of_random_weights_are_kept(pool: FacePool, tmp_path: Path) -> None:
    with registry.registered(Frozen):
        run(made_trial("frozen"), pool, tmp_path)
        assert checkpoint.read(str(tmp_path / "checkpoint"), 6).card.frozen == {}


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
    assert storage.listing(folder) == [
        f"step-00000004.{kind}" for kind in ("json", "optimizer.safetensors", "safetensors")
    ]
    assert checkpoint.read(folder, 4).card.domains == ("A", "B")
    fsspec.filesystem("memory").store.clear()
