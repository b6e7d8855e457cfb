"""RFMeta against the numbers of its official code; see golden/README.md."""

import numpy as np
import pytest
import torch
from locations import GOLDEN

from fasray.methods.rfmeta import classification_loss, depth_loss
from fasray.nets.depthnet import DepthEstimator, FeatEmbedder, FeatExtractor, joined
from fasray.nets.inner_loop import forward_with, inner_step


def golden(name):
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
        return dict(file)


def fill(module, numbers, prefix=""):
    """Give the module the state of the golden run; entries correspond in order, whatever their names."""
    state, kinds = {}, numbers[f"{prefix}state_kinds"]
    assert len(module.state_dict()) == len(kinds)
    for i, ((name, own), kind) in enumerate(zip(module.state_dict().items(), kinds, strict=True)):
        shape = str(numbers[f"{prefix}state_shapes"][i])
        assert tuple(own.shape) == tuple(int(size) for size in shape.split(",") if size)
        if kind == "skip":
            state[name] = own
            continue
        z = np.random.default_rng([int(numbers[f"{prefix}fill_seed"]), i]).standard_normal(tuple(own.shape))
        value = {
            "w": lambda z=z: z * np.sqrt(2 / np.prod(z.shape[1:])),
            "bias": lambda z=z: 0.05 * z,
            "mean": lambda z=z: 0.05 * z,
            "bnw": lambda z=z: 1 + 0.05 * z,
            "var": lambda z=z: 1 + 0.1 * np.abs(z),
        }[str(kind)]()
        value = value.astype(np.float32)
        assert value.sum(dtype=np.float64) == pytest.approx(numbers[f"{prefix}state_sums"][i], rel=1e-9)
        state[name] = torch.tensor(value)
    module.load_state_dict(state)
    return module


@pytest.fixture(scope="module")
def networks():
    numbers = golden("rfmeta_depthnet")
    extractor, depth, embedder = FeatExtractor(), DepthEstimator(128), FeatEmbedder(128)
    for module, prefix in ((extractor, "F_"), (depth, "D_"), (embedder, "E_")):
        fill(module, numbers, prefix)
    return torch.nn.ModuleList([extractor, depth, embedder]), numbers


def test_each_network_has_the_official_number_of_parameters(networks):
    modules, numbers = networks
    counts = [sum(parameter.numel() for parameter in module.parameters()) for module in modules]
    assert counts == [numbers[f"{prefix}_n_params"] for prefix in "FDE"] == [1_731_108, 517_251, 1_625_217]


@pytest.mark.parametrize(("mode", "tolerance"), [("eval", 1e-5), pytest.param("train", 1e-3, marks=pytest.mark.slow)])
def test_maps_depth_and_logit_are_the_official_ones(networks, mode, tolerance):
    """At 256 pixels. In training mode batch normalisation sees two images, and the meta learner keeps them alone."""
    modules, numbers = networks
    modules.train(mode == "train")
    extractor, depth, embedder = modules
    with torch.no_grad():
        maps = extractor(torch.tensor(numbers["x"]))
        together, last = joined(*maps[1:]), maps[-1]
        estimated, logit = depth(together), embedder(last)[1]
    assert together.shape == tuple(numbers["cat_shape"])
    assert last.shape == tuple(numbers["dx4_shape"])
    for found, key in ((together, "cat"), (last, "dx4")):
        expected = numbers[f"{mode}_{key}_val"]
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found.reshape(-1)[numbers[f"{mode}_{key}_idx"]], expected, atol=tolerance * scale)
        mean, deviation, most, total = numbers[f"{mode}_{key}_stats"]
        assert found.double().sum().item() == pytest.approx(total, rel=tolerance)
        assert [found.mean().item(), found.std().item(), found.abs().max().item()] == pytest.approx(
            [mean, deviation, most], rel=tolerance
        )
    expected = numbers[f"{mode}_depth"]
    np.testing.assert_allclose(estimated, expected, rtol=0, atol=tolerance * np.abs(expected).max())
    np.testing.assert_allclose(logit, numbers[f"{mode}_logit"][:, 0], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(logit.sigmoid(), numbers[f"{mode}_score"][:, 0], rtol=tolerance)
    if mode == "train":
        for statistic in ("mean", "var"):
            found = getattr(embedder.features[1], f"running_{statistic}")
            expected = numbers[f"E_bn0_running_{statistic}_after_train_fwd"]
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_both_losses_and_their_gradients_are_the_official_ones():
    numbers = golden("rfmeta_losses")
    logit = torch.tensor(numbers["logit"], requires_grad=True)
    depth = torch.tensor(numbers["depth_pred"], requires_grad=True)
    cls = classification_loss(logit, torch.tensor(numbers["label"]))
    dep = depth_loss(depth, torch.tensor(numbers["depth_gt"]))
    total = cls + 10 * dep
    total.backward()
    found = [cls.item(), dep.item(), total.item()]
    assert found == pytest.approx([numbers[key].item() for key in ("loss_cls", "loss_dep", "total_wdepth10")], rel=1e-9)
    np.testing.assert_allclose(logit.grad, numbers["grad_logit"], rtol=1e-9)
    np.testing.assert_allclose(depth.grad, numbers["grad_depth"], rtol=1e-9, atol=1e-12)


def test_the_inner_step_and_both_orders_of_the_outer_gradient_are_the_official_ones():
    """In float64: one step on four feature maps, then the loss of the adapted meta learner on the same maps."""
    numbers = golden("rfmeta_inner_update")
    embedder = fill(FeatEmbedder(128), numbers).double()
    x, label = torch.tensor(numbers["feat"]).double(), torch.tensor(numbers["label"])
    before = {name: buffer.clone() for name, buffer in embedder.named_buffers()}
    loss = classification_loss(forward_with(embedder, dict(embedder.named_parameters()), x)[1], label)
    assert loss.item() == pytest.approx(numbers["loss_before"].item(), rel=1e-9)
    cases = (("lr1e3", 1e-3, True, ""), ("lr1e3", 1e-3, False, ""), ("lr1e1", 0.1, True, "_lr1e1"))
    for name, rate, second_order, suffix in cases:
        theta = inner_step(embedder, loss, rate, second_order=second_order, average=list)
        steps = [(own - theta[key]).norm().item() / rate for key, own in embedder.named_parameters()]
        np.testing.assert_allclose(steps, numbers["inner_grad_norms"], rtol=1e-9, atol=1e-12)
        logit = forward_with(embedder, theta, x)[1]
        after = classification_loss(logit, label)
        np.testing.assert_allclose(logit.detach(), numbers[f"logits_after_{name}"][:, 0], rtol=1e-9)
        assert after.item() == pytest.approx(numbers[f"loss_after_{name}"].item(), rel=1e-9)
        grads = torch.autograd.grad(after, list(embedder.parameters()), retain_graph=True)
        order = "second" if second_order else "first"
        norms = [grad.norm().item() for grad in grads]
        np.testing.assert_allclose(norms, numbers[f"{order}_order_grad_norms{suffix}"], rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose(grads[-2], numbers[f"{order}_order_grad_fcw{suffix}"], rtol=1e-9, atol=1e-12)
        if not suffix:
            expected = numbers[f"{order}_order_grad_conv0"]
            np.testing.assert_allclose(grads[0][:4], expected, rtol=1e-8, atol=1e-9 * np.abs(expected).max())
    assert all(torch.equal(before[name], buffer) for name, buffer in embedder.named_buffers())
