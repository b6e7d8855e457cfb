"""The source-dev summary: macro averages over domains of video-level figures, blind to the target."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from fasray import metrics
from fasray.errors import DataError


def evaluation(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    size = {"C": 24, "M": 80, "T": 40}
    domain = np.repeat(list(size), list(size.values()))
    frame = np.arange(len(domain))
    video = np.char.add(domain, (frame // 2).astype(str))
    label = (frame // 2) % 2
    return {
        "role": np.where(domain == "T", "target", "source-dev"),
        "score": np.clip(rng.normal(0.4 + 0.2 * label, 0.2), 0, 1),
        "label": label,
        "domain": domain,
        "video": video,
    }


def test_figures_are_unweighted_means_over_domains_of_their_videos() -> None:
    columns = evaluation()
    found = metrics.source_dev_summary(**columns)
    aucs, losses = [], []
    for name in ("C", "M"):
        here = columns["domain"] == name
        videos = np.unique(columns["video"][here])
        score = [columns["score"][columns["video"] == video].mean() for video in videos]
        label = [columns["label"][columns["video"] == video][0] for video in videos]
        aucs.append(roc_auc_score(label, score))
        losses.append(log_loss(label, score))
    assert found.auc == pytest.approx(np.mean(aucs), abs=1e-12)
    assert found.loss == pytest.approx(np.mean(losses), abs=1e-9)
    assert [(part.domain, part.videos, part.frames) for part in found.per_domain] == [("C", 12, 24), ("M", 40, 80)]


def test_no_target_number_can_change_it() -> None:
    columns = evaluation()
    target = columns["role"] == "target"
    reference = metrics.source_dev_summary(**columns)
    columns["score"][target] = np.nan
    columns["label"][target] = 7
    assert metrics.source_dev_summary(**columns) == reference


def test_missing_source_dev_one_class_and_nan_are_refused() -> None:
    columns = evaluation()
    with pytest.raises(DataError, match="no source-dev"):
        metrics.source_dev_summary(**{**columns, "role": np.full(len(columns["role"]), "target")})
    with pytest.raises(DataError, match="source-dev of domain 'C': all 12 scores are live"):
        metrics.source_dev_summary(**{**columns, "label": np.where(columns["domain"] == "C", 1, columns["label"])})
    with pytest.raises(DataError, match="NaN"):
        metrics.source_dev_summary(**{**columns, "score": np.full(len(columns["score"]), np.nan)})


def test_cross_entropy_is_clipped_and_in_nats() -> None:
    assert metrics.binary_cross_entropy([0.5, 0.5], [1, 0]) == pytest.approx(math.log(2))
    assert metrics.binary_cross_entropy([-3.0], [1]) == pytest.approx(-math.log(1e-7))
    assert metrics.binary_cross_entropy([5.0, -5.0], [1, 0]) == pytest.approx(1e-7, rel=1e-3)
