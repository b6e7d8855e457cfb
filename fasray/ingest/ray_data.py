"""What every use of Ray Data here has in common: no progress bars, errors in one line."""

from __future__ import annotations

import logging

from ray.data import DataContext


def silence(context: DataContext) -> DataContext:
    """Turn Ray Data's progress bars and messages off in a context, and return it."""
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return context


def last_line(error: BaseException) -> str:
    """Return the last line of an error from Ray, which says what was raised; the stack trace comes before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
