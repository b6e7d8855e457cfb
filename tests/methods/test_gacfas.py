"""GAC-FAS against a brute-force reading: models are copied and moved, gradients come from ``backward``."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fasray.methods.base import Draw
from fasray.methods.gacfas import GACFAS, GACFASConfig, aligned_gradients
from fasray.testing import built, context, run, toy_draw, weights
from fasray.testing.draws import double

CENTRES = ((1.0, -1.0), (-0.5, 2.0), (0.25, 0.5))
STIFFNESS = ((2.0, 1.0), (0.5, 3.0), (1.0, 0.25))


class Pair(nn.Module):
    """Two parameters, one of which is a weight by its name, and a quadratic bowl for each of three domains."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.7], dtype=torch.float64))
        self.bias = nn.Parameter(torch.tensor([-0.4], dtype=torch.float64))

    def risks(self) -> Tensor:
        w = torch.cat([self.weight, self.bias])
        centre, stiffness = (torch.tensor(values, dtype=torch.float64) for values in (CENTRES, STIFFNESS))
        return (stiffness * (w - centre).square()).sum(1) / 2

    def forward(self) -> Tensor:
        return self.risks().sum()


def by_hand(rho: float, alpha: float, eta: float, accumulation: str, lam: float) -> list[float]:
    """The gradient of a step for ``Pair``, in plain Python: bowls have gradient h (w - c), and L_sup = (w + b)^2."""
    w = [0.7, -0.4]

    def grad(k: int, at: list[float]) -> list[float]:
        return [STIFFNESS[k][i] * (at[i] - CENTRES[k][i]) for i in (0, 1)]

    g = [grad(k, w) for k in range(3)]
    if accumulation == "each":
        d, back = g, [g[0][i] + g[1][i] + g[2][i] for i in (0, 1)]
    else:
        d = [g[0], g[1], [g[2][i] - g[0][i] for i in (0, 1)]]
        back = [3 * g[0][i] + 2 * g[1][i] + g[2][i] for i in (0, 1)]
    t = [abs(w[0]) + eta, 1.0]
    found = [g[0][i] + g[1][i] + g[2][i] + lam * 2 * (w[0] + w[1]) for i in (0, 1)]
    for k in range(3):
        length = math.sqrt(sum((t[i] * d[k][i]) ** 2 for i in (0, 1)))
        there = [w[i] + rho * t[i] ** 2 * d[k][i] / length - alpha * back[i] for i in (0, 1)]
        found = [found[i] + sum(grad(j, there)[i] for j in range(3)) / 3 for i in (0, 1)]
    return found


def of_pair(**config: Any) -> list[float]:
    pair = Pair()
    risks, supcon = pair.risks(), (pair.weight + pair.bias).square().sum()
    present = torch.ones(3, dtype=torch.bool)
    found, _ = aligned_gradients(pair, (risks, supcon), present, pair, list, GACFASConfig(**config))
    return [found["weight"].item(), found["bias"].item()]


@pytest.mark.parametrize("accumulation", ["each", "running"])
@pytest.mark.parametrize("eta", [0.0, 0.01])
def test_the_gradient_on_bowls_of_two_parameters_is_that_worked_out_by_hand(eta: float, accumulation: str) -> None:
    found = of_pair(rho=0.3, alpha=0.05, eta=eta, accumulation=accumulation, supcon_weight=0.2)
    assert found == pytest.approx(by_hand(0.3, 0.05, eta, accumulation, 0.2), rel=1e-12)


@pytest.mark.parametrize("accumulation", ["each", "running"])
def test_without_ascents_the_classification_counts_twice(accumulation: str) -> None:
    pair = Pair()
    pair().backward()
    supcon = 2 * (0.7 - 0.4)
    expected = [2 * value.grad.item() + 0.2 * supcon for value in (pair.weight, pair.bias) if value.grad is not None]
    found = of_pair(rho=0, alpha=0, accumulation=accumulation, supcon_weight=0.2)
    assert found == pytest.approx(expected, rel=1e-12)


def brute_force(method: Any, draw: Draw) -> dict[str, Any]:
    """One whole first step of SGD in float64, as the official loop is described; nothing of the method's file is used.

    Returns weights and running statistics after the step, and the losses.
    """
    c, nets = method.config, method.networks.train()
    x = torch.cat(draw.views)
    y, domain = draw.label.repeat(2), draw.domain.repeat(2)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (x - mean.double()[:, None, None]) / std.double()[:, None, None]
    running = c.accumulation == "running" or (c.accumulation is None and c.code == "as_published")
    factor = 1.0 if c.loss == "ce" and c.code == "as_published" else c.logit_scale

    def domain_losses(model: Any) -> tuple[Tensor, list[Tensor]]:
        z = model["backbone"](x)
        w = model["head"].weight
        cos = torch.stack([(z * row).sum(1) / (z.norm(dim=1) * row.norm()) for row in w], 1) * factor
        losses = []
        for k in range(3):
            mine = domain == k
            if not mine.any():
                losses.append(cos.sum() * 0)
            elif c.loss == "bce":
                p = torch.sigmoid(cos[mine, 0])
                t = y[mine].double()
                losses.append(-(t * p.log() + (1 - t) * (1 - p).log()).mean() / 3)
            else:
                losses.append(-cos[mine].log_softmax(1)[torch.arange(int(mine.sum())), y[mine]].mean() / 3)
        return z, losses

    model = copy.deepcopy(nets)
    z, losses = domain_losses(model)
    u = z / z.norm(dim=1, keepdim=True)
    group, sim, terms = domain * 10 + y, u @ u.T / c.temperature, []
    for i in range(len(u)):
        others = [a for a in range(len(u)) if a != i]
        bottom = sim[i, others].exp().sum().log()
        terms.append(torch.stack([bottom - sim[i, p] for p in others if group[p] == group[i]]).mean())
    supcon = c.temperature / 0.07 * torch.stack(terms).mean()
    names = [name for name, _ in model.named_parameters()]
    value = dict(model.named_parameters())
    zero = {name: torch.zeros_like(value[name]) for name in names}
    grad_sum, back, ds, gs = dict(zero), dict(zero), [], []
    for loss in losses:  # one backward each, adding up
        loss.backward(retain_graph=True)
        one = {name: value[name].grad.clone() for name in names}
        gs.append({name: one[name] - grad_sum[name] for name in names})
        grad_sum = one
        ds.append({name: one[name] - back[name] for name in names} if running else gs[-1])
        back = {name: back[name] + (one if running else gs[-1])[name] for name in names}
    (c.supcon_weight * supcon).backward()
    total = {name: value[name].grad.clone() for name in names}
    there = []
    for k, d in enumerate(ds):
        if not (domain == k).any():
            continue
        t = {n: value[n].detach().abs() + c.eta if "weight" in n else torch.ones_like(value[n]) for n in names}
        length = math.sqrt(sum(float(((t[n] * d[n]) ** 2).sum()) for n in names)) + 1e-16
        proxy = copy.deepcopy(nets)
        with torch.no_grad():
            for n, p in proxy.named_parameters():
                p += c.rho * t[n] ** 2 * d[n] / length - c.alpha * back[n]
        moved = sum(domain_losses(proxy)[1])
        moved.backward()
        there.append({n: p.grad for n, p in proxy.named_parameters()})
    for one in there:
        total = {n: total[n] + one[n] / len(there) for n in names}
    with torch.no_grad():
        for n, p in model.named_parameters():
            rate = c.learning_rate * (c.head_rate if n.startswith("head") else 1)
            p -= rate * (total[n] + c.weight_decay * p)
    return {"state": model.state_dict(), "risk": sum(losses).item(), "supcon": supcon.item()}


@pytest.mark.parametrize(
    ("config", "domains"),
    [
        ({"eta": 0.01}, 3),
        ({"code": "as_published"}, 3),
        ({"loss": "ce", "code": "as_published"}, 3),
        ({"accumulation": "running"}, 2),
    ],
    ids=str,
)
def test_a_whole_step_is_that_of_copied_models(config: dict[str, Any], domains: int) -> None:
    """Three domains, or the third without an image; ascents large enough to matter."""
    method = built(GACFAS, gac_from=0.0, warm_up=0.0, rho=0.5, alpha=0.05, **config)
    method.networks.double()
    draw = double(toy_draw(method, domains, per_group=2))
    expected = brute_force(method, draw)
    logs = method.step([draw], context())
    assert logs["risk"].item() == pytest.approx(expected["risk"], rel=1e-12)
    assert logs["supcon"].item() == pytest.approx(expected["supcon"], rel=1e-12)
    for name, value in method.networks.state_dict().items():
        torch.testing.assert_close(value, expected["state"][name], rtol=1e-9, atol=1e-12, msg=name)


def test_the_warm_up_trains_the_head_alone_but_moves_the_statistics() -> None:
    method = built(GACFAS, warm_up=0.1)
    before = weights(method)
    run(method, 2)
    after = weights(method)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert "head.weight" in changed
    assert all(name == "head.weight" or "running" in name or "batches" in name for name in changed)
    assert "backbone.bn1.running_mean" in changed
    run(method, 1, first=2)
    assert not torch.equal(weights(method)["backbone.conv1.weight"], before["backbone.conv1.weight"])


def test_ascents_start_at_their_part_of_the_full_budget_and_not_before_the_warm_up_ends() -> None:
    plain, aligned = (built(GACFAS, gac_from=start, warm_up=0.0) for start in (1.0, 0.5))
    for method in (plain, aligned):
        run(method, 5, total_steps=10)
    assert all(torch.equal(value, weights(aligned)[name]) for name, value in weights(plain).items())
    logs = [run(method, 1, first=5, total_steps=10) for method in (plain, aligned)]
    assert logs[0]["ascended_risk"] == logs[0]["risk"]
    assert logs[1]["ascended_risk"] > logs[1]["risk"]
    assert not torch.equal(weights(plain)["head.weight"], weights(aligned)["head.weight"])
    assert GACFASConfig(gac_from=0.0, warm_up=0.3).gac_step(10) == 3
    assert GACFASConfig(gac_from=0.5).min_grace(10) == 6
    assert GACFASConfig(gac_from=1.0).min_grace(10) == 10


def test_learning_rates_decay_by_parts_of_the_budget_and_the_head_has_its_own() -> None:
    method = built(GACFAS, decay_every=0.4)
    rates = []
    for step in range(0, 20, 4):
        run(method, 1, first=step)
        rates.append([group["lr"] for group in method.optimizers["all"].param_groups])
    assert [round(rate[0] / 0.005, 6) for rate in rates] == [1, 1, 0.5, 0.5, 0.25]
    assert all(head == pytest.approx(10 * backbone) for backbone, head in rates)


def test_one_setting_decides_what_is_left_null() -> None:
    intended, published = (GACFASConfig(code=code, loss="ce") for code in ("as_intended", "as_published"))
    assert (intended.running, intended.factor) == (False, 12.0)
    assert (published.running, published.factor) == (True, 1.0)
    mixed = published.model_copy(update={"accumulation": "each", "scale_ce": True})
    assert (mixed.running, mixed.factor) == (False, 12.0)
    assert published.model_copy(update={"loss": "bce"}).factor == 12.0


@pytest.mark.parametrize("loss", ["bce", "ce"])
def test_the_score_is_a_probability_of_the_scaled_cosine(loss: str) -> None:
    method = built(GACFAS, loss=loss)
    images = toy_draw(method, 3).views[0]
    score = method.score(images)
    z = method.networks["backbone"](method.networks["normalize"](images))
    cos = 12 * torch.cosine_similarity(z[:, None], method.networks["head"].weight[None], dim=2)
    torch.testing.assert_close(score, cos[:, 0].sigmoid() if loss == "bce" else cos.softmax(1)[:, 1])


def test_half_precision_does_not_round_the_ascents_away() -> None:
    """Ascents twice as long raise the risk about twice as much."""
    rises = []
    for rho in (0.0, 1e-4, 2e-4):
        method = built(GACFAS, gac_from=0.0, warm_up=0.0, alpha=0.0, rho=rho)
        with torch.autocast("cpu", torch.bfloat16):
            rises.append(method.step([toy_draw(method, 3)], context())["ascended_risk"].item())
    none, small, large = rises
    assert large - none == pytest.approx(2 * (small - none), rel=0.2)
    assert large > none
