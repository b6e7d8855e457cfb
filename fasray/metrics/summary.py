"""The figures that choose: what scheduler, searcher and checkpoint choice see of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasray.errors import DataError
from fasray.metrics.curves import auc
from fasray.metrics.inputs import check_both_classes
from fasray.metrics.losses import binary_cross_entropy
from fasray.metrics.video import to_videos

SOURCE_DEV, TARGET = "source-dev", "target"
"""Values of the ``role`` column of a score file."""


@dataclass(frozen=True)
class DomainDev:
    """Source-dev figures of one source domain, over its videos."""

    domain: str
    auc: float
    loss: float
    videos: int
    frames: int


@dataclass(frozen=True)
class SourceDev:
    """Source-dev figures of one evaluation: unweighted means over the source domains."""

    auc: float
    """Macro average of the domains' video-level AUC, in [0, 1]; higher is better. It alone ranks trials and steps."""
    loss: float
    """Macro average of the domains' video-level binary cross-entropy; lower breaks ties of ``auc``."""
    per_domain: tuple[DomainDev, ...]
    """By domain name."""


def source_dev_summary(
    role: ArrayLike, score: ArrayLike, label: ArrayLike, domain: ArrayLike, video: ArrayLike
) -> SourceDev:
    """Summarise the source-dev rows of an evaluation; rows of any other role are not looked at.

    Args:
        role: [N] ``source-dev`` or anything else.
        score: [N] higher = more live.
        label: [N] 1 = live, 0 = attack.
        domain: [N] source domain (``Roles.domain_names``).
        video: [N] unique over all domains; frames of a video are averaged first.

    Raises:
        DataError: there are no source-dev rows, a source-dev score is NaN, a domain has one class only, or frames of
            a video disagree.
    """
    chosen = np.asarray(role) == SOURCE_DEV
    if not chosen.any():
        raise DataError("there are no source-dev scores", remedy="the protocol must keep subjects for source-dev")
    labels: NDArray[Any] = np.asarray(label)[chosen]
    domains: NDArray[Any] = np.asarray(domain)[chosen]
    videos = to_videos(
        np.asarray(score)[chosen], labels, domains, np.zeros(len(labels), np.int8), np.asarray(video)[chosen]
    )
    per_domain = []
    for name in np.unique(videos.domain):
        here = videos.domain == name
        try:
            check_both_classes(videos.label[here] == 1)
        except DataError as error:
            raise DataError(f"source-dev of domain {str(name)!r}: {error.what}", remedy=error.remedy) from error
        scores_here, labels_here = videos.score[here], videos.label[here]
        per_domain.append(
            DomainDev(
                str(name),
                auc(scores_here, labels_here),
                binary_cross_entropy(scores_here, labels_here),
                int(here.sum()),
                int(videos.frames[here].sum()),
            )
        )
    return SourceDev(
        float(np.mean([part.auc for part in per_domain])),
        float(np.mean([part.loss for part in per_domain])),
        tuple(per_domain),
    )
