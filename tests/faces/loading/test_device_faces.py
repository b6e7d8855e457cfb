"""A copy of a pool is made once, with what is asked for, where it fits, and goes with its pool."""

import gc
from pathlib import Path

import pytest
import torch

from fasray.bench.loops import made_pool
from fasray.faces.loading import device_faces as module
from fasray.faces.loading.device_faces import device_faces, fits
from fasray.faces.loading.pool import FacePool

CPU = torch.device("cpu")
GIB = 2**30


@pytest.fixture
def pool(tmp_path: Path) -> FacePool:
    return made_pool(tmp_path / "pool", 32)


@pytest.mark.parametrize(
    ("need", "free", "share", "expected"),
    [
        (14, 79, 1.0, True),
        (14, 79, 0.5, True),
        (14, 79, 0.25, False),  # 20 GiB are the trial's, and 10 are left to its networks
        (14, 20, 1.0, False),  # others have taken the rest of the card
        (40, 80, 1.0, True),
        (41, 80, 1.0, False),
        (0, 0, 0.25, True),
    ],
)
def test_a_copy_takes_at_most_half_of_what_a_trial_may_have(need: int, free: int, share: float, expected: bool) -> None:
    assert fits(need * GIB, free=free * GIB, total=80 * GIB, share=share) is expected


def test_one_copy_serves_all_trials_of_a_pool_and_maps_are_added_to_it(pool: FacePool) -> None:
    asked: list[int] = []

    def allowed(need: int) -> bool:
        asked.append(need)
        return True

    first = device_faces(pool, CPU, depth=False, parsing=False, allowed=allowed)
    second = device_faces(pool, CPU, depth=True, parsing=False, allowed=allowed)
    third = device_faces(pool, CPU, depth=True, parsing=False, allowed=allowed)
    assert first is not None
    assert second is not None
    assert third is second
    assert asked == [pool.images.nbytes, pool.depth.nbytes]
    assert second.images is first.images
    assert second.depth is not None
    assert second.parsing is None
    assert torch.equal(second.images, torch.from_numpy(pool.images.copy()))
    assert torch.equal(second.depth, torch.from_numpy(pool.depth.copy()))


def test_a_pool_larger_than_a_chunk_is_copied_whole(pool: FacePool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK", 5 * 32 * 32 * 3 + 1)
    found = device_faces(pool, CPU, depth=False, parsing=True, allowed=lambda need: True)
    assert found is not None
    assert found.parsing is not None
    assert torch.equal(found.images, torch.from_numpy(pool.images.copy()))
    assert torch.equal(found.parsing, torch.from_numpy(pool.parsing.copy()))


def test_what_may_not_be_copied_is_not_and_a_copy_goes_with_its_pool(tmp_path: Path) -> None:
    pool = made_pool(tmp_path / "pool", 32)
    assert device_faces(pool, CPU, depth=False, parsing=False, allowed=lambda need: False) is None
    before = len(module._COPIES)
    assert device_faces(pool, CPU, depth=False, parsing=False, allowed=lambda need: True) is not None
    assert len(module._COPIES) == before + 1
    del pool
    gc.collect()
    assert len(module._COPIES) <= before
