"""Convolutions of maps of one place."""

import torch

from fasray.nets.convolution import Convolution


def test_a_map_of_one_place_has_the_right_gradient_in_bfloat16() -> None:
    """oneDNN's gradient of a strided convolution of such a map holds memory that nothing wrote."""
    torch.manual_seed(0)
    convolution, x = Convolution(32, 64, stride=2), torch.randn(12, 32, 1, 1)
    for _ in range(5):
        convolution.weight.grad = None
        with torch.autocast("cpu", torch.bfloat16):
            convolution(x).float().square().mean().backward()
        assert convolution.weight.grad is not None
        outside = convolution.weight.grad.flatten(2)[:, :, [0, 1, 2, 3, 5, 6, 7, 8]]
        assert (outside == 0).all()


def test_it_is_torchs_convolution_otherwise() -> None:
    torch.manual_seed(0)
    convolution = Convolution(3, 4, stride=2, bias=True)
    plain = torch.nn.Conv2d(3, 4, 3, 2, 1)
    plain.load_state_dict(convolution.state_dict())
    for side in (1, 2, 5):
        x = torch.randn(2, 3, side, side)
        assert torch.equal(convolution(x), plain(x))
