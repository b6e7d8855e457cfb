"""What is uploaded together arrives whole, in its types and shapes, and is a copy."""

import numpy as np
import pytest
import torch

from fasray.faces.loading.upload import Uploader
from fasray.testing.host_syncs import watch

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))]


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("device", DEVICES)
def test_arrays_of_all_types_go_in_one_upload(device: str, ahead: bool) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "images": rng.integers(0, 256, (3, 5, 5, 3), dtype=np.uint8),
        "flipped": rng.random((2, 3)) < 0.5,
        "nothing": np.empty((0, 4), np.int64),
        "rows": rng.integers(0, 2**40, 7),
        "theta": rng.random((3, 2, 3), dtype=np.float32),
    }
    expected = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    upload = Uploader(torch.device(device), ahead=ahead)
    assert len(watch(lambda: upload(arrays)).uploads) == 1
    sent = upload(arrays)
    for array in arrays.values():
        array.fill(0)
    found = sent.tensors()
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        assert tensor.device.type == device
        assert tensor.dtype == expected[name].dtype
        assert torch.equal(tensor.cpu(), expected[name])
