"""How much an outcome depends on each setting and on pairs of settings, and how much it seems to by chance alone.

A setting is judged by how much of the outcomes' ranks a curve in it explains, a pair by how much the product of the two
explains beyond their curves. Next to that, settings have PED-ANOVA as ``optuna`` computes it: how differently a setting
is distributed among the best quarter of the trials and among all (Watanabe et al., IJCAI 2023). The shares are computed
again with shuffled outcomes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BEST = 0.25
"""Share of the trials that count as the best."""
SHUFFLES = 499
CONFIDENCE = 0.95
_LEAST_FREE = 4
"""Degrees of freedom that must be left when a setting or a pair is judged."""
_TINY = 1e-9


@dataclass(frozen=True)
class Setting:
    """A searched setting as the trials had it."""

    name: str
    values: tuple[Any, ...]
    """By trial, as optuna has them: positions of listed values, else numbers."""
    distribution: Any
    """Optuna's form of the range."""
    curve: Floats
    """[trials, columns]: position in the range from -1 to 1 and its square; of words an indicator each."""
    line: Floats
    """[trials, columns]: what is multiplied in pairs, the position or the indicators."""


@dataclass(frozen=True)
class Effect:
    """A figure with what chance alone gives."""

    value: float
    null_upper: float
    """95 % of the shuffles give no more."""
    p: float
    p_adjusted: float
    """Share of the shuffles in which any of the settings, or of the pairs, stands out as much from its own null."""


def within(entry: Mapping[str, Any], value: Any) -> bool:
    """Return whether a value lies in a range, as ``sweep.yaml`` has it."""
    kind, bounds = next(iter(entry.items()))
    if kind in ("grid", "choice"):
        return value in bounds
    return isinstance(value, int | float) and bounds[0] <= value <= bounds[1]


def setting(name: str, entry: Mapping[str, Any], values: Sequence[Any]) -> Setting:
    """Return a setting from its range, as ``sweep.yaml`` has it, and its values by trial, all of them in the range."""
    from optuna import distributions

    kind, bounds = next(iter(entry.items()))
    if kind in ("grid", "choice"):
        listed = list(dict.fromkeys(bounds))
        numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in listed)
        listed = sorted(listed) if numeric else listed
        at = [listed.index(value) for value in values]
        curve = _curve(np.linspace(-1, 1, len(listed))[at]) if numeric else np.eye(len(listed))[at][:, 1:]
        places = distributions.CategoricalDistribution(range(len(listed)))
        line = curve[:, :1] if numeric else curve
        return Setting(name, tuple(at), places, curve, line)
    turned = np.log if kind == "loguniform" else np.asarray
    low, high = turned(np.array(bounds, np.float64))
    curve = _curve(2 * (turned(np.array(values, np.float64)) - low) / (high - low) - 1)
    made: Any = distributions.IntDistribution if kind == "integers" else distributions.FloatDistribution
    return Setting(name, tuple(values), made(*bounds, log=kind == "loguniform"), curve, curve[:, :1])


def _curve(place: Floats) -> Floats:
    return np.stack([place, place**2], axis=1)


def effects(
    settings: Sequence[Setting], score: Floats, groups: Ints, rng: np.random.Generator
) -> dict[tuple[str, str], Effect]:
    """Return the share of the outcomes' variance that each setting explains, and each pair beyond its two settings.

    A setting explains by a quadratic curve, a pair by the product. Shuffled are the residuals of what is explained
    without it (Freedman and Lane, 1983), so that what one setting does by itself makes no interaction.

    Args:
        settings: with at least two different values each.
        score: [trials] normal score of the outcome's rank, higher is better.
        groups: [trials] within which residuals are shuffled.
        rng: of the shuffles.

    Returns:
        By (setting, ""), then by (setting, other setting); pairs that leave too few degrees of freedom are left out.
    """
    shuffles = np.array([np.arange(len(score)), *(_shuffled(rng, groups) for _ in range(SHUFFLES))])
    level = np.ones((len(score), 1))
    alone = {(one.name, ""): _explained(score, shuffles, level, one.curve) for one in settings}
    pairs = {}
    for one, other in itertools.combinations(settings, 2):
        products = np.stack([a * b for a in one.line.T for b in other.line.T], axis=1)
        found = _explained(score, shuffles, np.hstack([level, one.curve, other.curve]), products)
        pairs[one.name, other.name] = found
    return {name: effect for family in (alone, pairs) for name, effect in _judged(family).items()}


def _explained(score: Floats, shuffles: Ints, base: Floats, added: Floats) -> tuple[Floats, float] | None:
    """Return what added columns explain of what base columns leave, for each shuffle, and how much that is of all.

    None if they add nothing, or leave too few degrees of freedom.
    """
    basis = _basis(base)
    joint = _basis(added - basis @ (basis.T @ added))
    if joint.shape[1] == 0 or len(score) - basis.shape[1] - joint.shape[1] < _LEAST_FREE:
        return None
    residuals = score - basis @ (basis.T @ score)
    drawn = residuals[shuffles]
    drawn -= drawn @ basis @ basis.T
    explained = ((drawn @ joint) ** 2).sum(axis=1) / np.maximum((drawn**2).sum(axis=1), _TINY)
    return explained, float(residuals @ residuals) / max(float(score @ score), _TINY)


def _judged(family: Mapping[tuple[str, str], tuple[Floats, float] | None]) -> dict[tuple[str, str], Effect]:
    """Compare figures, the first of each, with those of the shuffles, the others; ``p_adjusted`` over the family."""
    known = {name: found for name, found in family.items() if found is not None}
    if not known:
        return {}
    figures = np.stack([explained for explained, _ in known.values()], axis=1)
    null = figures[1:]
    spread = (figures - null.mean(axis=0)) / np.maximum(null.std(axis=0), _TINY)
    highest = spread[1:].max(axis=1)
    return {
        name: Effect(
            value=float(figures[0, column]) * share,
            null_upper=float(np.quantile(null[:, column], CONFIDENCE)) * share,
            p=float(1 + (null[:, column] >= figures[0, column] - _TINY).sum()) / len(figures),
            p_adjusted=float(1 + (highest >= spread[0, column] - _TINY).sum()) / len(figures),
        )
        for column, (name, (_, share)) in enumerate(known.items())
    }


def ped_anova(settings: Sequence[Setting], rank: Floats) -> dict[tuple[str, str], float]:
    """Return optuna's PED-ANOVA of each setting, by (setting, "").

    Args:
        settings: with at least two different values each.
        rank: [trials] outcome within the trial's group, 0 to 1, higher is better.
    """
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator
    from optuna.trial import create_trial

    space = {setting.name: setting.distribution for setting in settings}
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(direction="maximize")
        for number, value in enumerate(rank.tolist()):
            values = {setting.name: setting.values[number] for setting in settings}
            study.add_trial(create_trial(params=values, distributions=space, value=value))
        found = PedAnovaImportanceEvaluator(target_quantile=BEST).evaluate(study, list(space))
    finally:
        optuna.logging.set_verbosity(before)
    return {(name, ""): found[name] for name in space}


def normal_scores(outcome: Floats, groups: Ints) -> tuple[Floats, Floats]:
    """Return the rank of each outcome in its group, from 0 to 1, and the normal score of it; ties share a rank."""
    from scipy import stats  # half a second that only this function needs

    rank = np.empty(len(outcome))
    for group in np.unique(groups):
        own = groups == group
        rank[own] = (stats.rankdata(outcome[own]) - 0.5) / own.sum()
    return rank, stats.norm.ppf(rank)


def _basis(columns: Floats) -> Floats:
    """Return orthonormal columns that span the given ones."""
    left, size, _ = np.linalg.svd(columns, full_matrices=False)
    return np.asarray(left[:, size > 1e-6 * math.sqrt(len(columns))])


def _shuffled(rng: np.random.Generator, groups: Ints) -> Ints:
    """Return positions in which each group's are shuffled among themselves."""
    order = np.empty(len(groups), np.int64)
    order[np.argsort(groups, kind="stable")] = np.lexsort((rng.random(len(groups)), groups))
    return order
