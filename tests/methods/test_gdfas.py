"""GD-FAS against a brute-force reading: loops over images, pairs and groups, and one step of Adam written out."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fasray.methods.base import Draw
from fasray.methods.gdfas import GDFAS, GDFASConfig, group_scales, residuals
from fasray.runs.reading import Reading
from fasray.testing import built, context, run, toy_draw, weights
from fasray.testing.draws import double
from fasray.testing.faces import toy_trial
from fasray.training import checkpoint


def unit(vector: Tensor) -> Tensor:
    length: Tensor = vector.norm()
    return vector / length


def info_nce(vectors: list[Tensor], positives: list[list[int]], tau: float) -> list[list[Tensor]]:
    """-log softmax of every positive of every vector, one by one."""
    found = []
    for i, own in enumerate(vectors):
        others = [k for k in range(len(vectors)) if k != i]
        bottom = torch.stack([(own @ vectors[k]) / tau for k in others]).logsumexp(0)
        found.append([bottom - (own @ vectors[k]) / tau for k in positives[i]])
    return found


def losses_by_hand(networks: Any, draw: Draw, c: GDFASConfig, published: bool) -> dict[str, Tensor]:
    x = torch.cat(draw.views)
    y, domain = draw.label.repeat(2).tolist(), draw.domain.repeat(2).tolist()
    count, indices = len(y), range(len(y))
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    f = networks["clip"]((x - mean.double()[:, None, None]) / std.double()[:, None, None])
    sentences = networks["clip"].encode_text(networks["prompts"].tokens)
    texts = [sum(sentences[:6]) / 6, sum(sentences[6:]) / 6]
    scale = networks["clip"].logit_scale.exp()
    ce = []
    for i in indices:
        logits = torch.stack([scale * (unit(f[i]) @ unit(text)) for text in texts])
        ce.append(logits.logsumexp(0) - logits[y[i]])
    groups: dict[tuple[int, int], list[Tensor]] = {}
    for i in indices:
        groups.setdefault((domain[i], y[i]), []).append(ce[i])
    per_group = [sum(values) / len(values) * len(values) / count for values in groups.values()]
    numbers = [value.item() for value in per_group]
    middle = sum(numbers) / len(numbers)
    spread = math.sqrt(sum((value - middle) ** 2 for value in numbers) / len(numbers))
    alpha = math.log(3) / 2
    factors = [c.beta / (1 + math.exp(-(v - middle) / spread / alpha)) - c.beta / 2 + 1 for v in numbers]
    b1 = unit(texts[0])
    b2 = unit(texts[1] - (texts[1] @ b1) * b1)
    r = [one - ((one @ b1) * b1 + (one @ b2) * b2).detach() for one in f]
    r = [unit(one) for one in r] if c.domain_norm == "unit" else r
    same = [[k for k in indices if k != i and domain[k] == domain[i]] for i in indices]
    terms = [sum(row) / len(row) for row in info_nce(r, same, c.temperature)]
    e = networks["embedder"](f)
    other = [[(i + count // 2) % count] for i in indices]
    views = [row[0] for row in info_nce([unit(one) for one in e], other, c.view_temperature)]
    logits = networks["classifier"](e)
    return {
        "image_text": sum(v * s for v, s in zip(per_group, factors, strict=True)),
        "domain": sum(terms) / (count * (count - 1) if published else count),
        "view": sum(views) / count,
        "class": sum(logits[i].logsumexp(0) - logits[i, y[i]] for i in indices) / count,
    }


@pytest.mark.parametrize("code", ["as_intended", "as_published"])
@pytest.mark.parametrize("domain_norm", ["raw", "unit"])
def test_losses_and_a_whole_step_are_those_of_loops(code: Any, domain_norm: Any) -> None:
    """The first step of Adam moves a weight by its rate times g / (|g| + eps), g with the L2 penalty; in float64."""
    config = {"code": code, "domain_norm": domain_norm, "temperature": 0.5, "learning_rate": 1e-3, "weight_decay": 1e-2}
    method = built(GDFAS, **config)
    method.networks.double()
    draw = double(toy_draw(method, 3, per_group=2))
    networks = copy.deepcopy(method.networks).train()
    c = method.config
    assert isinstance(c, GDFASConfig)
    expected = losses_by_hand(networks, draw, c, code == "as_published")
    total = expected["image_text"] + 0.8 * expected["domain"] + 0.1 * expected["view"] + expected["class"]
    total.backward()
    logs = method.step([draw], context())
    assert logs["loss"].item() == pytest.approx(total.item(), rel=1e-10)
    for name, value in expected.items():
        assert logs[name].item() == pytest.approx(value.item(), rel=1e-10), name
    after = dict(method.networks.named_parameters())
    for name, parameter in networks.named_parameters():
        grad = after[name].grad
        assert grad is not None
        assert parameter.grad is not None
        torch.testing.assert_close(grad, parameter.grad, rtol=1e-7, atol=1e-10, msg=name)
        # Adam takes the sign of anything: gradients that are zero but for rounding say nothing about its step.
        clear = parameter.grad.abs() > 1e-9
        g = parameter.grad + 1e-2 * parameter.detach()
        moved = parameter.detach() - 1e-3 * g / (g.abs() + 1e-8)
        torch.testing.assert_close(after[name].detach()[clear], moved[clear], rtol=0, atol=1e-7, msg=name)


def test_scales_are_those_of_the_paper_and_leave_absent_groups_out() -> None:
    loss = torch.tensor([0.1, 0.4, 0.2, 0.3, 0.0, 0.0], dtype=torch.float64, requires_grad=True)
    present = torch.tensor([True, True, True, True, False, False])
    scales = group_scales(loss, present, 1.5)
    assert not scales.requires_grad
    for place, value in enumerate([0.1, 0.4, 0.2, 0.3]):
        n = (value - 0.25) / math.sqrt(0.0125)
        assert scales[place].item() == pytest.approx(1.5 / (1 + math.exp(-n / (math.log(3) / 2))) + 0.25, rel=1e-12)
    assert torch.equal(group_scales(torch.full((6,), 0.2), torch.ones(6), 1.5), torch.ones(6))
    assert torch.equal(group_scales(loss.detach(), present, 0.0), torch.ones(6, dtype=torch.float64))
    wide = group_scales(torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0, 1e6]), torch.ones(6), 1.5)
    assert wide.min() > 0.25
    assert wide.max() < 1.75


def test_residuals_are_off_the_text_plane_and_pass_gradients_on_to_features_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    feature = torch.randn(5, 8, generator=generator, dtype=torch.float64, requires_grad=True)
    text = torch.randn(2, 8, generator=generator, dtype=torch.float64, requires_grad=True)
    found = residuals(feature, text)
    torch.testing.assert_close(found @ text.T, torch.zeros(5, 2, dtype=torch.float64), rtol=0, atol=1e-12)
    found.sum().backward()
    assert torch.equal(feature.grad, torch.ones_like(feature))
    assert text.grad is None
    line = residuals(feature, torch.stack([text[0], 2 * text[0]]))
    torch.testing.assert_close(line @ text[0], torch.zeros(5, dtype=torch.float64), rtol=0, atol=1e-12)
    assert torch.equal(residuals(feature, torch.zeros(2, 8, dtype=torch.float64)), feature)
    swapped = residuals(feature, text.flip(0))
    torch.testing.assert_close(swapped, found)


def test_a_frozen_text_tower_stays_and_gives_what_a_trained_one_starts_with() -> None:
    frozen, trained = (built(GDFAS, text_tower=which) for which in ("freeze", "train"))
    before = weights(frozen)
    logs = [run(method, 1) for method in (frozen, trained)]
    assert logs[0]["loss"].item() == pytest.approx(logs[1]["loss"].item(), rel=1e-5)
    changed = {name for name, value in weights(frozen).items() if not torch.equal(value, before[name])}
    text = {"clip.positional_embedding", "clip.text_projection", "clip.token_embedding.weight"}
    assert not text & changed
    assert not any(name.startswith(("clip.transformer.", "clip.ln_final.")) for name in changed)
    assert {"clip.logit_scale", "clip.visual.proj"} <= changed
    changed = {name for name, value in weights(trained).items() if not torch.equal(value, before[name])}
    assert text <= changed
    optimised = [value for group in frozen.optimizers["all"].param_groups for value in group["params"]]
    assert len(optimised) < len(list(frozen.networks.parameters()))


def test_a_checkpoint_with_a_frozen_text_tower_is_not_larger_than_what_is_trained(tmp_path: Path) -> None:
    """At most by a tenth; the frozen tower comes from the initial weights again."""
    method = built(GDFAS, text_tower="freeze")
    rebuilt, trial = checkpoint.frozen_parameters(method), toy_trial(GDFAS, {"text_tower": "freeze"})
    reading = Reading(step=1, source_dev_auc=0.5, source_dev_loss=0.5)
    checkpoint.save(str(tmp_path), method, trial, ("A", "B", "C"), [reading], rebuilt)
    trained = sum(value.nbytes for value in method.networks.parameters() if value.requires_grad)
    (file,) = tmp_path.glob("*00000001.safetensors")
    assert file.stat().st_size <= 1.1 * trained < sum(value.nbytes for value in method.networks.parameters())


def test_the_learning_rate_falls_to_a_tenth_at_each_quarter() -> None:
    rates = [GDFASConfig().rate(step, 400) / 3e-6 for step in (0, 99, 100, 200, 399)]
    assert rates == pytest.approx([1, 1, 0.1, 0.01, 0.001])
    assert GDFASConfig(decay="cosine").rate(200, 400) == pytest.approx(1.5e-6)
    assert GDFASConfig(decay="none").rate(399, 400) == 3e-6


def test_the_score_follows_the_weights_of_the_text_tower() -> None:
    """Text features are computed once for a set of weights, and anew after a step."""
    method = built(GDFAS, learning_rate=1e-2)
    images = toy_draw(method, 3).views[0]
    for step in range(2):
        score = method.score(images)
        clip, prompts = method.networks["clip"], method.networks["prompts"]
        texts = torch.stack([part.mean(0) for part in clip.encode_text(prompts.tokens).split(6)])
        features = clip(method.networks["normalize"](images))
        cos = torch.cosine_similarity(features[:, None], texts[None], dim=2)
        torch.testing.assert_close(score, (clip.logit_scale.exp() * cos).softmax(1)[:, 1])
        run(method, 1, first=step)
