"""The short runs that show how much memory a trial takes: each method really trains and scores, once for each size."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_trials import SIZE, TINY, made_pool, made_trial
from small_sweeps import environment
from sweep_fixtures import SWEEP, plan_of

from fasray.execution import probe
from fasray.execution.hardware import LogicalGpus
from fasray.execution.memory_file import STEPS, MemoryFile, short_trials
from fasray.faces.face_index import FaceIndex
from fasray.faces.loading.pool import pool_folder, pool_key
from fasray.training.trial import Trial

GIB = 2**30
POOL = pool_key("made", SIZE)
CARDS = LogicalGpus({"T4": 16 * GIB, "A100": 80 * GIB}, {"erm": 3 * GIB, "safas": 5 * GIB})


@pytest.fixture
def pools(tmp_path: Path) -> Iterator[Path]:
    made_pool(tmp_path / "pools" / POOL)
    with environment({"FASRAY_POOL_DIR": str(tmp_path / "pools")}):
        yield tmp_path / "pools"


def short(method: str, image_size: int = 32, **config: int) -> Trial:
    update = {"steps": STEPS, "evaluations": 1, "image_size": image_size}
    return made_trial(method, training=TINY.model_copy(update=update), **config)


def job(*trials: Trial, kind: str = "T4") -> probe._Job:
    return probe._Job(trials, "", POOL, "", "train+test", kind, CARDS)


def test_what_was_measured_is_kept_for_the_next_sweep_of_the_same_sizes_on_the_same_card(pools: Path) -> None:
    trials = short("erm"), short("safas", batch=8)
    found = probe._measure(job(*trials))
    assert (found.card, found.card_bytes, dict(found.peaks)) == ("T4", 16 * GIB, {"erm": 3 * GIB, "safas": 5 * GIB})
    shutil.rmtree(pool_folder(POOL))  # from here on nothing can be run
    assert probe._measure(job(*trials)) == found
    assert MemoryFile(POOL, repr(CARDS)).known(trials) == found
    assert not probe._measure(job(short("safas", batch=10))).peaks, "another batch is another size"
    assert not probe._measure(job(*trials, kind="A100")).peaks, "so is another card"


def test_a_method_that_cannot_be_run_on_a_whole_card_is_missing_and_the_others_are_not(pools: Path) -> None:
    impossible = short("erm", image_size=2 * SIZE)  # windows larger than the crops
    assert dict(probe._measure(job(impossible, short("safas", batch=8))).peaks) == {"safas": 5 * GIB}


def test_a_method_needs_what_its_largest_backbone_needs(pools: Path, table: FaceIndex) -> None:
    space = "{backbone: {choice: [resnet18, resnet50]}, weight_decay: {uniform: [0.001, 0.1]}}"
    ablations = "{a transformer: {backbone: vit_s_16}, no flips: {flip: 0}}"
    plan = plan_of(SWEEP, table, f"methods={{erm: {{space: {space}, ablations: {ablations}}}}}")
    trials = short_trials(plan)
    configs = [trial.config for trial in trials]
    assert [config.get("backbone", "resnet18") for config in configs] == ["resnet18", "resnet50", "vit_s_16"]
    assert configs[-1]["optimizer"] == "adamw", "with what the backbone brings along"
    assert {(trial.training.steps, trial.protocol) for trial in trials} == {(STEPS, trials[0].protocol)}
    file = MemoryFile(POOL)
    file.add(trials[0], "T4", 16 * GIB, 2 * GIB)
    assert file.known(trials) is None, "the larger one was not measured"
    file.add(trials[1], "T4", 16 * GIB, 7 * GIB)
    file.add(trials[2], "T4", 16 * GIB, 5 * GIB)
    known = MemoryFile(POOL).known(trials)
    assert known is not None
    assert known.peaks == {"erm": 7 * GIB}


def test_a_damaged_file_is_as_good_as_none(pools: Path) -> None:
    pool_folder(POOL).parent.joinpath(f"{POOL}.memory.json").write_text("{")
    assert probe._measure(job(short("erm"))).peaks == {"erm": 3 * GIB}
    assert MemoryFile(POOL, repr(CARDS)).known([short("erm")]) is not None
