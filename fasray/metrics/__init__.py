"""The field's metrics as pure NumPy functions: rates, curves, thresholds, intervals, comparisons, frames to videos."""

from fasray.metrics.compare import MethodComparison, PairedDifference, compare_methods, paired_difference
from fasray.metrics.compat import COMPAT, CompatFigures, compat_figures
from fasray.metrics.curves import Det, Eer, Roc, auc, bpcer_at_apcer, det, eer, roc, tpr_at_fpr
from fasray.metrics.figures import Figures, figures
from fasray.metrics.intervals import FEW_SUBJECTS, Interval, Intervals, confidence_intervals, few_subjects_warning
from fasray.metrics.losses import binary_cross_entropy
from fasray.metrics.rates import PadRates, Rates, pad_rates_at, rates_at
from fasray.metrics.summary import SOURCE_DEV, TARGET, DomainDev, SourceDev, source_dev_summary
from fasray.metrics.thresholds import (
    apcer_threshold,
    bpcer_threshold,
    choose_threshold,
    eer_threshold,
    min_hter_threshold,
)
from fasray.metrics.video import Videos, to_videos

__all__ = [
    "COMPAT",
    "FEW_SUBJECTS",
    "SOURCE_DEV",
    "TARGET",
    "CompatFigures",
    "Det",
    "DomainDev",
    "Eer",
    "Figures",
    "Interval",
    "Intervals",
    "MethodComparison",
    "PadRates",
    "PairedDifference",
    "Rates",
    "Roc",
    "SourceDev",
    "Videos",
    "apcer_threshold",
    "auc",
    "binary_cross_entropy",
    "bpcer_at_apcer",
    "bpcer_threshold",
    "choose_threshold",
    "compare_methods",
    "compat_figures",
    "confidence_intervals",
    "det",
    "eer",
    "eer_threshold",
    "few_subjects_warning",
    "figures",
    "min_hter_threshold",
    "pad_rates_at",
    "paired_difference",
    "rates_at",
    "roc",
    "source_dev_summary",
    "to_videos",
    "tpr_at_fpr",
]
