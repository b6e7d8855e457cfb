import copy

import numpy as np
import pytest
import torch
from torch.nn import functional
from toy_draws import context, run, toy_draw, weights

from fasray.methods.base import Build
from fasray.methods.hfn_mp import HFNMP, HFNMPConfig, fused_score, limit_gradients, live_losses
from fasray.nets.hfn import HFN


def built(num_domains=3, *, seed=0, width=0.0625, **config):
    torch.manual_seed(seed)
    method = HFNMP(HFNMPConfig(**config))
    method.build(Build(num_domains=num_domains, image_size=32, total_steps=20, width=width))
    return method


def parameters(method):
    return {name: value.detach().clone() for name, value in method.networks.named_parameters()}


def changed(one, other):
    return {name for name in one if not torch.equal(one[name], other[name])}


def test_the_losses_and_the_score_are_their_formulas():
    rng = np.random.default_rng(0)
    live_map, logits, label = rng.random((5, 1, 3, 3)), rng.standard_normal((5, 2)), np.array([0, 1, 1, 0, 1])
    given = torch.tensor(live_map), torch.tensor(logits)
    map_loss, class_loss = live_losses(*given, torch.tensor(label))
    assert map_loss.item() == pytest.approx(np.mean((live_map - label[:, None, None, None]) ** 2), rel=1e-12)
    probability = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert class_loss.item() == pytest.approx(-np.log(probability[np.arange(5), label]).mean(), rel=1e-12)
    expected = [(one.mean() + two[1]) / 2 for one, two in zip(live_map, probability, strict=True)]
    np.testing.assert_allclose(fused_score(*given), expected, rtol=1e-12)


def test_gradients_are_shortened_only_beyond_the_limit_and_dropped_if_not_finite():
    for given, expected in (
        ([[3.0], [4.0]], [[3.0], [4.0]]),
        ([[30.0], [-40.0]], [[6.0], [-8.0]]),
        ([[1.0], [np.inf]], [[0.0], [0.0]]),
        ([[1.0], [np.nan]], [[0.0], [0.0]]),
        ([[0.0], [0.0]], [[0.0], [0.0]]),
    ):
        gradients = [torch.tensor(one) for one in given]
        limit_gradients(gradients, 10.0)
        assert [gradient.tolist() for gradient in gradients] == [pytest.approx(one) for one in expected]


@pytest.mark.parametrize("num_domains", [2, 3, 4])
def test_one_step_is_the_official_alternation(num_domains):
    """Written out with the networks alone: extractor on the meta-test domain, then HFN on the others, by hand."""
    method, draws = built(num_domains, inner_loops=2), [toy_draw(built(), num_domains, seed=n) for n in range(3)]
    pattern, hfn = (copy.deepcopy(method.networks[name]).train() for name in ("pattern", "hfn"))
    *meta_train, meta_test = context(3).rng("hfn_mp/domains").permutation(num_domains).tolist()
    of_pattern = torch.optim.SGD(pattern.encoder.parameters(), 0.001 * 4, momentum=0.9)
    of_hfn = torch.optim.SGD(hfn.parameters(), 0.001, momentum=0.9)

    def loss_of(draw, domains):
        of_domains = torch.isin(draw.domain, torch.tensor(domains))
        x, y = draw.views[0][of_domains].flip(1), draw.label[of_domains]
        live_map, logits = hfn(x, pattern(x))
        target = y.float()[:, None, None, None].expand(-1, 1, 4, 4)
        return functional.mse_loss(live_map, target) + functional.cross_entropy(logits, y)

    for draw in draws[:2]:
        of_pattern.zero_grad()
        loss_of(draw, [meta_test]).backward()
        of_pattern.step()
    of_hfn.zero_grad()
    (loss_of(draws[2], meta_train) / 2).backward()
    of_hfn.step()
    method.step(draws, context(3))
    for name, by_hand in (("pattern", pattern), ("hfn", hfn)):
        for key, value in by_hand.state_dict().items():
            torch.testing.assert_close(method.networks[name].state_dict()[key], value, rtol=1e-5, atol=1e-7)


def test_every_domain_comes_to_be_the_one_held_out():
    last = {int(context(step).rng("hfn_mp/domains").permutation(3)[-1]) for step in range(20)}
    assert last == {0, 1, 2}


@pytest.mark.parametrize("order", ["first", "second"])
def test_the_extractors_update_looks_at_meta_train_images_in_the_second_order_only(order):
    method = built(order=order)
    draw = toy_draw(method, 3)
    meta_test, one, other = (method._part(draw, [domain]) for domain in range(3))
    gradients = []
    for meta_train in (one, other):
        method.networks.zero_grad()
        loss = method.meta_test_loss(meta_test, meta_train, context())
        gradients.append(torch.autograd.grad(loss, list(method.networks["pattern"].encoder.parameters())))
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True)) == (order == "first")


def in_double(order):
    """The extractor's parameters and loss, in double precision; 64 px, for smaller maps make a very rough loss."""
    method = built(2, order=order, learning_rate=0.01)
    method.networks.double().train()
    draw = toy_draw(method, 2, size=64)
    meta_test, meta_train = (
        (images.double(), label) for images, label in (method._part(draw, [domain]) for domain in range(2))
    )
    own = list(method.networks["pattern"].encoder.parameters())
    return own, lambda: method.meta_test_loss(meta_test, meta_train, context())


@torch.no_grad()
def moved(values, direction, by):
    for value, part in zip(values, direction, strict=True):
        value.add_(part, alpha=by)


def test_second_order_gradients_agree_with_finite_differences():
    """Steps are tiny: thousands of ReLUs on statistics of few pixels leave the loss smooth over short ways only."""
    own, loss = in_double("second")
    gradients, way = torch.autograd.grad(loss(), own), 1e-10
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        direction = [torch.randn(value.shape, generator=generator, dtype=torch.float64) for value in own]
        values = []
        for by in (way, -way):
            moved(own, direction, by)
            values.append(loss().item())
            moved(own, direction, -by)
        along = sum((gradient * part).sum().item() for gradient, part in zip(gradients, direction, strict=True))
        assert (values[0] - values[1]) / (2 * way) == pytest.approx(along, rel=1e-3)


def test_the_first_order_is_another_gradient():
    first, second = (torch.autograd.grad(loss(), own) for own, loss in map(in_double, ("first", "second")))
    assert not torch.allclose(first[0], second[0], rtol=1e-2)


def test_an_untouched_decoder_stays_as_it_began_and_a_weight_trains_it():
    for weight in (0.0, 1.0):
        method = built(restoration_weight=weight)
        before = parameters(method)
        run(method, 1)
        decoder = {name for name in changed(before, parameters(method)) if "decoder" in name}
        assert bool(decoder) == (weight > 0)


def test_colours_are_seen_in_the_order_asked_for():
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    bgr, rgb = built(channel_order="bgr"), built(channel_order="rgb")
    torch.testing.assert_close(bgr.score(images), rgb.score(images.flip(1)))
    assert not torch.allclose(bgr.score(images), rgb.score(images))


def test_the_last_part_trains_hfn_anew_under_a_frozen_extractor():
    method = built(retrain_part=0.5, inner_loops=1)
    run(method, 10)
    pattern, hfn = (copy.deepcopy(method.networks[name].state_dict()) for name in ("pattern", "hfn"))
    run(method, 1, first=10)
    assert all(torch.equal(value, method.networks["pattern"].state_dict()[name]) for name, value in pattern.items())
    assert method.networks["hfn"].state_dict()["rgb.trunk.bn1.num_batches_tracked"] == 1
    assert not torch.allclose(hfn["class_head.weight"], method.networks["hfn"].state_dict()["class_head.weight"])


def test_training_anew_begins_alike_after_an_interruption():
    """The new weights come from the run's seed, not from what was built before, and leave the generator alone."""
    whole = built(retrain_part=0.5, inner_loops=1)
    run(whole, 9)
    resumed = built(retrain_part=0.5, inner_loops=1, seed=77)
    resumed.networks.load_state_dict(copy.deepcopy(whole.networks.state_dict()))
    for name, optimizer in whole.optimizers.items():
        resumed.optimizers[name].load_state_dict(copy.deepcopy(optimizer.state_dict()))
    state = torch.get_rng_state()
    for method in (whole, resumed):
        run(method, 3, first=9)
    assert not changed(weights(whole), weights(resumed))
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(("total", "part", "begins", "grace"), [(20, 0.0, 20, 1), (20, 0.25, 15, 16), (1, 0.5, 1, 1)])
def test_grace_lasts_until_hfn_is_trained_anew(total, part, begins, grace):
    config = HFNMPConfig(retrain_part=part)
    assert (config.retrain_step(total), config.min_grace(total)) == (begins, grace)


@pytest.mark.parametrize("order", ["first", pytest.param("second", marks=pytest.mark.slow)])
def test_faces_that_brightness_tells_apart_are_learnt(order):
    method = built(order=order, inner_loops=1, optimizer="adam", learning_rate=2e-3)
    losses = [run(method, 1, first=step, per_group=4)["loss"].item() for step in range(20)]
    assert losses[-1] < 0.5 * losses[0]


def test_images_that_are_no_multiple_of_32_make_maps_of_an_eighth():
    live_map, logits = HFN(0.0625).eval()(torch.rand(2, 3, 72, 72), torch.rand(2, 3, 72, 72))
    assert (live_map.shape, logits.shape) == ((2, 1, 9, 9), (2, 2))


def test_weights_of_a_trunk_go_into_both_streams(tmp_path):
    torch.manual_seed(1)
    trunk = HFN(0.0625).rgb.trunk
    torch.save(trunk.state_dict(), tmp_path / "trunk.pth")
    network = HFN(0.0625, backbone_weights=str(tmp_path / "trunk.pth"))
    for stream in (network.rgb, network.texture):
        assert torch.equal(stream.trunk.layer3[2].conv2.weight, trunk.layer3[2].conv2.weight)
        assert torch.equal(stream.conv7.weight, network.rgb.conv7.weight)
