import math

import pytest
import torch
from toy_draws import built, context, draws_of

from fasray.methods.erm import classification_loss


def test_the_loss_is_the_mean_binary_cross_entropy():
    logit, label = [2.0, -1.0, 0.5], [1, 0, 0]
    by_hand = sum(
        math.log(1 + math.exp(-z)) if y else math.log(1 + math.exp(z)) for z, y in zip(logit, label, strict=True)
    )
    assert classification_loss(torch.tensor(logit), torch.tensor(label)).item() == pytest.approx(by_hand / 3)


def test_label_smoothing_moves_both_targets_alike():
    logit = torch.tensor([0.7])
    spoof, live = (classification_loss(logit, torch.tensor([y])).item() for y in (0, 1))
    smoothed = classification_loss(logit, torch.tensor([1]), 0.2).item()
    assert smoothed == pytest.approx(0.9 * live + 0.1 * spoof)


@pytest.mark.parametrize(("optimizer", "learning_rate"), [("sgd", 0.02), ("adam", 1e-3)])
def test_faces_that_brightness_tells_apart_are_learnt(optimizer, learning_rate):
    method = built("erm", optimizer=optimizer, learning_rate=learning_rate)
    draws = draws_of(method, per_group=4)
    losses = [method.step(draws, context(step))["loss"].item() for step in range(20)]
    assert losses[-1] < 0.3 * losses[0]
    score, label = method.score(draws[0].views[0]), draws[0].label
    assert score[label == 1].min() > score[label == 0].max()
