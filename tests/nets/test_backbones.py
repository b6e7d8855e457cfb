"""Backbones by name: sizes, small forms, synchronised batch normalisation, other packages' own."""

import pytest
import torch
from torch import nn

from fasray.errors import SpecError
from fasray.nets import backbones
from fasray.nets.batchnorm import BatchNorm2d


@pytest.mark.parametrize("name", backbones.names())
def test_at_width_1_it_has_the_published_size(name):
    known = backbones.get(name)
    with torch.device("meta"):
        network = backbones.make(name, image_size=known.image_size)
        features = network(torch.zeros(1, 3, known.image_size, known.image_size))
    assert features.shape == (1, known.num_features) == (1, network.num_features)
    assert sum(parameter.numel() for parameter in network.parameters()) == known.parameters


@pytest.mark.parametrize("name", backbones.names())
@pytest.mark.parametrize("size", [64, 72])
def test_the_small_form_takes_any_image_size_and_is_a_fraction_of_the_network(name, size):
    network = backbones.make(name, width=0.125, image_size=size)
    features = network.train()(torch.rand(2, 3, size, size))
    assert features.shape == (2, network.num_features)
    assert features.std() > 0
    assert sum(parameter.numel() for parameter in network.parameters()) < 0.025 * backbones.get(name).parameters


@pytest.mark.parametrize("name", backbones.names())
def test_all_batch_normalisation_synchronises_and_nothing_drops(name):
    for layer in backbones.make(name, width=0.125, image_size=64).modules():
        assert not isinstance(layer, nn.modules.batchnorm._BatchNorm) or isinstance(layer, BatchNorm2d)
        assert getattr(layer, "drop_prob", None) in (None, 0)
        assert not isinstance(layer, nn.Dropout) or layer.p == 0


def test_one_image_of_two_sizes_of_patches_is_resized_and_only_there():
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    for name, side in (("vit_s_16", 64), ("vit_s_14", 70)):
        network = backbones.make(name, width=0.125, image_size=64).eval()
        resized = torch.nn.functional.interpolate(image, size=(side, side), mode="bilinear")
        assert torch.equal(network(image), network(resized))
        assert network.pos_embed.shape[1] == 1 + (side // backbones.get(name).patch) ** 2


def test_the_normaliser_is_the_backbones_own():
    grey = torch.full((1, 3, 2, 2), 0.5)
    assert backbones.normalizer("vit_s_16")(grey).abs().max() == 0
    assert torch.equal(backbones.normalizer("mobilevit_s")(grey), grey)
    assert backbones.normalizer("resnet50")(grey)[0, 0, 0, 0].item() == pytest.approx((0.5 - 0.485) / 0.229)


def test_an_unknown_name_has_a_remedy():
    with pytest.raises(SpecError, match=r"(?s)unknown backbone 'vit_s16'.*vit_s_16"):
        backbones.get("vit_s16")
