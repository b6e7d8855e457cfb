"""The networks of HFN+MP against the numbers of its official code; see golden/README.md."""

import numpy as np
import pytest
import scipy.special
import torch
from locations import GOLDEN

from fasray.nets.hfn import HFN, Stream
from fasray.nets.pattern import PatternExtractor

OURS = {
    "fpn.fpn_rgb.": "rgb.",
    "fpn.fpn_tex.": "texture.",
    "pred_head_0.": "map_head.",
    "cls_heads.": "class_head.",
}
PYRAMID = ("conv6", "conv7", "latlayer", "toplayer")


def golden(name):
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
        return dict(file)


def renamed(name):
    for theirs, ours in OURS.items():
        if name.startswith(theirs):
            rest = name.removeprefix(theirs)
            trunk = "" if ours.endswith("head.") or rest.startswith(PYRAMID) else "trunk."
            return ours + trunk + rest
    return name


def filled(network, numbers):
    """Give the network the state that the golden forward used."""
    state = {}
    for i, (name, shape, kind) in enumerate(
        zip(numbers["state_names"], numbers["state_shapes"], numbers["state_kinds"], strict=True)
    ):
        if kind == "skip":
            continue
        sizes = tuple(int(size) for size in shape.split(","))
        z = np.random.default_rng([int(numbers["fill_seed"]), i]).standard_normal(sizes)
        scale, shift = {
            "w": (np.sqrt(2 / np.prod(sizes[1:])), 0),
            "bias": (0.05, 0),
            "mean": (0.05, 0),
            "bnw": (0.05, 1),
            "var": (0.1, 1),
        }[str(kind)]
        value = ((np.abs(z) if kind == "var" else z) * scale + shift).astype(np.float32)
        assert value.sum(dtype=np.float64) == pytest.approx(numbers["state_sums"][i], rel=1e-9)
        state[renamed(str(name))] = torch.from_numpy(value)
    found = network.load_state_dict(state, strict=False)
    assert not found.unexpected_keys
    assert all(name.endswith("num_batches_tracked") for name in found.missing_keys)
    return network


def images():
    return torch.from_numpy(np.random.default_rng([401, 777]).random((2, 3, 256, 256)).astype(np.float32))


def assert_close(found, expected, relative):
    np.testing.assert_allclose(found, expected, rtol=relative, atol=relative * np.abs(expected).max())


@pytest.mark.parametrize(("mode", "tolerance"), [("eval", 1e-5), ("train", 1e-4)])
@torch.no_grad()
def test_patterns_and_restored_images_are_the_official_ones(mode, tolerance):
    numbers = golden("hfnmp_pattern_extractor")
    for x, prefix in ((images(), ""), (torch.from_numpy(numbers["small_x"]), "small_")):
        network = filled(PatternExtractor(), numbers).train(mode == "train")
        pattern = network(x)
        for key, found in (("tex", pattern), ("rec", network.restore(pattern))):
            if prefix:
                assert_close(found, numbers[f"small_{key}_{mode}"], tolerance)
            else:
                assert_close(found.flatten()[numbers[f"{mode}_{key}_idx"]], numbers[f"{mode}_{key}_val"], tolerance)
                assert found.double().sum().item() == pytest.approx(numbers[f"{mode}_{key}_stats"][3], rel=tolerance)


def test_the_pattern_extractor_has_the_official_number_of_parameters():
    network, numbers = PatternExtractor(), golden("hfnmp_pattern_extractor")
    assert sum(parameter.numel() for parameter in network.parameters()) == numbers["n_params"] == 702
    assert sum(parameter.numel() for parameter in network.encoder.parameters()) == numbers["n_params_encoder"]


@pytest.fixture(scope="module")
def golden_network():
    numbers = golden("hfnmp_hfn")
    return filled(HFN(), numbers), numbers


def test_the_network_has_the_official_number_of_parameters(golden_network):
    network, numbers = golden_network
    assert sum(parameter.numel() for parameter in network.parameters()) == numbers["n_params"] == 62_126_467
    assert sum(parameter.numel() for parameter in network.rgb.parameters()) == numbers["n_params_one_fpn"]


def assert_same_saturated_map(logit, expected, relative):
    """Compare a map by its logits, relative to their scale, which is in the hundreds.

    What float32 keeps of such logits is more than their sigmoids show: the golden's own are 5e-5 off those of float64.
    Where a golden value says nothing of its logit any more, being nearly 0 or 1, the map itself is compared.
    """
    known = (expected > 1e-6) & (expected < 1 - 1e-4)
    assert known.any()
    assert np.abs(logit).max() > 100
    room = relative * np.abs(logit).max()
    np.testing.assert_allclose(logit[known], scipy.special.logit(expected[known].astype(np.float64)), rtol=0, atol=room)
    np.testing.assert_allclose(scipy.special.expit(logit)[~known], expected[~known], rtol=0, atol=relative)


@pytest.mark.parametrize(("mode", "tolerance"), [("eval", 1e-5), ("train", 1e-3)])
@torch.no_grad()
def test_maps_logits_and_scores_are_the_official_ones(golden_network, mode, tolerance):
    network, numbers = golden_network
    network.train(mode == "train")
    pattern = torch.from_numpy(numbers["x_tex"])
    p3, p7 = network.pyramid(images(), pattern)
    for key, found in (("p3", p3), ("p7", p7)):
        assert found.shape == tuple(numbers[f"{mode}_{key}_shape"])
        values = found.flatten()[numbers[f"{mode}_{key}_idx"]]
        assert_close(values, numbers[f"{mode}_{key}_val"], tolerance)
    live_map, logits = network.map_head(p3), network.class_head(p7.mean(dim=(2, 3)))
    if mode == "eval":
        assert_same_saturated_map(network.map_head[:-1](p3).numpy(), numbers["eval_map"], tolerance)
    else:
        assert_close(live_map, numbers["train_map"], tolerance)
    assert_close(logits, numbers[f"{mode}_cls"], tolerance)
    score = (live_map.mean(dim=(1, 2, 3)) + logits.softmax(1)[:, 1]) / 2
    assert_close(score, numbers[f"{mode}_score"], tolerance)


def test_a_trunk_is_torchvisions_resnet50_without_its_classifier():
    from torchvision.models import resnet50

    torch.manual_seed(0)
    theirs, ours = resnet50(), Stream().trunk
    ours.load_state_dict({name: value for name, value in theirs.state_dict().items() if not name.startswith("fc.")})
    theirs.fc = torch.nn.Identity()
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(ours.eval().maps(images)[-1].mean((2, 3)), theirs.eval()(images), rtol=1e-5, atol=1e-6)
