"""Work done ahead of its use, in threads, in order: batches are ready when the device asks for them."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")
Job = TypeVar("Job")


def ahead(work: Callable[[Job], T], jobs: Iterable[Job], *, threads: int) -> Iterator[tuple[T, float]]:
    """Yield the result of every job, in order, with the seconds that were waited for it.

    Parameters
    ----------
    work : callable
        Run once for each job; with threads, for several jobs at the same time.
    jobs : iterable
        What to work on.
    threads : int
        How many jobs are worked on ahead of the one that is used; with 0, each is done when it is asked for. On a CPU
        threads would take the cores from the network that they work for.

    """
    if threads == 0:
        for job in jobs:
            started = time.perf_counter()
            done = work(job)
            yield done, time.perf_counter() - started
        return
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="batches") as pool:
        try:
            for job in jobs:
                waiting.append(pool.submit(work, job))
                if len(waiting) > threads:
                    yield _first(waiting)
            while waiting:
                yield _first(waiting)
        finally:
            for future in waiting:
                future.cancel()


def _first(waiting: deque[Future[T]]) -> tuple[T, float]:
    started = time.perf_counter()
    done = waiting.popleft().result()
    return done, time.perf_counter() - started
