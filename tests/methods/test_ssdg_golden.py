"""SSDG against the numbers of its official code; see golden/README.md."""

import numpy as np
import pytest
import torch
from golden_state import filled
from locations import GOLDEN
from torch.nn import functional

from fasray.losses.domain import domain_loss
from fasray.losses.triplet import triplet_loss
from fasray.methods.base import Build
from fasray.methods.ssdg import SSDG, SSDGConfig, normalised_weight
from fasray.nets.reversal import reversal_factor, reverse_gradient
from fasray.nets.ssdg import Discriminator


def golden(name):
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
        return dict(file)


def close(found, expected, tolerance):
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("case", ["a", "b", "c"])
@pytest.mark.parametrize("kind", ["allhard", "hardest"])
@pytest.mark.parametrize("distance", ["l2", "sq"])
def test_the_triplet_loss_and_its_gradient_are_the_official_ones(case, kind, distance):
    numbers = golden("ssdg_asym_triplet")
    feature = torch.tensor(numbers[f"{case}_emb"], requires_grad=True)
    group, margin = torch.tensor(numbers["label"]), float(numbers["margin"])
    loss = triplet_loss(feature, group, margin, distance=distance, hardest=kind == "hardest")
    loss.backward()
    np.testing.assert_allclose(loss.item(), numbers[f"{case}_{kind}_{distance}_loss"], rtol=1e-9, atol=1e-12)
    expected = numbers[f"{case}_{kind}_{distance}_grad"]
    np.testing.assert_allclose(feature.grad, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


def test_the_reversal_factor_follows_the_official_table():
    numbers = golden("ssdg_resnet18")
    found = [reversal_factor(int(step), 4000) for step in numbers["grl_coeff_iter"]]
    np.testing.assert_allclose(found, numbers["grl_coeff"], rtol=1e-12)


def part(state, **prefixes):
    """The entries of one module: those under a prefix, renamed."""
    return {
        new + name.removeprefix(old): value
        for new, old in prefixes.items()
        for name, value in state.items()
        if name.startswith(old)
    }


@pytest.fixture(scope="module")
def golden_method():
    numbers = golden("ssdg_resnet18")
    method = SSDG(SSDGConfig())
    method.build(Build(num_domains=3, image_size=256, total_steps=4000))
    state, networks = filled(numbers), method.networks
    backbone = part(state, **{"": "backbone."}) | part(state, **{"layer4.": "embedder.layer4."})
    found = networks["backbone"].load_state_dict(backbone, strict=False)
    assert not found.unexpected_keys
    assert all(name.endswith("num_batches_tracked") for name in found.missing_keys)
    networks["embedding"].load_state_dict(part(state, **{"": "embedder.bottleneck_layer.0."}))
    networks["classifier"].load_state_dict(part(state, **{"": "classifier.classifier_layer."}))
    return method, numbers


def test_the_networks_have_the_official_numbers_of_parameters(golden_method):
    method, numbers = golden_method
    counts = {key: sum(p.numel() for p in network.parameters()) for key, network in method.networks.items()}
    assert counts["discriminator"] == golden("ssdg_adv")["n_params"] == 264_195
    assert sum(counts.values()) - counts["discriminator"] == numbers["n_params"] == 11_440_194


def test_the_plain_network_has_the_official_numbers_of_parameters():
    method = SSDG(SSDGConfig(backbone="depthnet"))
    method.build(Build(num_domains=3, image_size=256, total_steps=4000))
    backbone = method.networks["backbone"]
    generator, embedder, embedding = (
        sum(p.numel() for p in module.parameters())
        for module in (backbone.generator, backbone.embedder, method.networks["embedding"])
    )
    assert (generator, embedder + embedding) == (1_727_960, 1_886_464)


def test_features_logits_and_scores_are_the_official_ones(golden_method):
    method, numbers = golden_method
    x = torch.tensor(numbers["x"])  # already normalised
    method.networks.eval()
    with torch.no_grad():
        pooled = method.networks["backbone"](x)
        raw = method.networks["embedding"](pooled)
        feature = method._features(pooled)
        weight = normalised_weight(method.networks["classifier"].weight, "official")
        logits = method._logits(feature, weight)
    close(raw, numbers["eval_feat_raw"], 1e-5)
    close(feature, numbers["eval_feat_norm"], 1e-5)
    close(feature.norm(dim=1), numbers["norm_of_feat"], 1e-5)
    close(weight, numbers["classifier_weight_after_forward"], 1e-6)
    close(logits, numbers["eval_logits_norm"], 1e-5)
    normalize = method.networks["normalize"]
    close(method.score(x * normalize.std + normalize.mean), numbers["score"], 1e-5)


def test_the_domain_loss_and_its_reversed_gradient_are_the_official_ones():
    numbers = golden("ssdg_adv")
    discriminator = Discriminator(512, 3)
    state = filled(numbers)
    discriminator.load_state_dict(part(state, **{"hidden.": "ad_net.0.", "out.": "ad_net.3."}))
    feature = torch.tensor(numbers["feat"], requires_grad=True)
    factor = reversal_factor(1000, 4000)
    assert factor == pytest.approx(float(numbers["coeff"]), rel=1e-12)
    logits = discriminator(reverse_gradient(feature, factor))
    domain = torch.tensor(numbers["domain"])
    total, count = domain_loss(logits, domain, torch.ones(9, dtype=torch.bool))
    (total / count).backward()
    close(logits.detach(), numbers["out"], 1e-5)
    np.testing.assert_allclose((total / count).item(), numbers["loss"], rtol=1e-5)
    np.testing.assert_allclose((total / count).item(), functional.cross_entropy(logits, domain).item(), rtol=1e-6)
    close(feature.grad, numbers["grad_feat_through_grl_iter1000"], 1e-5)
