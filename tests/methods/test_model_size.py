"""Parameters and multiply-accumulates agree with what the papers' networks are known to need."""

import pytest

from fasray.methods import registry
from fasray.methods.model_size import backbone_size, model_size


@pytest.mark.parametrize(("name", "giga_macs"), [("rfmeta", 47), ("hfn_mp", 13), ("erm", 2.4), ("safas", 2.4)])
def test_macs_at_256_px_are_those_of_the_published_network(name: str, giga_macs: float) -> None:
    assert model_size(name).macs / 1e9 == pytest.approx(giga_macs, rel=0.02)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("erm", 11_176_512 + 513),
        ("safas", 11_176_512 + 3 * 513),
        ("rfmeta", 1_731_108 + 517_251 + 1_625_217),
        ("hfn_mp", 62_126_467 + 702),
        ("ssan", 8_135_749),
        ("gacfas", 11_176_512 + 512),
        ("gdfas", 169_569_539),
        ("flip", 149_620_737 + 19_947_776),
    ],
)
def test_parameters_are_those_of_the_published_network(name: str, parameters: int) -> None:
    assert model_size(name).parameters == parameters


@pytest.mark.parametrize("name", registry.names())
def test_a_quarter_of_the_width_costs_less_than_an_eighth(name: str) -> None:
    assert model_size(name, width=0.25).macs < model_size(name).macs / 8


@pytest.mark.parametrize(("name", "giga_macs"), [("vit_b_16", 17.6), ("vit_s_16", 4.6), ("resnet50", 4.1)])
def test_macs_of_a_backbone_at_224_px_are_the_published_ones(name: str, giga_macs: float) -> None:
    assert backbone_size(name, image_size=224).macs / 1e9 == pytest.approx(giga_macs, rel=0.02)
