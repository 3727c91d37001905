"""Batches that are prepared ahead come in order, whatever the threads do."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time

import pytest
import torch

from tmca_core.data.ahead import ahead, ahead_in_processes


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_results_come_in_order_with_what_was_waited(threads):
    found = list(ahead(lambda job: job * job, range(10), threads=threads))
    assert [result for result, _ in found] == [job * job for job in range(10)]
    assert all(waited >= 0 for _, waited in found)
    assert list(ahead(str, [], threads=threads)) == []


def test_work_is_done_while_its_forerunner_is_used():
    def work(job):
        time.sleep(0.05)
        return job

    waits = []
    for _, waited in ahead(work, range(6), threads=2):
        time.sleep(0.1)
        waits.append(waited)
    assert waits[0] > 0.02  # the first has nothing to hide behind
    assert sum(waits[1:]) < 0.05


@pytest.mark.parametrize("threads", [0, 2])
def test_an_error_comes_where_its_result_would_have(threads):
    results = ahead(lambda job: 1 // (3 - job), range(9), threads=threads)
    assert [next(results)[0] for _ in range(3)] == [0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_closing_leaves_no_thread():
    results = ahead(str, range(1000), threads=2)
    next(results)
    results.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


needs_fork = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")


@needs_fork
def test_processes_give_results_in_order_and_end():
    here = os.getpid()
    found = list(ahead_in_processes(lambda job: (torch.full((2,), job), os.getpid()), range(7), processes=2))
    assert [int(tensor[0]) for (tensor, _), _ in found] == list(range(7))
    assert here not in {process for (_, process), _ in found}
    assert not multiprocessing.active_children()


@needs_fork
def test_an_error_in_a_process_comes_here_and_closing_ends_them():
    results = ahead_in_processes(lambda job: 1 // (3 - job), range(9), processes=2)
    assert [next(results)[0] for _ in range(3)] == [0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
    results = ahead_in_processes(str, range(1000), processes=2)
    next(results)
    results.close()
    assert not multiprocessing.active_children()
