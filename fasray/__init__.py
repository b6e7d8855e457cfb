"""fasray: honest protocol and hyperparameter sweeps for domain-generalized face anti-spoofing, on Ray.

    spec = fasray.load_sweep("sweeps/quickstart.yaml")
    fasray.run_sweep(spec, "runs/quickstart")
    frame = fasray.load_results("runs/quickstart")

Importing this package loads neither torch nor ray; each name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from fasray.version import __version__

if TYPE_CHECKING:
    from fasray.execution.engine import run_sweep
    from fasray.execution.listener import Listener
    from fasray.execution.one_trial import train_trial
    from fasray.inference.files import predict_files
    from fasray.inference.scorer import Scorer
    from fasray.results.load import load_costs, load_evaluations, load_results, load_scores, load_trials
    from fasray.sweep.sweep_file import load_sweep

__all__ = [
    "Listener",
    "Scorer",
    "__version__",
    "load_costs",
    "load_evaluations",
    "load_results",
    "load_scores",
    "load_sweep",
    "load_trials",
    "predict_files",
    "run_sweep",
    "train_trial",
]

_HOME = {
    "load_sweep": "fasray.sweep.sweep_file",
    "run_sweep": "fasray.execution.engine",
    "Listener": "fasray.execution.listener",
    "train_trial": "fasray.execution.one_trial",
    "Scorer": "fasray.inference.scorer",
    "predict_files": "fasray.inference.files",
    **dict.fromkeys(
        ("load_results", "load_trials", "load_costs", "load_evaluations", "load_scores"), "fasray.results.load"
    ),
}


def __getattr__(name: str) -> object:
    """Load a public name from its module."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
