"""SIGINT and SIGTERM end a run within seconds; nothing has to be saved then, because everything is on disk already."""

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
from fasray.execution.ray_job import exit_timeout, resume_hint

GRACE_SECONDS = 6.0
"""How long a process may take to exit by itself before it is ended; less in a Ray job, where SIGKILL comes soon."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruptible(where: str, message: str) -> Iterator[None]:
    """Turn SIGINT and SIGTERM into InterruptedRunError in the main thread, and end the process soon after.

    The handler raises KeyboardInterrupt: Ray's compiled parts let no other exception through, and Tune would take an
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
        with _exit_after_timeout(f"{where}: {message}"):
            yield
    except (KeyboardInterrupt, SystemExit):  # SystemExit: a SIGTERM while Ray starts, when the signal is Ray's
        raise InterruptedRunError(message, where=where, remedy=resume_hint()) from None
    finally:
        for number, handler in saved.items():
            signal.signal(number, handler)


@contextmanager
def _exit_after_timeout(message: str) -> Iterator[None]:
    """End the process some time after a signal, unless the block has been left by then.

    A thread waits for the signal, because Python's handler runs only when the main thread returns from compiled code,
    which may be blocked.
    """
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    over = threading.Event()

    def watch() -> None:
        with receiver:
            while numbers := receiver.recv(16):
                if not set(_SIGNALS).isdisjoint(numbers):
                    if not over.wait(exit_timeout(GRACE_SECONDS)):
                        _exit(message)
                    return

    before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=watch, name="exit after timeout", daemon=True).start()
    try:
        yield
    finally:
        over.set()
        signal.set_wakeup_fd(before)
        sender.close()


def _exit(message: str) -> None:
    """End the process, which hangs in someone else's code."""
    sys.stderr.write(f"{message}\n  -> {resume_hint()}\n")
    sys.stderr.flush()
    os._exit(InterruptedRunError.exit_code)
