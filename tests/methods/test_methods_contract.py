"""What every registered method must keep; a newcomer's file is right when this passes."""

import copy

import numpy as np
import pytest
import torch
from step_of_two import double
from toy_draws import LEARNING, built, context, draws_of, run, toy_draw, weights

from fasray.methods import registry
from fasray.methods.base import Draw

pytestmark = pytest.mark.parametrize("name", registry.names())


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_one_real_score_a_frame_whatever_the_batch(name):
    method = built(name)
    run(method, 3)
    images = toy_draw(method, 3).views[0]
    score = method.score(images)
    assert score.shape == (len(images),)
    assert score.is_floating_point()
    assert not score.requires_grad
    assert score.isfinite().all()
    for number in (0, 5):
        torch.testing.assert_close(method.score(images[number : number + 1])[0], score[number], rtol=1e-4, atol=1e-5)


def test_scoring_changes_nothing(name):
    method = built(name)
    run(method, 2)
    before = weights(method)
    first = method.score(toy_draw(method, 3).views[0])
    assert torch.equal(first, method.score(toy_draw(method, 3).views[0]))
    assert same(before, weights(method))


def test_live_faces_come_to_score_higher(name):
    method = built(name, steps=40, **LEARNING.get(name, {}))
    run(method, 40, total_steps=40, per_group=4)
    draw = toy_draw(method, 3, per_group=4, seed=999)
    score = method.score(draw.views[0])
    assert score[draw.label == 1].mean() > score[draw.label == 0].mean()


def test_logs_are_detached_scalars(name):
    logs = run(built(name), 1)
    assert "loss" in logs
    for key, value in logs.items():
        assert value.shape == (), key
        assert not value.requires_grad, key


def test_the_same_seed_gives_the_same_bits(name):
    runs = [built(name), built(name)]
    for method in runs:
        run(method, 4)
    assert same(*(weights(method) for method in runs))


def test_initial_weights_follow_the_global_generator(name):
    assert same(weights(built(name, seed=1)), weights(built(name, seed=1)))
    assert not same(weights(built(name, seed=1)), weights(built(name, seed=2)))


def test_all_state_is_in_networks_and_optimizers(name):
    """A fresh object that is given both goes on with the same bits."""
    whole = built(name)
    run(whole, 10)
    networks = copy.deepcopy(whole.networks.state_dict())
    optimizers = {key: copy.deepcopy(optimizer.state_dict()) for key, optimizer in whole.optimizers.items()}
    run(whole, 5, first=10)
    resumed = built(name, seed=123)
    resumed.networks.load_state_dict(networks)
    for key, state in optimizers.items():
        resumed.optimizers[key].load_state_dict(state)
    run(resumed, 5, first=10)
    assert same(weights(whole), weights(resumed))


def test_a_step_neither_draws_from_nor_seeds_the_global_generators(name):
    """Randomness comes from ``ctx.rng``: global generators would tie the draws to the order of calls."""
    method = built(name)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    run(method, 2)
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_constant_images_give_finite_losses_and_scores(name, level):
    method = built(name)
    for step in range(3):
        draws = [
            Draw(
                tuple(torch.full_like(view, level) for view in draw.views),
                draw.label,
                draw.domain,
                draw.depth,
                draw.parsing,
            )
            for draw in draws_of(method)
        ]
        logs = method.step(draws, context(step))
        assert all(value.isfinite() for value in logs.values()), logs
    assert method.score(draws[0].views[0]).isfinite().all()


@pytest.mark.parametrize("num_domains", [1, 2, 3, 4])
def test_any_number_of_domains_from_its_minimum_on(name, num_domains):
    method = registry.get(name)(registry.config(name))
    if num_domains < method.needs.min_domains:
        pytest.skip("refused when the sweep is planned")
    method = built(name, num_domains)
    logs = run(method, 2, num_domains=num_domains)
    assert all(value.isfinite() for value in logs.values())
    assert method.score(toy_draw(method, num_domains).views[0]).isfinite().all()


def test_a_batch_of_one_image_a_group_is_enough(name):
    logs = run(built(name), 2, per_group=1)
    assert all(value.isfinite() for value in logs.values())


def test_channels_last_images_give_the_same_update(name):
    plain, last = built(name), built(name)
    for method in (plain, last):
        method.networks.double()  # a deep network makes more of float32's rounding than any tolerance should allow
    draws = [double(draw) for draw in draws_of(plain)]
    moved = [
        Draw(
            tuple(view.contiguous(memory_format=torch.channels_last) for view in draw.views),
            draw.label,
            draw.domain,
            draw.depth,
            draw.parsing,
        )
        for draw in draws
    ]
    losses = [method.step(given, context())["loss"] for method, given in ((plain, draws), (last, moved))]
    torch.testing.assert_close(*losses, rtol=1e-6, atol=1e-8)


def test_grace_is_at_least_one_step_and_no_more_than_the_budget(name):
    for total_steps in (1, 2, 7, 1000):
        assert 1 <= registry.config(name).min_grace(total_steps) <= total_steps


def test_the_sweep_space_names_settings(name):
    config = registry.get(name).Config
    assert set(config.space()) <= set(config.model_fields)


def test_what_it_tells_of_itself_is_there(name):
    kind = registry.get(name)
    assert kind.title
    assert kind.paper
    assert kind.__doc__
