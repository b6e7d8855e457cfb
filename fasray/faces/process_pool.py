"""Draw in several processes, which are started afresh; each keeps OpenCV to one thread."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from typing import TypeVar

import cv2

from fasray.cores import usable_cores
from fasray.errors import SpecError

_WAITING_PER_WORKER = 4

Job = TypeVar("Job")
Result = TypeVar("Result")


def worker_count(processes: int | None) -> int:
    """Return the number of worker processes; None: one per available core. SpecError if it is below 1."""
    workers = usable_cores() if processes is None else processes
    if workers < 1:
        raise SpecError(f"{workers} is out of range", where="processes", remedy="choose 1 or more")
    return workers


def map_in_processes(work: Callable[[Job], Result], jobs: Sequence[Job], workers: int) -> Iterator[Result]:
    """Yield ``work(job)`` for each job in order; with one worker in this process. Few results wait to be taken."""
    if workers == 1:
        for job in jobs:
            yield _in_one_thread(work, job)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context) as pool:
        waiting: list[Future[Result]] = []
        try:
            for job in jobs:
                waiting.append(pool.submit(_in_one_thread, work, job))
                if len(waiting) >= _WAITING_PER_WORKER * workers:
                    yield waiting.pop(0).result()
            while waiting:
                yield waiting.pop(0).result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _in_one_thread(work: Callable[[Job], Result], job: Job) -> Result:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return work(job)
    finally:
        cv2.setNumThreads(threads)
