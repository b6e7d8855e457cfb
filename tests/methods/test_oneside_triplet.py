import itertools
import math

import numpy as np
import pytest
import torch
from locations import GOLDEN
from torch.nn import functional
from toy_draws import built, context, draws_of, run, toy_draw, weights

from fasray.methods.base import Draw
from fasray.methods.oneside_triplet import OneSideTripletConfig, on_sphere, one_side_triplet_loss, parsing_loss
from fasray.nets.depthnet import FaceParser, FeatExtractor


def triplets_by_hand(feature, label, margin, known=(), squared=False):
    """Loss, violated triplets and all triplets, by loops."""

    def apart(a, b):
        square = sum((p - q) ** 2 for p, q in zip(a, b, strict=True))
        return square if squared else math.sqrt(square)

    terms = []
    for i, anchor in enumerate(feature):
        if label[i] == 0:
            continue
        positives = [one for j, one in enumerate(feature) if label[j] == 1 and j != i] + list(known)
        negatives = [one for j, one in enumerate(feature) if label[j] == 0]
        terms += [apart(anchor, p) - apart(anchor, n) + margin for p, n in itertools.product(positives, negatives)]
    violated = [term for term in terms if term > 0]
    return sum(violated) / max(len(violated), 1), len(violated), len(terms)


@pytest.mark.parametrize("margin", [0.1, 0.3, 0.5])
def test_the_triplet_loss_is_our_definition_as_computed_before(margin):
    with np.load(GOLDEN / "inferred_losses.npz", allow_pickle=False) as numbers:
        feature = torch.tensor(numbers["emb"], requires_grad=True)
        label = torch.tensor(numbers["label"])
        loss = one_side_triplet_loss(feature, label, margin)
        assert loss.item() == pytest.approx(numbers[f"oneside_loss_m{margin}"].item(), rel=1e-9)
        by_hand = triplets_by_hand(feature.tolist(), label.tolist(), margin)
        assert list(by_hand[1:]) == numbers[f"oneside_active_m{margin}"].tolist()
        if margin == 0.3:
            loss.backward()
            np.testing.assert_allclose(feature.grad, numbers["oneside_grad_m0.3"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("distance", ["l2", "squared"])
@pytest.mark.parametrize("further", [0, 3])
def test_the_triplet_loss_equals_loops_over_its_triplets(distance, further):
    generator = torch.Generator().manual_seed(0)
    feature = torch.randn(10, 4, generator=generator, dtype=torch.float64)
    known = torch.randn(further, 4, generator=generator, dtype=torch.float64) if further else None
    label = torch.tensor([1, 0, 1, 1, 0, 0, 1, 0, 0, 1])
    found = one_side_triplet_loss(feature, label, 0.2, known_PF=known, distance=distance).item()
    others = known.tolist() if further else []
    expected = triplets_by_hand(feature.tolist(), label.tolist(), 0.2, others, distance == "squared")[0]
    assert found == pytest.approx(expected, rel=1e-12)


def test_spoof_faces_are_never_drawn_together():
    """Moving a spoof face that is far from all live ones changes nothing, near or far from other spoof faces."""
    feature = torch.tensor([[0.0, 0.0], [0.1, 0.0], [5.0, 0.0], [0.2, 0.1]])
    moved = feature.clone()
    moved[2] = torch.tensor([9.0, -7.0])
    label = torch.tensor([1, 1, 0, 0])
    losses = [one_side_triplet_loss(one, label, 0.3).item() for one in (feature, moved)]
    assert losses[0] == losses[1] > 0


@pytest.mark.parametrize("label", [[1, 1, 1], [0, 0, 0], [1, 0, 0]])
def test_a_batch_without_triplets_has_loss_and_gradient_zero(label):
    feature = torch.ones(3, 4, requires_grad=True)
    loss = one_side_triplet_loss(feature, torch.tensor(label), 0.3)
    loss.backward()
    assert loss == 0
    assert not feature.grad.any()


def test_equal_vectors_have_finite_gradients_of_both_orders():
    feature = torch.zeros(4, 3, requires_grad=True)
    loss = one_side_triplet_loss(on_sphere(feature), torch.tensor([1, 1, 0, 0]), 0.3)
    (first,) = torch.autograd.grad(loss, feature, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum() + first.sum(), feature)
    assert loss.item() == pytest.approx(0.3)
    assert first.isfinite().all()
    assert second.isfinite().all()


def test_the_sphere_has_radius_one():
    feature = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(on_sphere(feature), functional.normalize(feature, dim=1))


def test_the_parsing_loss_is_the_mean_cross_entropy_over_the_pixels_that_count():
    generator = torch.Generator().manual_seed(0)
    logit, target = torch.randn(4, 11, 6, 6, generator=generator), torch.randint(11, (4, 6, 6), generator=generator)
    counts = torch.tensor([1, 0, 1, 1])
    expected = functional.cross_entropy(logit[counts == 1], target[counts == 1])
    torch.testing.assert_close(parsing_loss(logit, target, counts), expected)
    assert parsing_loss(logit, target, torch.zeros(4, dtype=torch.int64)) == 0


@pytest.mark.parametrize(("size", "stages"), [(32, 3), (64, 3), (96, 3), (128, 2), (256, 1), (512, 0)])
def test_the_parser_doubles_until_it_has_the_labels_size(size, stages):
    extractor = FeatExtractor(0.125)
    parser = FaceParser(extractor, 0.125, size)
    assert len(parser.stages) == stages
    maps = [torch.rand(1, c, size // s, size // s) for c, s in ((8, 1), (16, 2), (16, 4), (16, 8))]
    assert parser(maps).shape == (1, 11, 64, 64)


def double(draw):
    views = tuple(view.double() for view in draw.views)
    return Draw(views, draw.label, draw.domain, draw.depth.double(), draw.parsing)


def total(method):
    c = method.config
    train, test = method.losses(double(draws_of(method)[0]), context())
    return train.total(c) + c.meta_test_weight * test.total(c)


def gradients(method):
    method.networks.zero_grad(set_to_none=True)
    total(method).backward()
    return {name: parameter.grad.clone() for name, parameter in method.networks.named_parameters()}


@pytest.mark.parametrize("part", ["extractor", "parser", "embedder"])
def test_second_order_gradients_agree_with_finite_differences(part):
    """Along a random direction, in float64; with a large inner step, so that its share is felt."""
    method = built("oneside_triplet", inner_learning_rate=0.3)
    method.networks.double().train()
    grads, generator = gradients(method), torch.Generator().manual_seed(0)
    chosen = {name: one for name, one in method.networks.named_parameters() if name.startswith(part)}
    directions = {
        name: torch.randn(one.shape, generator=generator, dtype=torch.float64) for name, one in chosen.items()
    }
    along = sum((grads[name] * direction).sum() for name, direction in directions.items()).item()
    values, size = [], 1e-9  # so small that no rectifier, maximum or triplet changes its mind
    for sign in (1, -2):
        with torch.no_grad():
            for name, parameter in chosen.items():
                parameter += sign * size * directions[name]
        values.append(total(method).item())
    assert along == pytest.approx((values[0] - values[1]) / (2 * size), rel=1e-5)


def test_the_first_order_gradient_differs_where_the_inner_step_counts():
    first, second = (built("oneside_triplet", inner_learning_rate=0.3, second_order=order) for order in (False, True))
    for method in (first, second):
        method.networks.double().train()
    one, other = gradients(first), gradients(second)
    for name in ("embedder.fc.weight", "extractor.inc.0.weight"):
        assert (one[name] - other[name]).norm() > 0.001 * other[name].norm()
    torch.testing.assert_close(one["parser.classes.weight"], other["parser.classes.weight"])


def test_the_inner_step_is_driven_by_the_triplets_too():
    """With the outer weight of everything but the adapted classification at zero, the triplets still matter."""
    plain, driven = (built("oneside_triplet", inner_learning_rate=0.3, triplet_weight=weight) for weight in (0.0, 2.0))
    tests = [method.losses(draws_of(method)[0], context())[1] for method in (plain, driven)]
    assert tests[0].cls != tests[1].cls


def test_known_live_faces_join_the_meta_test_triplets():
    without, joining = (built("oneside_triplet", known_positives=known) for known in (False, True))
    (train, test), (same, other) = (method.losses(draws_of(method)[0], context()) for method in (without, joining))
    assert train.triplet == same.triplet
    assert test.triplet != other.triplet


def test_the_margin_is_enlarged_in_two_stages():
    config = OneSideTripletConfig()
    assert config.margins(0, 10) == pytest.approx((0.1, 0.3))
    assert config.min_grace(10) == 1
    config = OneSideTripletConfig(margin_schedule="budget")
    assert [config.margins(step, 4) for step in range(4)] == [(0.1, 0.1)] * 2 + [(0.1 * 3.0,) * 2] * 2
    assert config.min_grace(4) == 3
    assert config.min_grace(1) == 1


def test_spoof_faces_left_out_of_parsing_do_not_count_there():
    every, live = (built("oneside_triplet", spoof_parsing=kind) for kind in ("background", "ignore"))
    found = [method.losses(draws_of(method)[0], context())[0] for method in (every, live)]
    assert found[0].parsing != found[1].parsing
    assert found[0].depth == found[1].depth


@pytest.mark.parametrize("num_domains", [2, 4])
def test_two_and_four_domains_train(num_domains):
    method = built("oneside_triplet", num_domains)
    assert run(method, 1, num_domains=num_domains)["loss"].isfinite()


def test_a_weight_of_zero_takes_its_loss_out_of_the_update():
    method = built("oneside_triplet", parsing_weight=0.0, triplet_weight=0.0, depth_weight=0.0, meta_test_weight=0.0)
    before = weights(method)
    logs = run(method, 1)
    assert logs["loss"] == logs["meta_train_cls"]
    for name in ("parser.classes.weight", "depth.conv.0.weight"):
        assert torch.equal(before[name], weights(method)[name])


def test_faces_that_brightness_tells_apart_are_learnt():
    method = built("oneside_triplet", steps=25, bn_momentum=0.1)
    draws = draws_of(method, per_group=3)
    losses = [method.step(draws, context(step, 25))["loss"].item() for step in range(25)]
    assert sum(losses[-3:]) < 0.6 * sum(losses[:3])
    draw = toy_draw(method, 3, per_group=8, seed=999)
    score = method.score(draw.views[0])
    assert ((score > score.median()) == (draw.label == 1)).float().mean() > 0.9
