"""``bench train`` compares like with like: the plain loop takes the very steps of ours."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from fasray.bench import training
from fasray.bench.loops import PlainLoop, TrialLoop, made_pool
from fasray.errors import SpecError
from fasray.faces.loading.pool import FacePool
from fasray.methods import registry
from fasray.training.trial import Trial

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> FacePool:
    return made_pool(tmp_path_factory.mktemp("noise") / "pool", 40)


def trial_of(name: str) -> Trial:
    (trial,) = training.made_trials([name], {"profile": "smoke", "image_size": 32}, threads=1)
    return trial


@pytest.mark.parametrize("name", registry.names())
def test_both_loops_train_on_the_same_images_and_labels(name: str, pool: FacePool) -> None:
    trial = trial_of(name)
    ours, plain = TrialLoop(trial, pool, CPU), PlainLoop(trial, pool, CPU)
    assert ours.images_per_step == plain.images_per_step
    for one, other in zip(ours.draws(3), plain.draws(3), strict=True):
        assert len(one.views) == len(other.views)
        for mine, theirs in zip(one.views, other.views, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)
            assert theirs.is_contiguous()
        for part in ("label", "domain", "depth", "parsing"):
            mine, theirs = getattr(one, part), getattr(other, part)
            assert (mine is None) == (theirs is None)
            if mine is not None:
                torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)


def test_both_loops_come_to_the_same_loss(pool: FacePool) -> None:
    trial = trial_of("erm")
    losses = []
    for kind in (TrialLoop, PlainLoop):
        loop = kind(trial, pool, CPU)
        for step in range(2):
            loop.context.step = step
            logs = loop.method.step(loop.draws(step), loop.context)
        losses.append(logs["loss"])
    torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-5)


def test_a_run_gives_images_a_second_and_goes_round_the_budget(pool: FacePool) -> None:
    loop = TrialLoop(trial_of("erm"), pool, CPU)
    assert loop.run(0, least=loop.trial.training.steps + 3) > 0
    assert loop.context.step == 3


def test_ratios_are_of_medians() -> None:
    ours = training.Side((1.0, 6.0, 100.0), 50, (10.0, 20.0, 20.0))
    plain = training.Side((2.0, 3.0, 4.0), 100, (5.0, 5.0, 50.0))
    row = training.Trained("erm", ours, plain, {"batch": 0.02}, trained=600, scored=6000)
    assert row.speed_ratio == 2
    assert row.scoring_ratio == 4
    assert row.memory_ratio == 0.5
    assert row.evaluation_share == 0.75  # 100 s of training, 300 s of scoring


def test_both_loops_score_the_same_images_alike(pool: FacePool) -> None:
    trial = trial_of("erm")
    loops = [kind(trial, pool, CPU) for kind in (TrialLoop, PlainLoop)]
    images = [torch.cat(list(loop.images_to_score())) for loop in loops]
    torch.testing.assert_close(*images, rtol=0, atol=1e-6)
    assert len(images[0]) == len(pool)
    assert all(loop.score(0) > 0 for loop in loops)
    assert all(loop.method.networks.training for loop in loops)


def test_shares_outside_the_networks_are_parts_of_a_step_and_leave_no_hook(pool: FacePool) -> None:
    loop = TrialLoop(trial_of("hfn_mp"), pool, CPU)
    shares = loop.outside(0)
    assert list(shares) == ["batch", "optimizer", "logs"]
    assert all(share > 0 for share in shares.values())
    assert sum(shares.values()) < 1
    again = loop.outside(0)
    assert sum(again.values()) < 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(SpecError, match="no CUDA device"):
        training.measure_training(["erm"], {"profile": "smoke"}, seconds=0.1, device="cuda")


def bench(*arguments: str) -> dict[str, object]:
    """Run the command in a process that may not import Ray, as on a GPU box without it."""
    code = (
        "import sys; sys.modules['ray'] = None; from fasray.cli import main; "
        f"sys.argv = ['fasray', 'bench', 'train', *{list(arguments)!r}, '--json']; main()"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=800)
    assert ran.returncode == 0, ran.stderr
    found: dict[str, object] = json.loads(ran.stdout)
    return found


def check(found: dict[str, object], methods: list[str]) -> None:
    rows = found["rows"]
    assert isinstance(rows, list)
    assert [row["method"] for row in rows] == methods
    for row in rows:
        assert row["speed_ratio"] == pytest.approx(row["ours"]["images_per_s"] / row["plain"]["images_per_s"])
        assert row["memory_ratio"] > 0
        assert len(row["ours"]["values"]) == len(row["plain"]["values"]) == 2
        assert row["scoring_ratio"] > 0
        assert 0 < row["outside_share"] == pytest.approx(sum(row["outside"].values())) < 1
        assert 0 < row["evaluation_share"] < 1


SMALL = ("--profile", "smoke", "--image-size", "32", "--seconds", "0.05", "--repetitions", "2")


@pytest.mark.slow
def test_the_command_needs_no_ray() -> None:
    found = bench(*SMALL, "--methods", "erm", "--device", "cpu")
    check(found, ["erm"])
    assert "resident memory" in str(found["memory"])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_method_is_measured() -> None:
    check(bench(*SMALL, "--device", "cpu"), list(registry.names()))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_is_measured_by_what_torch_allocated() -> None:
    found = bench(*SMALL, "--methods", "erm,rfmeta", "--precision", "bf16")
    check(found, ["erm", "rfmeta"])
    assert "allocated" in str(found["memory"])
