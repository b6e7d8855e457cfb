"""The rates of ISO/IEC 30107-3: exact bounds are SciPy's, non-responses are counted both ways, species stay apart."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from fasray.errors import DataError, SpecError
from fasray.metrics.pad import clopper_pearson, pad_counts, presentations_needed, riapar, upper_bound


@pytest.mark.parametrize("count", [1, 7, 150, 1000])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_bounds_are_scipys_exact_ones(count: int, confidence: float) -> None:
    for errors in sorted({0, 1, count // 3, count - 1, count}):
        test = stats.binomtest(errors, count)
        expected = test.proportion_ci(confidence, "exact")
        assert clopper_pearson(errors, count, confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)
        one_sided = stats.binomtest(errors, count, alternative="less").proportion_ci(confidence, "exact")
        assert upper_bound(errors, count, confidence) == pytest.approx(one_sided.high, abs=1e-12)


def test_no_error_in_150_is_at_most_two_percent_and_300_one() -> None:
    assert upper_bound(0, 150) == pytest.approx(1 - 0.05 ** (1 / 150))
    assert 0.0197 < upper_bound(0, 150) < 0.0200
    assert 0.0099 < upper_bound(0, 300) < 0.0100
    assert [presentations_needed(rate) for rate in (0.1, 0.05, 0.02, 0.01)] == [29, 59, 149, 299]
    for rate in (0.02, 0.01):
        needed = presentations_needed(rate)
        assert upper_bound(0, needed) <= rate < upper_bound(0, needed - 1)


def test_an_exact_interval_covers_at_least_what_it_promises() -> None:
    for rate in (0.005, 0.03, 0.4):
        counts = np.arange(151)
        inside = [low <= rate <= high for low, high in (clopper_pearson(int(k), 150) for k in counts)]
        assert stats.binom.pmf(counts, 150, rate)[inside].sum() >= 0.95


def made() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 300)
    species = np.where(label == 1, "live", rng.choice(["print", "replay", "mask"], 300))
    return rng.normal(label, 1), label, species, rng.choice([f"s{n}" for n in range(20)], 300)


def test_counts_are_those_of_brute_force_with_non_responses_left_out_and_counted_as_attacks() -> None:
    score, label, species, subject = made()
    missing = {"print": 9, "silicone": 4}
    found = pad_counts(
        score, label, species, 0.5, subject=subject, non_responses=tuple(missing.items()), live_non_responses=6
    )
    # Each presentation on its own: what it is, and how it was classified; None is no response.
    everyone = [(kind, value >= 0.5) for kind, value in zip(species, score, strict=True)]
    everyone += [(kind, None) for kind, count in (*missing.items(), ("live", 6)) for _ in range(count)]
    for by_kind, excluded in ((found, True), (found.as_attack, False)):
        verdicts = [(kind, bool(verdict)) for kind, verdict in everyone if verdict is not None or not excluded]
        for each in by_kind.species:
            of_kind = [verdict for kind, verdict in verdicts if kind == each.name]
            assert (each.count, each.errors) == (len(of_kind), sum(of_kind))
        bona_fide = [verdict for kind, verdict in verdicts if kind == "live"]
        attacks = [verdict for kind, verdict in verdicts if kind != "live"]
        assert by_kind.live.rate == pytest.approx(1 - np.mean(bona_fide))
        assert by_kind.hter == pytest.approx((np.mean(attacks) + 1 - np.mean(bona_fide)) / 2)
    rates = {each.name: each.non_response_rate for each in found.species}
    prints = int((species == "print").sum())
    assert rates == {"mask": 0, "print": 9 / (prints + 9), "replay": 0, "silicone": 1}
    assert found.live.non_response_rate == 6 / (label.sum() + 6)
    assert found.live.subjects == len(set(subject[label == 1]))
    assert math.isnan(next(each.rate for each in found.species if each.name == "silicone"))


def test_what_is_named_for_a_species_is_never_pooled() -> None:
    label, species = np.array([1, 1, *[0] * 10]), np.array(["live"] * 2 + ["print"] * 9 + ["mask"])
    score = np.array([1, 1, *[0.0] * 9, 1])
    found = pad_counts(score, label, species, 0.5)
    assert (found.apcer, found.far) == (1.0, 0.1)


def test_riapar_adds_what_the_system_lets_in_and_what_it_keeps_out() -> None:
    assert riapar(0.05, 0.02) == pytest.approx(1 + (0.05 - (1 - 0.02)))
    with pytest.raises(SpecError, match="between 0 and 1"):
        riapar(5, 0.02)


def test_what_cannot_be_counted_is_refused() -> None:
    with pytest.raises(DataError, match="4 errors of 3"):
        clopper_pearson(4, 3)
    with pytest.raises(SpecError, match="one-sided confidence"):
        upper_bound(0, 3, 0.2)
    with pytest.raises(SpecError, match="shown by no number"):
        presentations_needed(0)
    with pytest.raises(DataError, match="threshold is NaN"):
        pad_counts([0.1, 0.2], [0, 1], ["print", ""], math.nan)
