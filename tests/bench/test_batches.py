"""What `bench data` compares is equal."""

from pathlib import Path

import numpy as np
import torch

from fasray.bench.batches import batched, image_by_image
from fasray.bench.loops import made_pool
from fasray.faces.loading.augment import Augment, sample_parameters


def test_the_batch_that_is_timed_is_that_of_the_loop_over_images(tmp_path: Path) -> None:
    pool, rows = made_pool(tmp_path / "pool", 64), np.array([3, 140, 3, 77])
    maps = sample_parameters(np.random.default_rng(1), len(rows), Augment(), 64, 56)
    assert torch.equal(batched(pool, rows, maps, 56), image_by_image(pool, rows, maps, 56))
