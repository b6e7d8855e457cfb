"""All figures of one score set at one threshold, counted in one go."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.typing import ArrayLike

from fasray.metrics.curves import first_within_every_type
from fasray.metrics.rates import pad_rates_at, rates_at
from fasray.metrics.tally import tally


@dataclass(frozen=True)
class Figures:
    """What the field reports of a score set; rates are fractions."""

    lives: int
    attacks: int
    auc: float
    eer: float
    eer_threshold: float
    threshold: float
    """Where the rates from ``far`` to ``acer`` are taken."""
    far: float
    frr: float
    hter: float
    apcer: float
    """Of the worst attack type; of all attacks together where types are unknown."""
    apcer_by_type: tuple[tuple[str, float], ...]
    """By name; empty where types are unknown."""
    bpcer: float
    acer: float
    bpcer_at_apcer10: float
    """Least BPCER at which every attack type keeps to an APCER of 10 %, as ISO/IEC 30107-3 has it; also called BPCER10.
    Nothing is interpolated. Where types are unknown, all attacks are one type."""
    bpcer_at_apcer5: float
    bpcer_at_apcer1: float
    tpr_at_fpr1: float
    """Largest share of live faces accepted while at most 1 % of the attacks are, all attack types together."""


def figures(
    score: ArrayLike, label: ArrayLike, threshold: float | None = None, attack_type: ArrayLike | None = None
) -> Figures:
    """Return all figures of a score set.

    Args:
        score: [N] higher = more live.
        label: [N] 1 = live, 0 = attack.
        threshold: chosen on other rows; None takes the EER's on these very rows, as only an oracle could.
        attack_type: [N] read for attacks only.

    Raises:
        DataError: empty, NaN (scores or threshold), strange labels, one class only, or lengths that differ.
    """
    counted = tally(score, label)
    eer, eer_threshold = counted.eer()
    chosen = eer_threshold if threshold is None else threshold
    rates = rates_at(score, label, chosen)
    by_type = () if attack_type is None else pad_rates_at(score, label, attack_type, chosen).apcer_by_type
    apcer = max((rate for _, rate in by_type), default=rates.far)
    ten, five, one = (
        counted.frr_at(first_within_every_type(counted, score, label, limit, attack_type))
        for limit in (0.1, 0.05, 0.01)
    )
    return Figures(
        lives=counted.lives,
        attacks=counted.attacks,
        auc=counted.auc(),
        eer=eer,
        eer_threshold=eer_threshold,
        threshold=float(chosen),
        far=rates.far,
        frr=rates.frr,
        hter=rates.hter,
        apcer=apcer,
        apcer_by_type=by_type,
        bpcer=rates.frr,
        acer=(apcer + rates.frr) / 2,
        bpcer_at_apcer10=ten,
        bpcer_at_apcer5=five,
        bpcer_at_apcer1=one,
        tpr_at_fpr1=1 - counted.frr_at(counted.first_within(0.01)),
    )
