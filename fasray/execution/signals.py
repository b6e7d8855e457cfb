"""SIGINT and SIGTERM end a run at once and for sure; nothing has to be saved by then: what counts is on the disk."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from fasray.errors import InterruptedRunError
from fasray.execution.ray_job import how_to_go_on, seconds_to_leave

GRACE_SECONDS = 6.0
"""How long a process may take to leave by itself before it is ended; less in a Ray job, where SIGKILL comes soon."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruptible(where: str, message: str) -> Iterator[None]:
    """Turn SIGINT and SIGTERM into InterruptedRunError in the main thread, and leave for sure soon after.

    On its way up it is a KeyboardInterrupt: Ray's compiled parts let no other exception through, and Tune would take an
    Exception for the failure of a trial. Outside the main thread, which alone handles signals, this does nothing. It
    may be nested.

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
        raise KeyboardInterrupt

    saved = {number: signal.signal(number, interrupt) for number in _SIGNALS}
    try:
        with _leaving_for_sure(f"{where}: {message}"):
            yield
    except (KeyboardInterrupt, SystemExit):  # SystemExit: a SIGTERM while Ray starts, when the signal is Ray's
        raise InterruptedRunError(message, where=where, remedy=how_to_go_on()) from None
    finally:
        for number, handler in saved.items():
            signal.signal(number, handler)


@contextmanager
def _leaving_for_sure(message: str) -> Iterator[None]:
    """End the process some time after a signal, unless it is out of here by then.

    The signal itself is heard in a thread, for Python's handler runs only when the main thread comes out of compiled
    code, which may be waiting for something.
    """
    heard, told = socket.socketpair()
    told.setblocking(False)
    over = threading.Event()

    def watch() -> None:
        with heard:
            while numbers := heard.recv(16):
                if not set(_SIGNALS).isdisjoint(numbers):
                    if not over.wait(seconds_to_leave(GRACE_SECONDS)):
                        _leave(message)
                    return

    before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=watch, name="leaving for sure", daemon=True).start()
    try:
        yield
    finally:
        over.set()
        signal.set_wakeup_fd(before)
        told.close()


def _leave(message: str) -> None:
    """End the process; for one that hangs in someone else's code."""
    sys.stderr.write(f"{message}\n  -> {how_to_go_on()}\n")
    sys.stderr.flush()
    os._exit(InterruptedRunError.exit_code)
