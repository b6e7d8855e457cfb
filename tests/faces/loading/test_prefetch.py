"""A prefetch gives what it was given, in order, errors included, and leaves no thread behind."""

import threading
from collections.abc import Iterator

import pytest

from fasray.errors import DataError
from fasray.faces.loading.prefetch import Prefetch


def running() -> int:
    return sum(thread.name == "fasray-prefetch" for thread in threading.enumerate())


def test_items_come_in_order_and_the_thread_ends_with_them() -> None:
    prefetch = Prefetch(iter(range(7)), 2)
    assert list(prefetch) == list(range(7))
    with pytest.raises(StopIteration):
        next(prefetch)
    prefetch.close()
    assert not running()


def test_no_more_is_made_ahead_than_was_asked_for() -> None:
    made, reached = [], threading.Event()

    def items() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            if len(made) == 4:
                reached.set()
            yield number

    prefetch = Prefetch(items(), 3)
    assert next(prefetch) == 0
    assert reached.wait(10)
    prefetch.close()
    assert made == [0, 1, 2, 3]


def test_an_error_comes_where_its_item_would_and_every_time_after() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise DataError("row 7 is damaged")

    prefetch = Prefetch(items(), 5)
    assert next(prefetch) == 1
    for _ in range(2):
        with pytest.raises(DataError, match="row 7"):
            next(prefetch)
    prefetch.close()
    assert not running()


def test_closing_ends_a_thread_that_waits_for_room_and_is_final() -> None:
    prefetch = Prefetch(iter(range(100)), 1)
    prefetch.close()
    prefetch.close()
    assert not running()
    with pytest.raises(ValueError, match="closed"):
        next(prefetch)
