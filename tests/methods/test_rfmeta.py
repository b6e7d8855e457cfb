import copy

import pytest
import torch
from toy_draws import built, context, draws_of, run, toy_draw, weights

from fasray.methods.base import Build
from fasray.methods.rfmeta import rows_by_domain, split_domains
from fasray.nets.depthnet import joined
from fasray.nets.hsv import with_hsv
from fasray.nets.inner_loop import forward_with, inner_step


def gradients(method, ctx):
    """The outer gradient of one step, flat, without taking the step."""
    method.networks.zero_grad(set_to_none=True)
    c = method.config
    method.losses(double(draws_of(method)[0]), ctx).total(c.depth_weight, c.meta_test_weight).backward()
    return [parameter.grad.clone() for parameter in method.networks.parameters()]


def double(draw):
    return type(draw)(tuple(view.double() for view in draw.views), draw.label, draw.domain, draw.depth.double())


@pytest.mark.parametrize("part", ["extractor", "depth", "embedder"])
def test_second_order_gradients_agree_with_finite_differences(part):
    """Along random directions in each network, in float64; with a large inner step, so that its share is felt."""
    method = built("rfmeta", inner_learning_rate=0.3)
    method.networks.double().train()
    directions = [torch.zeros_like(parameter) for parameter in method.networks.parameters()]
    generator = torch.Generator().manual_seed(0)
    for (name, parameter), direction in zip(method.networks.named_parameters(), directions, strict=True):
        if name.startswith(part):
            direction.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    along = sum((g * d).sum() for g, d in zip(gradients(method, context()), directions, strict=True)).item()
    values, size = [], 1e-9  # so small that no rectifier or maximum changes its mind
    for sign in (1, -2):
        with torch.no_grad():
            for parameter, direction in zip(method.networks.parameters(), directions, strict=True):
                parameter += sign * size * direction
        losses = method.losses(double(draws_of(method)[0]), context())
        values.append(losses.total(10.0, 1.0).item())
    assert along == pytest.approx((values[0] - values[1]) / (2 * size), rel=1e-5)


def test_the_first_order_gradient_differs_where_the_inner_step_counts():
    first, second = (built("rfmeta", inner_learning_rate=0.3, second_order=order) for order in (False, True))
    for method in (first, second):
        method.networks.double().train()
    names = [name for name, _ in first.networks.named_parameters()]
    pairs = dict(zip(names, zip(gradients(first, context()), gradients(second, context()), strict=True), strict=True))
    one, other = pairs["embedder.fc.weight"]
    assert (one - other).norm() > 0.01 * other.norm()
    one, other = pairs["extractor.inc.0.weight"]
    assert (one - other).norm() > 0.001 * other.norm()
    for name, (one, other) in pairs.items():
        if name.startswith("depth"):
            torch.testing.assert_close(one, other)


def test_the_losses_are_those_of_a_loop_over_copies_of_the_meta_learner():
    """Reimplemented with deep copies and plain gradient descent instead of functional calls."""
    method = built("rfmeta", inner_learning_rate=0.3)
    draw, networks = draws_of(method)[0], method.networks.train()
    order = context().rng("meta-split").permutation(3)
    clones = {name: copy.deepcopy(module) for name, module in networks.items()}
    losses = method.losses(draw, context())
    criterion, squared, adapted = torch.nn.BCEWithLogitsLoss(), torch.nn.MSELoss(), []
    sums = {"train_cls": 0.0, "train_depth": 0.0, "test_cls": 0.0, "test_depth": 0.0}
    for place, domain in enumerate(order):
        mine = draw.domain == int(domain)
        maps = clones["extractor"](with_hsv(draw.views[0][mine]))
        x = maps[-1]
        part = "test" if place == 2 else "train"
        sums[f"{part}_depth"] += squared(clones["depth"](joined(*maps[1:])), draw.depth[mine]).item()
        if place < 2:
            one = copy.deepcopy(clones["embedder"])
            loss = criterion(one(x)[1], draw.label[mine].float())
            sums["train_cls"] += loss.item()
            loss.backward(inputs=list(one.parameters()))
            torch.optim.SGD(one.parameters(), 0.3).step()
            adapted.append(one)
        else:
            for one in adapted:
                sums["test_cls"] += criterion(one(x)[1], draw.label[mine].float()).item()
    for name, expected in sums.items():
        assert getattr(losses, name).item() == pytest.approx(expected, rel=1e-5)
    total = losses.total(10.0, 0.5).item()
    expected = sums["train_cls"] + 10 * sums["train_depth"] + 0.5 * (sums["test_cls"] + 10 * sums["test_depth"])
    assert total == pytest.approx(expected, rel=1e-5)


def test_an_inner_rate_of_zero_leaves_the_meta_learner_as_it_is():
    method = built("rfmeta")
    embedder = method.networks["embedder"].train()
    x = torch.rand(4, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    loss = embedder(x)[1].square().mean()
    theta = inner_step(embedder, loss, 0.0, second_order=True, average=list)
    torch.testing.assert_close(forward_with(embedder, theta, x), embedder(x))


def test_the_meta_test_pass_leaves_no_trace_in_the_running_statistics():
    """With momentum 1 the meta learner keeps the batch statistics of the last meta-train domain."""
    method = built("rfmeta")
    draw = draws_of(method)[0]
    last = int(context().rng("meta-split").permutation(3)[1])
    extractor, embedder = (copy.deepcopy(method.networks[key]).train() for key in ("extractor", "embedder"))
    embedder(extractor(with_hsv(draw.views[0][draw.domain == last]))[-1])
    expected = {name: buffer.clone() for name, buffer in embedder.named_buffers() if "running" in name}
    method.step([draw], context())
    for name, buffer in method.networks["embedder"].named_buffers():
        if "running" in name:
            torch.testing.assert_close(buffer, expected[name])


def test_every_step_splits_the_domains_anew_and_all_come_to_be_held_out():
    held_out = [split_domains(context(step).rng("meta-split").permutation(3).tolist(), 2)[1] for step in range(40)]
    assert {tuple(one) for one in held_out} == {(0,), (1,), (2,)}


@pytest.mark.parametrize(
    ("num_domains", "wanted", "train", "test"), [(2, 2, 1, 1), (3, 2, 2, 1), (3, 1, 1, 2), (4, 2, 2, 2), (4, 9, 3, 1)]
)
def test_at_least_one_domain_is_held_out(num_domains, wanted, train, test):
    parts = split_domains(list(range(num_domains)), wanted)
    assert [len(part) for part in parts] == [train, test]
    assert sorted(parts[0] + parts[1]) == list(range(num_domains))
    method = built("rfmeta", num_domains, meta_train_domains=wanted)
    assert run(method, 1, num_domains=num_domains)["loss"].isfinite()


def test_domains_are_found_in_any_order_of_the_batch():
    domain = torch.tensor([2, 0, 1, 1, 2, 0])
    assert rows_by_domain(domain, 3).tolist() == [[1, 5], [2, 3], [0, 4]]


@pytest.mark.parametrize("size", [32, 64, 72])
def test_depth_maps_are_an_eighth_of_the_image(size):
    method = built("rfmeta", size=size)
    maps = method.networks["extractor"](torch.rand(2, 6, size, size))
    assert method.networks["depth"](joined(*maps[1:])).shape == (2, 1, size // 8, size // 8)
    assert maps[-1].shape[2:] == (size // 8, size // 8)


@pytest.mark.parametrize(("start", "low", "high"), [("uniform", 0.02, 1.0), ("normal", 0.9, 1.1), ("ones", 1.0, 1.0)])
def test_the_scales_of_batch_normalisation_start_as_asked(start, low, high):
    method = built("rfmeta", bn_init=start)
    scales = torch.cat([value for name, value in method.networks.named_parameters() if value.dim() == 1 and
                        name.endswith("weight")])  # fmt: skip
    assert scales.min() >= low
    assert scales.max() <= high
    assert (scales.std() > 0) == (start != "ones")


def test_weights_of_zero_take_their_loss_out_of_the_update():
    method = built("rfmeta", depth_weight=0.0, meta_test_weight=0.0)
    before = weights(method)
    logs = run(method, 1)
    assert logs["loss"] == logs["meta_train_cls"]
    assert torch.equal(before["depth.conv.0.weight"], weights(method)["depth.conv.0.weight"])


@pytest.mark.parametrize("bn_momentum", [1.0, 0.1])
def test_faces_that_brightness_tells_apart_are_learnt(bn_momentum):
    method = built("rfmeta", steps=25, bn_momentum=bn_momentum)
    draws = draws_of(method, per_group=3)
    losses = [method.step(draws, context(step, 25))["loss"].item() for step in range(25)]
    assert sum(losses[-3:]) < 0.5 * sum(losses[:3])
    draw = toy_draw(method, 3, per_group=8, seed=999)
    score = method.score(draw.views[0])
    assert ((score > score.median()) == (draw.label == 1)).float().mean() > 0.9


def test_imagenet_weights_change_nothing():
    methods = []
    for source in ("none", "imagenet"):
        method = built("rfmeta")
        torch.manual_seed(3)
        method.build(Build(num_domains=3, image_size=32, total_steps=9, width=0.125, backbone_weights=source))
        methods.append(weights(method))
    assert all(torch.equal(value, methods[1][name]) for name, value in methods[0].items())


def test_half_precision_does_not_round_the_inner_step_away():
    """What a small inner step takes off the held-out loss is in proportion to it."""
    held_out = []
    for rate in (0.0, 1e-5, 1e-4):
        method = built("rfmeta", inner_learning_rate=rate)
        with torch.autocast("cpu", torch.bfloat16):
            held_out.append(method.losses(draws_of(method)[0], context()).test_cls.item())
    none, small, large = held_out
    assert none - large == pytest.approx(10 * (none - small), rel=0.1)
    assert none > large
