from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

from napari_tmca.worker import InferenceWorker, Job
from tmca_core.errors import CheckpointError
from tmca_core.report import parse_report
from tmca_core.study import Scan

REPORT = parse_report("Opacity in the left lower zone.")


def _job(model):
    return Job(Scan(np.eye(48, dtype=np.float32)), REPORT, str(model), "cpu", None)


class _Listener:
    def __init__(self, worker):
        self.threads, self.told = [], []
        worker.progressed.connect(self.on_progress)
        worker.finished.connect(self.on_end)
        worker.failed.connect(self.on_end)

    def on_progress(self, job, done, total):
        self.threads.append(threading.current_thread())

    def on_end(self, job, outcome):
        self.threads.append(threading.current_thread())
        self.told.append(outcome)


@pytest.fixture
def worker(qapp):
    worker = InferenceWorker()
    yield worker
    worker.close()


def test_answers_arrive_in_the_gui_thread(worker, qtbot, tiny_model):
    listener = _Listener(worker)
    worker.submit(_job(tiny_model))
    qtbot.waitUntil(lambda: bool(listener.told), timeout=60_000)
    assert set(listener.threads) == {threading.main_thread()}
    assert listener.told[0].mask.shape == (48, 48)


def test_an_error_arrives_whole(worker, qtbot, tmp_path):
    listener = _Listener(worker)
    worker.submit(_job(tmp_path / "no_such_model"))
    qtbot.waitUntil(lambda: bool(listener.told), timeout=60_000)
    assert isinstance(listener.told[0], CheckpointError)


def test_a_network_made_ready_is_the_one_that_answers(worker, qtbot, tiny_model):
    worker.prepare(str(tiny_model), "cpu")
    qtbot.waitUntil(lambda: worker.is_ready(str(tiny_model), "cpu"), timeout=60_000)
    ready = worker._predictor
    listener = _Listener(worker)
    worker.submit(_job(tiny_model))
    qtbot.waitUntil(lambda: bool(listener.told), timeout=60_000)
    assert worker._predictor is ready
    assert not worker.is_ready(str(tiny_model), "cuda")


def test_what_is_wrong_with_a_network_is_told_when_it_is_asked(worker, qtbot, tmp_path):
    listener = _Listener(worker)
    worker.prepare(str(tmp_path / "no_such_model"), "cpu")
    worker._executor.submit(int).result(timeout=60)
    qtbot.wait(50)
    assert listener.told == []
    worker.submit(_job(tmp_path / "no_such_model"))
    qtbot.waitUntil(lambda: bool(listener.told), timeout=60_000)
    assert isinstance(listener.told[0], CheckpointError)


def test_the_timer_rests_when_nothing_is_asked(worker, qtbot, tiny_model):
    listener = _Listener(worker)
    worker.submit(_job(tiny_model))
    qtbot.waitUntil(lambda: bool(listener.told), timeout=60_000)
    qtbot.waitUntil(lambda: worker._timer is None, timeout=5_000)


def test_who_is_gone_is_told_nothing(qapp, qtbot, tmp_path):
    # A signal queued across threads would reach a listener that is just taken down, and end the process.
    for _ in range(30):
        worker = InferenceWorker()
        listener = _Listener(worker)
        worker.submit(_job(tmp_path / "no_such_model"))
        worker.close()
        told = listener.told
        del listener, worker
        gc.collect()
        qapp.processEvents()
        assert told == []


def test_a_worker_may_be_closed_by_another_thread(qtbot, tiny_model):
    worker = InferenceWorker()
    worker.submit(_job(tiny_model))
    other = threading.Thread(target=worker.close)
    other.start()
    other.join()
    qtbot.waitUntil(lambda: worker._timer is None, timeout=5_000)
