"""The field's metrics as pure NumPy functions: rates at a threshold, curves, frames to videos, source-dev summary."""

from fasray.metrics.compare import PairedDifference, paired_difference
from fasray.metrics.curves import Eer, Roc, auc, eer, roc, tpr_at_fpr
from fasray.metrics.losses import binary_cross_entropy
from fasray.metrics.rates import PadRates, Rates, pad_rates_at, rates_at
from fasray.metrics.summary import SOURCE_DEV, TARGET, DomainDev, SourceDev, source_dev_summary
from fasray.metrics.video import Videos, to_videos

__all__ = [
    "SOURCE_DEV",
    "TARGET",
    "DomainDev",
    "Eer",
    "PadRates",
    "PairedDifference",
    "Rates",
    "Roc",
    "SourceDev",
    "Videos",
    "auc",
    "binary_cross_entropy",
    "eer",
    "pad_rates_at",
    "paired_difference",
    "rates_at",
    "roc",
    "source_dev_summary",
    "to_videos",
    "tpr_at_fpr",
]
