import math

import pytest
import torch
from toy_draws import built, context, draws_of, run, toy_draw, weights

from fasray.losses.contrastive import supcon_loss
from fasray.methods.safas import SAFASConfig, align_heads, domain_risks, mean_risk


def supcon_by_hand(feature, group, temperature):
    z = [[v / math.sqrt(sum(x * x for x in row)) for v in row] for row in feature.tolist()]
    dot = [[sum(a * b for a, b in zip(p, q, strict=True)) / temperature for q in z] for p in z]
    total, indices = 0.0, range(len(z))
    for i in indices:
        positives = [p for p in indices if p != i and group[p] == group[i]]
        denominator = math.log(sum(math.exp(dot[i][a]) for a in indices if a != i))
        total += sum(dot[i][p] - denominator for p in positives) / len(positives)
    return -(temperature / 0.07) * total / len(z)


def test_the_contrastive_loss_equals_a_sum_written_by_hand():
    feature = torch.randn(12, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    group = torch.tensor([0, 1, 2, 0, 3, 3] * 2)
    for temperature in (0.07, 0.1, 1.0):
        found = supcon_loss(feature, group, temperature).item()
        assert found == pytest.approx(supcon_by_hand(feature, group.tolist(), temperature), rel=1e-12)


def test_the_contrastive_loss_does_not_depend_on_the_order_of_its_vectors():
    feature = torch.randn(12, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    group, order = torch.tensor([0, 1, 2, 0, 3, 3] * 2), torch.randperm(12, generator=torch.Generator().manual_seed(1))
    given, shuffled = supcon_loss(feature, group, 0.1), supcon_loss(feature[order], group[order], 0.1)
    assert given.item() == pytest.approx(shuffled.item(), rel=1e-12)


def test_vectors_of_zero_length_give_a_finite_loss_and_gradient():
    feature = torch.zeros(4, 3, requires_grad=True)
    loss = supcon_loss(feature, torch.tensor([0, 1, 0, 1]), 0.1)
    loss.backward()
    assert loss.isfinite()
    assert feature.grad.isfinite().all()


def test_the_risk_of_parts_adds_up_to_the_risk_of_the_whole():
    generator = torch.Generator().manual_seed(0)
    logit, label = torch.randn(9, 3, generator=generator), torch.tensor([0, 1, 1, 0, 1, 0, 0, 1, 1])
    domain = torch.tensor([0, 0, 0, 1, 0, 1, 2, 2, 2])
    whole = mean_risk(*domain_risks(logit, label, domain))
    parts = [domain_risks(logit[part], label[part], domain[part]) for part in (slice(0, 5), slice(5, 9))]
    sums, counts = (torch.stack(both).mean(0) for both in zip(*parts, strict=True))
    assert mean_risk(sums, counts).item() == pytest.approx(whole.item(), rel=1e-6)


def test_alignment_keeps_norms_and_with_alpha_one_directions():
    weight = torch.randn(4, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(align_heads(weight, 0.9).norm(dim=1), weight.norm(dim=1))
    torch.testing.assert_close(align_heads(weight, 1.0), weight)


def test_alignment_leaves_a_head_of_zero_length_at_zero():
    weight = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 2.0]])
    turned = align_heads(weight, 0.9)
    assert turned.isfinite().all()
    assert not turned[1].any()


def test_a_step_aligns_the_weights_but_neither_norms_nor_biases_nor_momentum():
    """The same step with and without alignment differs in the directions of the heads alone."""
    plain, aligned = (built("safas", alignment_alpha=alpha, align_from=0.0) for alpha in (1.0, 0.9))
    for method in (plain, aligned):
        run(method, 1)
    one, other = weights(plain), weights(aligned)
    torch.testing.assert_close(one["heads.weight"].norm(dim=1), other["heads.weight"].norm(dim=1))
    assert not torch.allclose(one.pop("heads.weight"), other.pop("heads.weight"), rtol=1e-3)
    assert all(torch.equal(one[name], other[name]) for name in one)
    states = (method.optimizers["all"].state_dict()["state"] for method in (plain, aligned))
    for first, second in zip(*(state.values() for state in states), strict=True):
        assert torch.equal(first["momentum_buffer"], second["momentum_buffer"])


def test_alignment_starts_at_its_part_of_the_full_budget():
    before, after = (built("safas", alignment_alpha=alpha, align_from=0.5) for alpha in (1.0, 0.5))
    for method in (before, after):
        run(method, 5, total_steps=10)
    assert torch.equal(weights(before)["heads.weight"], weights(after)["heads.weight"])
    for method in (before, after):
        run(method, 1, first=5, total_steps=10)
    assert not torch.equal(weights(before)["heads.weight"], weights(after)["heads.weight"])
    assert SAFASConfig(align_from=0.5).min_grace(10) == 6
    assert SAFASConfig(align_from=0.5, alignment_alpha=1.0).min_grace(10) == 1


def test_the_learning_rate_halves_every_two_fifths_of_the_budget():
    method = built("safas")
    rates = []
    for step in range(10):
        run(method, 1, first=step, total_steps=10)
        rates.append(method.optimizers["all"].param_groups[0]["lr"] / 0.005)
    assert rates == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]


def test_separability_weight_zero_leaves_the_contrastive_loss_out_of_the_gradient():
    method = built("safas", separability_weight=0.0)
    logs = run(method, 1)
    assert logs["loss"] == logs["risk"]
    assert logs["separability"] > 0


@pytest.mark.parametrize("num_domains", [2, 3, 4])
def test_there_is_one_head_for_each_source_domain(num_domains):
    method = built("safas", num_domains)
    assert method.networks["heads"].weight.shape == (num_domains, 64)
    logs = run(method, 1, num_domains=num_domains)
    assert logs["loss"].isfinite()


def test_the_score_is_the_mean_of_probabilities_not_of_logits():
    method = built("safas", head_scale=3.0)
    images = toy_draw(method, 3).views[0]
    score = method.score(images)
    logits = 3.0 * method.networks["heads"](method.networks["backbone"](method.networks["normalize"](images)))
    torch.testing.assert_close(score, logits.sigmoid().mean(1))


def test_the_logged_loss_falls_on_separable_faces():
    method = built("safas", learning_rate=0.02, steps=40)
    draws = draws_of(method, per_group=4)
    losses = [method.step(draws, context(step, 40))["loss"].item() for step in range(40)]
    assert sum(losses[-3:]) < 0.9 * sum(losses[:3])
    score = method.score(draws[0].views[0])
    assert score[draws[0].label == 1].mean() > score[draws[0].label == 0].mean() + 0.1
