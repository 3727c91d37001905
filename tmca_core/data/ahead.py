"""Work done ahead of its use, in order, in threads or processes: batches are ready when the device asks for them."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from torch.utils.data import DataLoader, Dataset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

T = TypeVar("T")
Job = TypeVar("Job")

# Results of each process that wait to be used.
_PREFETCH = 3


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


def ahead_in_processes(work: Callable[[Job], T], jobs: Sequence[Job], *, processes: int) -> Iterator[tuple[T, float]]:
    """Do as `ahead`, in forked processes: for work that is mostly Python, of which threads do one piece at a time.

    Only where processes can be forked (Linux), for each sees what ``work`` needs as it is in memory. They must not use
    a GPU. Tensors come back through shared memory.
    """
    loader = DataLoader(
        _Jobs(work, jobs),
        batch_size=None,
        num_workers=processes,
        prefetch_factor=_PREFETCH,
        multiprocessing_context="fork",
    )
    results = iter(loader)
    for _ in jobs:
        started = time.perf_counter()
        done = cast("T", next(results))
        yield done, time.perf_counter() - started


class _Jobs(Dataset[T], Generic[Job, T]):
    def __init__(self, work: Callable[[Job], T], jobs: Sequence[Job]) -> None:
        self.work, self.jobs = work, jobs

    def __len__(self) -> int:
        return len(self.jobs)

    def __getitem__(self, index: int) -> T:
        return self.work(self.jobs[index])


def _first(waiting: deque[Future[T]]) -> tuple[T, float]:
    started = time.perf_counter()
    done = waiting.popleft().result()
    return done, time.perf_counter() - started
