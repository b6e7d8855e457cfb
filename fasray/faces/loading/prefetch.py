"""Items made ahead of their use, on a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from queue import SimpleQueue
from typing import Generic, TypeVar

Item = TypeVar("Item")
_PATIENCE_S = 60.0


class Prefetch(Iterator[Item], Generic[Item]):
    """Runs an iterable on a thread and gives its items in order; what it raises comes where its item would.

    Args:
        items: used by the thread alone from now on.
        ahead: items that are made before they are asked for.
    """

    def __init__(self, items: Iterable[Item], ahead: int) -> None:
        self._made: SimpleQueue[tuple[Item | None, BaseException | None]] = SimpleQueue()
        self._room = threading.Semaphore(ahead)
        self._closed = threading.Event()
        self._ended: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(items,), name="fasray-prefetch", daemon=True)
        self._thread.start()

    def __next__(self) -> Item:
        """Return the next item, waiting for it if need be.

        Raises:
            StopIteration: there is no further one.
            ValueError: it is closed.
            BaseException: what the iterable raised.
        """
        if self._closed.is_set():
            raise ValueError("the prefetch is closed")
        if self._ended is not None:
            raise self._ended
        item, self._ended = self._made.get()
        if self._ended is not None:
            raise self._ended
        self._room.release()
        return item  # type: ignore[return-value]

    def close(self) -> None:
        """End the thread, after the item that it is at, and drop what it has made.

        A thread that gets no faces for a minute, say of a cluster that is going down, is left to end with the process.
        """
        self._closed.set()
        self._room.release()
        self._thread.join(_PATIENCE_S)
        self._made = SimpleQueue()

    def _run(self, items: Iterable[Item]) -> None:
        try:
            iterator = iter(items)
            while True:
                self._room.acquire()
                if self._closed.is_set():
                    return
                self._made.put((next(iterator), None))
        except BaseException as error:
            self._made.put((None, error))
