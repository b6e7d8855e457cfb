"""SIGINT and SIGTERM end a run at once and for sure; nothing has to be saved by then: what counts is on the disk."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from fasray.errors import InterruptedRunError

GRACE_SECONDS = 6.0
"""How long a process may take to leave by itself before it is ended."""
REMEDY = "run the same command again to go on"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruptible(where: str, message: str) -> Iterator[None]:
    """Turn SIGINT and SIGTERM into InterruptedRunError in the main thread, and leave for sure soon after.

    On its way up it is a KeyboardInterrupt: Ray's compiled parts let no other exception through, and Tune would take an
    Exception for the failure of a trial. Outside the main thread, which alone handles signals, this does nothing.

    Args:
        where: the run or trial, for the message.
        message: what was saved.

    Raises:
        InterruptedRunError: a signal came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        for known in _SIGNALS:
            signal.signal(known, signal.SIG_IGN)
        last.start()
        raise KeyboardInterrupt

    last = threading.Timer(GRACE_SECONDS, _leave, args=(message,))
    last.daemon = True
    saved = {number: signal.signal(number, interrupt) for number in _SIGNALS}
    try:
        yield
    except (KeyboardInterrupt, SystemExit):  # SystemExit: a SIGTERM while Ray starts, when the signal is Ray's
        raise InterruptedRunError(message, where=where, remedy=REMEDY) from None
    finally:
        last.cancel()
        for number, handler in saved.items():
            signal.signal(number, handler)


def _leave(message: str) -> None:
    """End the process; for one that hangs in someone else's clean-up."""
    sys.stderr.write(f"{message}\n  -> {REMEDY}\n")
    sys.stderr.flush()
    os._exit(InterruptedRunError.exit_code)
