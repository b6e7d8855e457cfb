import math

import pytest
import torch
from torch.nn import functional
from toy_draws import built, context, draws_of, run, toy_draw, weights

from fasray.losses.domain import domain_loss
from fasray.losses.triplet import asymmetric_groups, triplet_loss
from fasray.methods.base import Build
from fasray.methods.ssdg import SSDGConfig, normalised_weight
from fasray.nets.dropout import dropout_mask
from fasray.nets.reversal import reversal_factor, reverse_gradient
from fasray.nets.ssdg import normalised_features
from fasray.seeds import stream


def triplet_by_hand(feature, group, margin):
    names = range(len(group))
    terms = [
        math.dist(feature[a], feature[p]) - math.dist(feature[a], feature[n]) + margin
        for a in names
        for p in names
        for n in names
        if a != p and group[a] == group[p] != group[n]
    ]
    violated = [term for term in terms if term > 0]
    return sum(violated) / len(violated)


def test_the_triplet_loss_equals_loops_written_by_hand():
    feature = torch.randn(13, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    label, domain = torch.tensor([0, 1, 1] * 4 + [0]), torch.tensor([0, 0, 1, 2, 2] * 2 + [1, 1, 3])
    group = asymmetric_groups(label, domain)
    assert set(group[label == 1].tolist()) == {0}
    assert (group[label == 0] == domain[label == 0] + 1).all()
    for margin in (0.1, 1.0):
        expected = triplet_by_hand(feature.tolist(), group.tolist(), margin)
        assert triplet_loss(feature, group, margin).item() == pytest.approx(expected, rel=1e-12)


def test_the_hardest_triplets_leave_out_an_anchor_without_a_positive():
    feature = torch.tensor([[0.0], [1.0], [3.0]])
    loss = triplet_loss(feature, torch.tensor([0, 0, 1]), 2.5, hardest=True)
    assert loss.item() == pytest.approx(((1 - 3 + 2.5) + (1 - 2 + 2.5)) / 2)


@pytest.mark.parametrize("hardest", [False, True])
@pytest.mark.parametrize("group", [[0, 0, 0], [0, 1, 2], [0, 0, 1]])
def test_batches_without_triplets_and_equal_vectors_have_a_finite_loss_and_gradient(hardest, group):
    feature = torch.ones(3, 2, requires_grad=True)
    loss = triplet_loss(feature, torch.tensor(group), 0.1, hardest=hardest)
    loss.backward()
    assert loss.item() == pytest.approx(0.1 if group == [0, 0, 1] else 0.0)
    assert not feature.grad.any()


def test_a_reversed_gradient_is_the_gradient_times_minus_the_factor():
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    y = reverse_gradient(x, 0.25)
    assert torch.equal(y, x)
    y.square().sum().backward()
    assert torch.equal(x.grad, -0.25 * 2 * x.detach())
    assert [reversal_factor(step, 10) for step in (0, 10)] == [0.0, pytest.approx(0.99990920, abs=1e-8)]


def test_the_two_workers_masks_are_the_rows_of_the_whole_mask():
    whole = torch.zeros(12, 5)
    mask = dropout_mask(stream(0, "dropout", 1), whole, 0.5, groups=3, rank=0, world_size=1)
    assert set(mask.unique().tolist()) == {0.0, 2.0}
    for rank in range(2):
        share = dropout_mask(stream(0, "dropout", 1), whole[:6], 0.5, groups=3, rank=rank, world_size=2)
        assert torch.equal(share, mask.view(3, 2, 2, 5)[:, rank].reshape(6, 5))


def test_dropout_rate_zero_keeps_all():
    assert (dropout_mask(stream(0, "dropout", 1), torch.zeros(4, 5), 0.0, groups=2, rank=0, world_size=1) == 1).all()


def test_features_and_weights_are_normalised_as_named():
    feature, weight = torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([[3.0, 0.0], [4.0, 2.0]])
    assert normalised_features(feature, "official").norm(dim=1).tolist() == [pytest.approx(math.sqrt(5 / 2)), 0.0]
    assert normalised_features(feature, "paper").norm(dim=1).tolist() == [pytest.approx(1.0), 0.0]
    assert torch.equal(normalised_features(feature, "none"), feature)
    torch.testing.assert_close(normalised_weight(weight, "official"), torch.tensor([[0.6, 0.0], [0.8, 1.0]]))
    torch.testing.assert_close(normalised_weight(weight, "paper").norm(dim=1), torch.ones(2))
    assert torch.equal(normalised_weight(weight, "none"), weight)


def test_the_domain_loss_sees_members_alone():
    logit, domain = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0, 1, 2])
    live = torch.tensor([True, False, True, True, False, False])
    total, count = domain_loss(logit, domain, live)
    torch.testing.assert_close(total / count, functional.cross_entropy(logit[live], domain[live]))


def gradient(method, draw, *, discriminator):
    """Gradient of an independent reading of the whole loss, with torch's own modules; no dropout."""
    c, networks = method.config, method.networks.train()
    x = networks["normalize"](draw.views[0])
    feature = functional.relu(networks["embedding"](networks["backbone"](x)))
    feature = feature / (feature.norm(dim=1, keepdim=True).sqrt() * 2**0.5)
    logits = feature @ networks["classifier"].weight.T + networks["classifier"].bias
    loss = functional.cross_entropy(logits, draw.label)
    group = torch.where(draw.label == 1, 0, draw.domain + 1).tolist()
    distance = (feature[:, None] - feature[None]).square().sum(-1)
    distance = torch.where(distance > 0, distance, 1.0).sqrt() * (distance > 0)
    names = range(len(group))
    terms = [
        distance[a, p] - distance[a, n] + c.margin
        for a in names
        for p in names
        for n in names
        if a != p and group[a] == group[p] != group[n]
    ]
    violated = [term for term in terms if term > 0]
    loss = loss + c.triplet_weight * sum(violated) / len(violated)
    live = draw.label == 1
    hidden = functional.relu(networks["discriminator"].hidden(feature[live]))
    domain = functional.cross_entropy(networks["discriminator"].out(hidden), draw.domain[live])
    sign = 1 if discriminator else -reversal_factor(1, 20)
    loss = loss + sign * c.adversarial_weight * domain
    chosen = {name: p for name, p in networks.named_parameters() if ("discriminator" in name) == discriminator}
    return dict(zip(chosen, torch.autograd.grad(loss, chosen.values()), strict=True))


def test_one_step_is_the_step_of_a_loss_written_independently():
    """Features climb the domain loss by the reversal's factor, the discriminator descends it; SGD then takes them."""
    method = built("ssdg", dropout=0.0, weight_decay=0.0, learning_rate=0.5, triplet_weight=2.0)
    method.networks.double()
    draw = toy_draw(method, 3)
    draw = type(draw)((draw.views[0].double(),), draw.label, draw.domain)
    weight = method.networks["classifier"].weight.data
    weight /= weight.norm(dim=0)
    before = weights(method)
    expected = {k: v for d in (False, True) for k, v in gradient(method, draw, discriminator=d).items()}
    method.step([draw], context())
    after = weights(method)
    for name, grad in expected.items():
        torch.testing.assert_close(after[name], before[name] - 0.5 * grad, rtol=1e-8, atol=1e-10, msg=name)


def test_adversarial_weight_zero_leaves_the_discriminator_as_it_was():
    method = built("ssdg", adversarial_weight=0.0, weight_decay=0.0)
    before = weights(method)
    run(method, 1)
    assert all(torch.equal(before[k], v) for k, v in weights(method).items() if k.startswith("discriminator"))
    assert SSDGConfig(adversarial_weight=0.0).min_grace(1000) == 1
    assert SSDGConfig().min_grace(1000) == 110
    assert reversal_factor(110, 1000) == pytest.approx(0.5, abs=0.01)


def test_the_learning_rate_falls_once():
    method, rates = built("ssdg"), []
    for step in range(8):
        run(method, 1, first=step, total_steps=8)
        rates.append(method.optimizers["all"].param_groups[0]["lr"])
    assert rates == pytest.approx([1e-3] * 3 + [1e-4] * 5)


@pytest.mark.parametrize("num_domains", [2, 4])
def test_the_discriminator_tells_as_many_domains_as_there_are(num_domains):
    method = built("ssdg", num_domains)
    assert method.networks["discriminator"].out.out_features == num_domains
    assert run(method, 1, num_domains=num_domains)["loss"].isfinite()


def test_layer4_starts_from_random_values_by_default(tmp_path):
    source = built("ssdg", seed=7).networks["backbone"]
    torch.save(source.state_dict(), tmp_path / "weights.pt")
    for pretrained in (False, True):
        method = built("ssdg", pretrained_layer4=pretrained)
        method.build(Build(3, 32, 20, width=0.125, backbone_weights=str(tmp_path / "weights.pt")))
        backbone = method.networks["backbone"]
        assert torch.equal(backbone.conv1.weight, source.conv1.weight)
        assert torch.equal(backbone.layer4[0].conv1.weight, source.layer4[0].conv1.weight) == pretrained


@pytest.mark.parametrize(
    "config",
    [
        {"norm": "paper", "distance": "sq", "hardest": True, "learning_rate": 0.03},
        {"norm": "none", "learning_rate": 0.005},
        {"backbone": "depthnet", "learning_rate": 0.02},
        {"learning_rate": 0.02},
    ],
    ids=["paper", "none", "depthnet", "official"],
)
def test_faces_that_brightness_tells_apart_are_learnt(config):
    method = built("ssdg", steps=30, decay_at=1.0, **config)
    draws = draws_of(method, per_group=4)
    losses = [method.step(draws, context(step, 30))["classification"].item() for step in range(30)]
    assert losses[-1] < 0.8 * losses[0]
    score, label = method.score(draws[0].views[0]), draws[0].label
    assert ((score >= 0) & (score <= 1)).all()
    assert score[label == 1].min() > score[label == 0].max()
