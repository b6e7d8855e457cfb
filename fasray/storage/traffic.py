"""How many bytes this process has written to files, for reports of cost."""

from __future__ import annotations

import threading

_lock = threading.Lock()
_written = 0


def bytes_written() -> int:
    """Return how many bytes this process has written by ``write_bytes`` and ``write_once`` so far."""
    return _written


def count_written(data: bytes) -> None:
    """Count what has just been written."""
    global _written  # noqa: PLW0603 - of the process, as its processor time is
    with _lock:
        _written += len(data)
