"""The field's metrics as pure NumPy functions: rates, curves, thresholds, intervals, comparisons, frames to videos."""

from fasray.metrics.calibration import Calibration, Reliability, brier, fit_calibration, reliability
from fasray.metrics.compare import PairedDifference, paired_difference
from fasray.metrics.compat import COMPAT, CompatFigures, compat_figures
from fasray.metrics.curves import Det, Eer, Roc, auc, bpcer_at_apcer, det, eer, roc, tpr_at_fpr
from fasray.metrics.figures import Figures, figures
from fasray.metrics.intervals import FEW_SUBJECTS, Interval, Intervals, confidence_intervals, few_subjects_warning
from fasray.metrics.losses import binary_cross_entropy
from fasray.metrics.mean_difference import MeanDifference, PairedRuns, holm, mean_difference
from fasray.metrics.pad import PadCounts, Presentations, clopper_pearson, pad_counts, riapar, upper_bound
from fasray.metrics.ranks import Ranks, rank_methods
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
    "Calibration",
    "CompatFigures",
    "Det",
    "DomainDev",
    "Eer",
    "Figures",
    "Interval",
    "Intervals",
    "MeanDifference",
    "PadCounts",
    "PadRates",
    "PairedDifference",
    "PairedRuns",
    "Presentations",
    "Ranks",
    "Rates",
    "Reliability",
    "Roc",
    "SourceDev",
    "Videos",
    "apcer_threshold",
    "auc",
    "binary_cross_entropy",
    "bpcer_at_apcer",
    "bpcer_threshold",
    "brier",
    "choose_threshold",
    "clopper_pearson",
    "compat_figures",
    "confidence_intervals",
    "det",
    "eer",
    "eer_threshold",
    "few_subjects_warning",
    "figures",
    "fit_calibration",
    "holm",
    "mean_difference",
    "min_hter_threshold",
    "pad_counts",
    "pad_rates_at",
    "paired_difference",
    "rank_methods",
    "rates_at",
    "reliability",
    "riapar",
    "roc",
    "source_dev_summary",
    "to_videos",
    "tpr_at_fpr",
    "upper_bound",
]
