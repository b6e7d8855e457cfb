"""The meta pattern extractor of HFN+MP: an image of learnt texture from an RGB image, and the inverse.

Source: Cai et al., Learning Meta Pattern for Face Anti-Spoofing, TIFS 2022 (arXiv 2110.06753).
"""

from __future__ import annotations

from torch import Tensor, nn

from fasray.nets.batchnorm import BatchNorm2d

HIDDEN_CHANNELS = 6


class PatternExtractor(nn.Module):
    """Two 3x3 convolutions to a pattern of the image's size, and a mirror of them that restores the image.

    702 parameters, half of them the decoder's. No width: there is nothing to save here.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = _two_convolutions()
        self.decoder = _two_convolutions()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the pattern, [B, 3, H, W] in (0, 1), of images [B, 3, H, W] in [0, 1]."""
        pattern: Tensor = self.encoder(x_BCHW)
        return pattern

    def restore(self, pattern_BCHW: Tensor) -> Tensor:
        """Return the images, [B, 3, H, W] in (0, 1), that the decoder makes of patterns."""
        image: Tensor = self.decoder(pattern_BCHW)
        return image


def _two_convolutions() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, HIDDEN_CHANNELS, 3, padding=1),
        BatchNorm2d(HIDDEN_CHANNELS),
        nn.ReLU(inplace=True),
        nn.Conv2d(HIDDEN_CHANNELS, 3, 3, padding=1),
        BatchNorm2d(3),
        nn.Sigmoid(),
    )
