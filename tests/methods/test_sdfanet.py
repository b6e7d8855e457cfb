import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from locations import GOLDEN
from torch.nn import functional
from toy_draws import built, context, draws_of, run, toy_draw, weights

from fasray.faces.record import FACE_CLASSES, PARSING_CLASSES
from fasray.losses.domain import domain_loss
from fasray.methods.sdfanet import SDFANetConfig, center_loss, face_map, moved_centers, transferability, weighted_mean
from fasray.nets.reversal import reversal_factor
from fasray.nets.sdfanet import DomainAdapter, Generator, RegionDiscriminators
from fasray.seeds import stream


def parsing_with_a_face(count, size=64):
    """A face that fills the middle, hair around it."""
    parsing = torch.full((count, size, size), PARSING_CLASSES.index("hair"))
    parsing[:, 16:48, 16:48] = PARSING_CLASSES.index("skin")
    return parsing


def faces(method, *, size=128, seed=0, **options):
    draw = toy_draw(method, 3, size=size, seed=seed, **options)
    return replace(draw, parsing=parsing_with_a_face(len(draw.label)) * draw.label[:, None, None])


def test_the_center_loss_is_that_of_the_independent_numbers():
    with np.load(GOLDEN / "inferred_losses.npz", allow_pickle=False) as file:
        numbers = dict(file)
    feature, label = torch.tensor(numbers["emb"]), torch.tensor(numbers["label"])
    everyone, live = torch.ones_like(label, dtype=torch.bool), label == 1
    loss = center_loss(feature, label, torch.tensor(numbers["centers"]), everyone)
    assert loss.item() == pytest.approx(float(numbers["center_loss_half_mean"]), rel=1e-12)
    mean = feature[live].mean(0).expand(2, -1)
    loss = center_loss(feature, label, mean, live)
    assert loss.item() == pytest.approx(float(numbers["live_center_mean_loss"]), rel=1e-12)


def test_a_center_moves_towards_the_mean_of_its_class_and_stays_without_one():
    feature, label = torch.tensor([[1.0, 0.0], [3.0, 2.0], [9.0, 9.0]]), torch.tensor([1, 1, 1])
    moved = moved_centers(torch.tensor([[5.0, 5.0], [1.0, 1.0]]), feature, label, 0.5)
    torch.testing.assert_close(moved, torch.tensor([[5.0, 5.0], [1 + 0.5 * 10 / 4, 1 + 0.5 * 8 / 4]]))
    assert center_loss(feature, label, moved, torch.zeros(3, dtype=torch.bool)) == 0


def test_a_region_counts_double_where_the_domain_is_unrecognisable():
    logit = torch.tensor([[[0.0, 0.0, 0.0], [90.0, 0.0, 0.0], [math.log(2), 0.0, -math.inf]]], requires_grad=True)
    found = transferability(logit[:, :2])
    assert not found.requires_grad
    assert found[0].tolist() == pytest.approx([2.0, 1.0])
    p = [0.5, 0.25, 0.25]
    entropy = -sum(q * math.log(q) for q in p)
    found = transferability(torch.tensor(p, dtype=torch.float64).log()[None, None])
    assert found.item() == pytest.approx(1 + entropy / math.log(3), rel=1e-12)


def test_the_face_map_is_the_part_of_each_cell_that_face_classes_cover():
    parsing = torch.from_numpy(stream(0, "classes").integers(0, len(PARSING_CLASSES), (2, 64, 64)))
    found = face_map(parsing, 4)
    for b, i, j in np.ndindex(2, 4, 4):
        cell = parsing[b, 16 * i : 16 * (i + 1), 16 * j : 16 * (j + 1)].flatten().tolist()
        assert found[b, i, j].item() == pytest.approx(sum(c in FACE_CLASSES for c in cell) / 256)


def test_the_weighted_mean_is_written_out_by_hand():
    x, w = torch.arange(8.0).view(1, 2, 2, 2), torch.tensor([[[1.0, 0.0], [0.0, 3.0]]])
    assert weighted_mean(x, w).tolist() == [[(0 + 3 * 3) / 4, (4 + 3 * 7) / 4]]
    torch.testing.assert_close(weighted_mean(x, torch.ones(1, 2, 2)), x.mean(dim=(2, 3)))
    assert weighted_mean(x, torch.zeros(1, 2, 2)).tolist() == [[0.0, 0.0]]


def test_each_region_has_a_discriminator_of_its_own():
    torch.manual_seed(0)
    regions = RegionDiscriminators(6, 2, 3)
    x = torch.randn(5, 6, 4, 4)
    found = regions(x)
    hidden_w, out_w = regions.hidden.weight.view(4, 3, 6), regions.out.weight.view(4, 3, 3)
    for k, (i, j) in enumerate(np.ndindex(2, 2)):
        cell = x[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean(dim=(2, 3))
        torch.testing.assert_close(found[:, k], functional.relu(cell @ hidden_w[k].T) @ out_w[k].T)


def test_an_adapter_scales_channels_by_its_mixed_bank():
    torch.manual_seed(0)
    adapter, x = DomainAdapter(32, 3), torch.randn(2, 32, 4, 4)
    mean = x.mean(dim=(2, 3))
    share = adapter.attention(mean).softmax(1)
    mixed = sum(share[:, n, None] * adapter.bank[n](mean) for n in range(3))
    torch.testing.assert_close(adapter(x), x * torch.sigmoid(mixed)[:, :, None, None])


def test_adapters_and_fusion_can_be_left_out():
    torch.manual_seed(0)
    plain = Generator(0.125, 3, adapters=False, fusion=False).eval()
    x = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(plain(x), plain.backbone.maps(x)[-1])
    assert Generator(0.125, 3)(x).shape == (2, 64, 2, 2)


def test_the_maps_of_attacks_are_never_seen():
    """A spoof face has no parsing map; pooling that differed from a live face's would reveal the label."""
    updates = []
    for spoof_class in (0, 1):
        method = built("sdfanet", size=128)
        draw = faces(method)
        method.step(
            [replace(draw, parsing=torch.where(draw.label[:, None, None] == 1, draw.parsing, spoof_class))], context()
        )
        updates.append(weights(method))
    assert all(torch.equal(updates[0][key], updates[1][key]) for key in updates[0])


def test_the_pooling_comes_to_weigh_the_face_and_scoring_keeps_it():
    method = built("sdfanet", size=128, learning_rate=1e-6)
    for step in range(40):
        method.step([faces(method)], context(step, 40))
    face = method.networks["memory"].face
    expected = torch.zeros(4, 4)
    expected[1:3, 1:3] = 1
    torch.testing.assert_close(face, expected, atol=0.02, rtol=0)
    images = faces(method).views[0]
    score = method.score(images)
    method.networks["memory"].face.fill_(1.0)
    assert not torch.equal(score, method.score(images))


def test_a_batch_whose_faces_were_not_found_still_trains():
    method = built("sdfanet", size=128)
    draw = faces(method)
    logs = method.step([replace(draw, parsing=torch.zeros_like(draw.parsing))], context())
    assert all(value.isfinite() for value in logs.values())
    assert logs["local_domain"] == 0


@pytest.mark.parametrize("region", ["face", "learned", "both"])
def test_the_loss_is_the_sum_of_its_parts_written_independently(region):
    """Before the first update: features, weights of regions and both domain losses, image by image, in double."""
    config = {"dropout": 0.0, "norm": "none", "alignment_weight": 0.7, "local_weight": 0.4, "triplet_weight": 0.3}
    method = built("sdfanet", size=128, region=region, grid=2, center_weight=0.2, **config)
    method.networks.double()
    draw = faces(method)
    draw = replace(draw, views=(draw.views[0].double(),), parsing=draw.parsing if method.needs.parsing else None)
    networks = method.networks.train()
    with torch.no_grad():
        mapped = networks["generator"](networks["normalize"](draw.views[0]))
        logits = networks["regions"](mapped)
        prior = torch.ones(4, 4, dtype=torch.float64)
        face = torch.zeros(4, 4, dtype=torch.float64)
        face[1:3, 1:3] = 1
        prior = 0.9 * prior + 0.1 * face if region != "learned" else prior
        features, whole, local = [], [], []
        for b in range(len(draw.label)):
            weight = prior.clone()
            if region != "face":
                for k, (i, j) in enumerate(np.ndindex(2, 2)):
                    p = logits[b, k].softmax(0)
                    weight[2 * i : 2 * i + 2, 2 * j : 2 * j + 2] *= 1 - (p * p.log()).sum() / math.log(3)
            features.append(networks["embedding"](((mapped[b] * weight).sum((1, 2)) / weight.sum())[None])[0])
            if draw.label[b] == 1:
                answer = networks["whole"](mapped[b].mean((1, 2))[None])[0]
                whole.append(-answer.log_softmax(0)[draw.domain[b]])
                # The face covers a quarter of each of the four regions, so masked and plain mean agree.
                local += [-logits[b, k].log_softmax(0)[draw.domain[b]] for k in range(4)]
        feature = torch.stack(features)
        logit = networks["head"](feature)[:, 0]
        bce = -torch.where(draw.label == 1, logit.sigmoid().log(), (-logit).sigmoid().log()).mean()
        center = feature[draw.label == 1].square().sum(1).mean() / 2
    logs = method.step([draw], context())
    parts = {
        "classification": bce, "global_domain": torch.stack(whole).mean(), "local_domain": torch.stack(local).mean(),
        "center": center,
    }  # fmt: skip
    for key, value in parts.items():
        torch.testing.assert_close(logs[key], value, rtol=1e-6, atol=1e-9, msg=key)
    total = bce + 0.7 * (parts["global_domain"] + 0.4 * parts["local_domain"]) + 0.2 * center + 0.3 * logs["triplet"]
    torch.testing.assert_close(logs["loss"], total, rtol=1e-6, atol=1e-9)


def test_regions_outside_the_face_do_not_enter_the_local_loss():
    logit, domain = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 2])
    weight = torch.tensor([[1.0, 0.0, 0.5, 0.0], [0.0, 0.0, 0.0, 0.0]])
    total, count = domain_loss(logit.flatten(0, 1), domain.repeat_interleave(4), weight.flatten())
    terms = [-logit[0, k].log_softmax(0)[0] for k in range(4)]
    assert (total / count).item() == pytest.approx(((terms[0] + 0.5 * terms[2]) / 1.5).item(), rel=1e-6)


def test_live_faces_alone_meet_the_discriminators():
    """Relabelled domains of the attacks change the triplets, and with that loss off nothing at all."""
    updates = []
    for shift in (0, 1):
        method = built("sdfanet", triplet_weight=0.0)
        draw = toy_draw(method, 3)
        domain = torch.where(draw.label == 1, draw.domain, (draw.domain + shift) % 3)
        method.step([replace(draw, domain=domain)], context())
        updates.append(weights(method))
    assert all(torch.equal(updates[0][key], updates[1][key]) for key in updates[0])


def test_features_climb_the_domain_losses_that_the_discriminators_descend():
    """The difference that the alignment makes to one step, against gradients taken without any reversal."""
    after, config = {}, {"dropout": 0.0, "weight_decay": 0.0, "learning_rate": 0.5, "region": "learned"}
    for weight in (0.0, 1.0):
        method = built("sdfanet", size=64, alignment_weight=weight, local_weight=0.6, **config)
        method.networks.double()
        draw = toy_draw(method, 3, size=64)
        draw = replace(draw, views=(draw.views[0].double(),))
        if weight == 0:
            networks, live = method.networks.train(), draw.label == 1
            mapped = networks["generator"](networks["normalize"](draw.views[0]))[live]
            whole = functional.cross_entropy(networks["whole"](mapped.mean((2, 3))), draw.domain[live])
            local = networks["regions"](mapped)
            local = functional.cross_entropy(local.transpose(1, 2), draw.domain[live, None].expand(local.shape[:2]))
            named = dict(networks.named_parameters())
            grads = torch.autograd.grad(whole + 0.6 * local, named.values(), allow_unused=True)
            expected = {key: grad for key, grad in zip(named, grads, strict=True) if grad is not None}
        method.step([draw], context())
        after[weight] = weights(method)
    assert any(key.startswith("generator.backbone.layer1") for key in expected)
    for key, grad in expected.items():
        factor = -reversal_factor(1, 20) if key.startswith("generator.") else 1.0
        found = after[1.0][key] - after[0.0][key]
        torch.testing.assert_close(found, -0.5 * factor * grad, rtol=1e-6, atol=1e-9, msg=key)


def test_alignment_turned_off_leaves_the_discriminators_alone():
    method = built("sdfanet", alignment_weight=0.0, weight_decay=0.0)
    before = weights(method)
    run(method, 1)
    unchanged = {key for key, value in weights(method).items() if torch.equal(before[key], value)}
    assert {key for key in before if key.startswith(("whole.", "regions."))} <= unchanged
    assert "head.weight" not in unchanged
    assert SDFANetConfig(alignment_weight=0.0).min_grace(1000) == 1
    assert SDFANetConfig().min_grace(1000) == 110
    assert reversal_factor(110, 1000) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("image_size", [32, 96, 192])
@pytest.mark.parametrize("num_domains", [2, 4])
def test_it_builds_for_any_size_and_number_of_domains(image_size, num_domains):
    method = built("sdfanet", num_domains, size=image_size, region="both")
    side = image_size // 32
    assert method.networks["regions"].grid == min(4, side)
    logs = method.step([toy_draw(method, num_domains, size=image_size, per_group=1)], context())
    assert all(value.isfinite() for value in logs.values())


def test_parsing_is_asked_for_only_where_it_weighs():
    assert [built("sdfanet", region=region).needs.parsing for region in ("face", "learned", "both")] == [
        True,
        False,
        True,
    ]


@pytest.mark.parametrize(
    "config",
    [{}, {"region": "learned", "centers": "both"}, {"region": "both", "adapters": False, "fusion": False}],
    ids=["face", "learned", "both"],
)
def test_faces_that_brightness_tells_apart_are_learnt(config):
    method = built("sdfanet", steps=30, decay_at=1.0, **config)
    draws = draws_of(method, per_group=4)
    losses = [method.step(draws, context(step, 30))["classification"].item() for step in range(30)]
    assert losses[-1] < 0.8 * losses[0]
    score, label = method.score(draws[0].views[0]), draws[0].label
    assert ((score >= 0) & (score <= 1)).all()
    assert score[label == 1].min() > score[label == 0].max()
