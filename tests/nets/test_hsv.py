import numpy as np
import pytest
import torch
from PIL import Image

from fasray.nets.hsv import rgb_to_hsv, with_hsv


def by_pillow(colours):
    return np.asarray(Image.fromarray(colours).convert("HSV"))


def by_us(colours):
    hsv = rgb_to_hsv(torch.tensor(colours).permute(2, 0, 1)[None].float() / 255)
    return (hsv[0].permute(1, 2, 0) * 255).round().numpy().astype(np.uint8)


def test_the_levels_are_pillows():
    """A million random colours and all with two equal channels or an extreme one."""
    some = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), dtype=np.uint8)
    a, b = (axis.reshape(-1).astype(np.uint8) for axis in np.mgrid[:256, :256])
    edges = [np.stack(parts, -1) for parts in ((a, a, b), (a, b, a), (b, a, a), (a, b, 0 * a), (255 + 0 * a, a, b))]
    for colours in (some, np.stack(edges)):
        np.testing.assert_array_equal(by_us(colours), by_pillow(colours))


@pytest.mark.slow
def test_all_colours_are_pillows():
    for red in range(256):
        colours = np.full((256, 256, 3), red, dtype=np.uint8)
        colours[..., 1:] = np.moveaxis(np.mgrid[:256, :256], 0, -1)
        np.testing.assert_array_equal(by_us(colours), by_pillow(colours))


def test_images_between_levels_are_rounded_first():
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(rgb_to_hsv(images), rgb_to_hsv((images * 255).round() / 255))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_six_channels_keep_type_and_range_and_give_no_gradient_to_the_last_three(dtype):
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    six = with_hsv(images)
    assert six.shape == (2, 6, 8, 8)
    assert six.dtype == dtype
    assert six.min() >= 0
    assert six.max() <= 1
    six[:, 3:].sum().backward()
    assert not images.grad.any()


def test_grey_has_neither_hue_nor_saturation():
    hsv = rgb_to_hsv(torch.full((1, 3, 2, 2), 0.4))
    assert not hsv[:, :2].any()
    torch.testing.assert_close(hsv[:, 2], torch.full((1, 2, 2), 0.4))
