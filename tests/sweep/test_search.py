"""Suggestions: the paper's setting first, grids crossed with draws, the same at any time."""

from collections.abc import Mapping

import numpy as np
import pytest

from fasray.methods.space import Choice, Grid, LogUniform, Range, Uniform
from fasray.sweep.search import suggestions

DEFAULT = {"weight": 0.1, "alpha": 0.9, "depth": 5, "other": "x"}


def suggest(space: Mapping[str, Range], draws: int = 4, algorithm: str = "random", cell: str = "m/p") -> list[object]:
    return list(suggestions(algorithm, space, DEFAULT, draws, 100, cell))


def test_the_first_point_is_the_papers_own() -> None:
    assert suggest({"weight": LogUniform(loguniform=(0.01, 1.0))})[0] == {"weight": 0.1}
    assert suggest({"depth": Grid(grid=(1, 2))}, algorithm="grid")[0] == {"depth": 5}


def test_grids_are_crossed_with_each_other_and_with_the_draws() -> None:
    space: dict[str, Range] = {
        "depth": Grid(grid=(1, 5)), "alpha": Grid(grid=(0.9, 0.99)), "weight": Uniform(uniform=(0.0, 1.0)),
    }  # fmt: skip
    points = suggest(space, draws=3)
    assert len(points) == 3 * 2 * 2
    assert len({tuple(sorted(p.items())) for p in points}) == len(points)  # type: ignore[attr-defined]


def test_a_grid_covers_every_combination_once_and_the_default() -> None:
    space: dict[str, Range] = {"depth": Grid(grid=(1, 5, 10)), "alpha": Choice(choice=(0.9, 0.99))}
    points = suggest(space, algorithm="grid")
    assert len(points) == 6
    assert points[0] == {"depth": 5, "alpha": 0.9}


def test_asking_again_gives_the_same_and_another_cell_draws_otherwise() -> None:
    space: dict[str, Range] = {"weight": LogUniform(loguniform=(0.01, 1.0))}
    assert suggest(space) == suggest(space)
    assert suggest(space)[1:] != suggest(space, cell="m/q")[1:]


def test_more_draws_keep_those_before() -> None:
    space: dict[str, Range] = {"weight": LogUniform(loguniform=(0.01, 1.0)), "alpha": Uniform(uniform=(0.0, 1.0))}
    assert suggest(space, draws=9)[:4] == suggest(space, draws=4)


def test_another_parameter_leaves_the_first_ones_draws_alone() -> None:
    one: dict[str, Range] = {"weight": LogUniform(loguniform=(0.01, 1.0))}
    two: dict[str, Range] = {**one, "alpha": Uniform(uniform=(0.0, 1.0))}
    assert [p["weight"] for p in suggest(one)] == [p["weight"] for p in suggest(two)]


def test_repetitions_are_drawn_again_until_the_space_is_used_up() -> None:
    assert len(suggest({"depth": Choice(choice=(1, 2, 5))}, draws=3)) == 3
    assert len(suggest({"depth": Choice(choice=(1, 2, 5))}, draws=30)) == 3


@pytest.mark.parametrize("bounds", [(0.01, 1.0), (1e-4, 1e-3)])
def test_a_log_range_is_uniform_in_its_logarithm(bounds: tuple[float, float]) -> None:
    points = suggest({"weight": LogUniform(loguniform=bounds)}, draws=400)[1:]
    logs = np.log([p["weight"] for p in points])
    share = (logs - np.log(bounds[0])) / np.log(bounds[1] / bounds[0])
    assert share.min() >= 0
    assert share.max() <= 1
    assert abs(share.mean() - 0.5) < 0.06
