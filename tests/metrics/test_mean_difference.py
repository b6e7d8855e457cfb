"""Differences over protocols, seeds and subjects: errors of both kinds and coverage as promised, and Holm and ranks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from fasray.errors import DataError
from fasray.metrics.mean_difference import MeanDifference, PairedRuns, holm, mean_difference
from fasray.metrics.ranks import rank_methods
from fasray.metrics.replicates import ScoredClusters
from fasray.metrics.resampling import draw, find_clusters, whole

LABEL = np.tile([1, 0, 0, 1], 24)
SUBJECT = np.repeat(np.arange(24), 4)
LIVE = LABEL == 1
CLUSTERS = find_clusters(np.zeros(len(LABEL)), LIVE, SUBJECT.astype(str))
NOISE, HARD, SEED, HARD_FOR_METHOD = 0.8, 0.6, 0.25, 0.4
TOTAL = math.sqrt(NOISE**2 + HARD**2 + SEED**2 + HARD_FOR_METHOD**2)


@dataclass(frozen=True)
class World:
    """Two methods trained with some seeds on some protocols; the first separates the classes by ``better`` more."""

    better: float = 0.0
    protocols: int = 4
    seeds: int = 3
    resamples: int = 200

    @property
    def truth(self) -> float:
        """Expected HTER of the first method minus that of the second, over all people and seeds."""
        return float(stats.norm.cdf(-(1 + self.better / 2) / TOTAL) - stats.norm.cdf(-1 / TOTAL))

    def compare(self, number: int) -> MeanDifference:
        rng = np.random.default_rng([number, 7])
        runs = []
        for protocol in range(self.protocols):
            counts = np.concatenate([whole(CLUSTERS), draw(CLUSTERS, self.resamples, seed=protocol)])
            hard = rng.normal(0, HARD, (2, 24))[LABEL, SUBJECT]
            hter = []
            for better in (self.better, 0.0):
                own = rng.normal(0, HARD_FOR_METHOD, (2, 24))[LABEL, SUBJECT]
                for _ in range(self.seeds):
                    shift = rng.normal(0, SEED, 2)[LABEL]
                    score = (2 + better) * (LABEL - 0.5) + hard + own + shift + rng.normal(0, NOISE, len(LABEL))
                    sample = ScoredClusters(score, LIVE, CLUSTERS.index)
                    hter.append((sample.far(counts, 0.0) + sample.frr(counts, 0.0)) / 2)
            table = np.reshape(hter, (2, self.seeds, -1))
            difference = table[0] - table[1]
            runs.append(PairedRuns(difference[:, 0], difference[:, 1:], 24, protocol, protocol))
        return mean_difference(runs)


@pytest.mark.slow
@pytest.mark.parametrize(("protocols", "seeds"), [(4, 3), (1, 5), (4, 2), (2, 1)])
def test_methods_that_are_equal_are_found_different_as_often_as_promised(protocols: int, seeds: int) -> None:
    world = World(protocols=protocols, seeds=seeds)
    found = [world.compare(number) for number in range(1000)]
    # One seed says nothing of others; its intervals are too narrow for them, and a note says so.
    assert 0.03 <= np.mean([each.p < 0.05 for each in found]) <= (0.07 if seeds > 1 else 0.25)
    assert all(bool(each.note) == (seeds == 1) for each in found)


@pytest.mark.slow
def test_intervals_cover_and_power_is_as_predicted() -> None:
    world = World(better=0.6)
    pilot = [world.compare(number) for number in range(1000, 1200)]
    found = [world.compare(number) for number in range(1000)]
    assert 0.93 <= np.mean([each.lower <= world.truth <= each.upper for each in found]) <= 0.97
    predicted = np.median([each.power(world.truth) for each in pilot])
    assert 0.6 < predicted < 0.9
    assert np.mean([each.p < 0.05 for each in found]) == pytest.approx(predicted, abs=0.05)


def test_a_few_equal_worlds_are_mostly_found_equal_and_better_ones_better() -> None:
    null = [World(resamples=100).compare(number) for number in range(60)]
    assert np.mean([each.p < 0.05 for each in null]) <= 0.15
    assert np.std([each.below_zero for each in null]) == pytest.approx(math.sqrt(1 / 12), abs=0.08)
    better = [World(better=1.0, resamples=100).compare(number) for number in range(20)]
    assert np.mean([each.upper < 0 for each in better]) >= 0.9
    assert min(each.below_zero for each in better) > 0.9


def linear(seeds: int, subjects: int = 20, protocols: int = 3) -> tuple[list[PairedRuns], np.ndarray]:
    """Differences that are means over subjects, whose resamples can be replaced by formulas, [P, S, n]."""
    rng = np.random.default_rng(5)
    values = rng.normal(0.3, 1, (protocols, seeds, subjects)) + rng.normal(0, 1, (protocols, 1, subjects))
    values += rng.normal(0, 0.5, (protocols, seeds, 1))
    runs = []
    for protocol, of_protocol in enumerate(values):
        counts = rng.multinomial(subjects, np.full(subjects, 1 / subjects), 40_000)
        runs.append(PairedRuns(of_protocol.mean(1), of_protocol @ counts.T / subjects, subjects, protocol, protocol))
    return runs, values


def test_the_standard_error_is_that_of_a_crossed_analysis_of_variance() -> None:
    runs, values = linear(seeds=5)
    found = mean_difference(runs)
    protocols, seeds, subjects = values.shape
    # Mean squares of the two-way layout of subjects and seeds, by protocol.
    grand = values.mean((1, 2), keepdims=True)
    by_seed, by_subject = values.mean(2, keepdims=True), values.mean(1, keepdims=True)
    rest = values - by_seed - by_subject + grand
    error = (rest**2).sum((1, 2)) / ((seeds - 1) * (subjects - 1))
    seed = (subjects * ((by_seed - grand) ** 2).sum((1, 2)) / (seeds - 1)).mean() - error.mean()
    subject = seeds * ((by_subject - grand) ** 2).sum((1, 2)) / (subjects - 1)
    # Of the interaction one part in as many as the seeds have degrees of freedom is left in, to be on the safe side.
    seed += error.mean() / (protocols * (seeds - 1))
    expected = subject.sum() / (seeds * subjects) + protocols * seed / (seeds * subjects)
    assert found.mean == pytest.approx(values.mean())
    assert found.error == pytest.approx(math.sqrt(expected) / protocols, rel=0.02)
    assert found.subject_share == pytest.approx(subject.sum() / (seeds * subjects) / expected, rel=0.03)


def test_one_seed_on_one_protocol_is_students_t_over_its_subjects() -> None:
    runs, values = linear(seeds=1, protocols=1)
    found = mean_difference(runs)
    expected = stats.ttest_1samp(values[0, 0], 0)
    interval = expected.confidence_interval(0.95)
    assert (found.lower, found.upper, found.p) == pytest.approx(
        (interval.low, interval.high, expected.pvalue), rel=0.03
    )
    assert found.freedom == values.shape[2] - 1
    margin = 0.9
    sides = ((-margin, "greater"), (margin, "less"))
    tests = [stats.ttest_1samp(values[0, 0], side, alternative=way).pvalue for side, way in sides]
    assert found.equivalence_p(margin) == pytest.approx(max(tests), rel=0.05)
    assert found.below_zero == pytest.approx(stats.ttest_1samp(values[0, 0], 0, alternative="greater").pvalue, rel=0.05)


def test_protocols_that_share_people_or_training_are_not_counted_as_new_evidence() -> None:
    (one,), _ = linear(seeds=4, protocols=1)
    alone = mean_difference([one])
    copied = mean_difference([one, one, one])
    apart = mean_difference([PairedRuns(one.value, one.replicates, 20, n, n) for n in range(3)])
    assert copied.error == pytest.approx(alone.error)
    assert apart.error == pytest.approx(alone.error / math.sqrt(3), rel=0.1)


def test_the_smallest_difference_that_is_seen_has_that_power() -> None:
    found = World(resamples=100).compare(0)
    for power in (0.5, 0.8, 0.95):
        assert found.power(found.smallest_seen(power)) == pytest.approx(power, abs=1e-6)
    assert found.power(0) == pytest.approx(1 - found.confidence, abs=1e-5)
    for away in (0.5, 2, 4):
        critical = stats.t.ppf(0.975, found.freedom)
        expected = stats.nct.sf(critical, found.freedom, away) + stats.nct.cdf(-critical, found.freedom, away)
        assert found.power(away * found.error) == pytest.approx(expected, abs=1e-5)
    assert found.smallest_seen() > found.upper - found.mean


def test_a_method_is_its_own_equal() -> None:
    same = mean_difference([PairedRuns(np.zeros(2), np.zeros((2, 100)), 20)])
    assert (same.p, same.below_zero, same.equivalence_p(0.01), same.smallest_seen()) == (1, 0.5, 0, 0)
    lonely = mean_difference([PairedRuns(np.ones(2), np.zeros((2, 100)), 1)])
    assert math.isnan(lonely.p)
    assert "no interval" in lonely.note
    sure = mean_difference([PairedRuns(np.full(2, 0.1), np.full((2, 100), 0.1), 20)])
    assert (sure.lower, sure.upper) == (0.1, 0.1)
    assert "no width" in sure.note
    with pytest.raises(DataError, match="no pairs"):
        mean_difference([])


def test_holm_is_the_step_down_procedure() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        p = rng.random(6) ** 3
        p[2] = p[1]
        adjusted = holm([*p, math.nan])
        assert math.isnan(adjusted[-1])
        for level in (0.01, 0.05, 0.2):
            order, rejected = np.argsort(p), np.zeros(6, bool)
            for place, index in enumerate(order):
                if p[index] > level / (6 - place):
                    break
                rejected[index] = True
            np.testing.assert_array_equal(adjusted[:-1] <= level, rejected)


def test_ranks_are_friedmans_and_the_critical_difference_is_that_of_the_tables() -> None:
    rng = np.random.default_rng(0)
    error = rng.random((4, 12)) + np.array([0, 0.2, 0.4, 0.1])[:, None]
    error[1, :3] = error[0, :3]
    found = rank_methods(error)
    expected = stats.friedmanchisquare(*error)
    assert (found.statistic, found.p) == pytest.approx((expected.statistic, expected.pvalue))
    assert found.mean == pytest.approx(stats.rankdata(error, axis=0).mean(axis=1))
    for methods, q in ((2, 1.960), (3, 2.343), (5, 2.728), (10, 3.164)):  # Demsar 2006, table 5
        here = rank_methods(rng.random((methods, 14)))
        assert here.critical_difference == pytest.approx(q * math.sqrt(methods * (methods + 1) / (6 * 14)), rel=5e-4)
    assert math.isnan(rank_methods(np.ones((3, 4))).p)
    with pytest.raises(DataError, match="two methods"):
        rank_methods([[0.1, 0.2]])
