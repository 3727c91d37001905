"""The one thread that touches torch."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from psygnal import Signal
from qtpy.QtCore import QCoreApplication, QEventLoop, QObject, QThread, QTimer

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from qtpy.QtCore import QTimerEvent

    from tmca_core.predictor import Predictor, SlicesDone
    from tmca_core.recipes.segment_cases import CaseOutcome
    from tmca_core.study import Report, Scan, Segmentation, WordAttention

    Steps = (
        Generator[SlicesDone, None, Segmentation]
        | Generator[SlicesDone, None, WordAttention]
        | Generator[SlicesDone, None, CaseOutcome]
    )

_Result = TypeVar("_Result")

# Short enough for an answer to seem immediate, long enough to cost nothing.
NEWS_INTERVAL_MS = 15


class Cancelled(Exception):
    """The user cancelled the job."""


@dataclass(frozen=True, eq=False)
class Job:
    """One question to the network; ``threshold`` ``None`` takes the model's own, ``slices`` ``None`` all of them."""

    scan: Scan
    report: Report | None
    model: str
    device: str
    threshold: float | None
    slices: range | None = None


@dataclass(frozen=True, eq=False)
class WordJob:
    """What the network looks at for the words of one sentence, told a report that it has segmented with."""

    scan: Scan
    report: Report
    sentence: int
    model: str
    device: str


@dataclass(frozen=True, eq=False)
class CaseJob:
    """A new case of a project, to read, segment by its report, and store; see `tmca_core.recipes.segment_cases`."""

    folder: Path
    case_id: str
    who: str
    model: str
    device: str


AnyJob = Job | WordJob | CaseJob


class GuiFuture(Future[_Result]):
    """A future that keeps the window alive while the GUI thread waits for it."""

    def result(self, timeout: float | None = None) -> _Result:
        """Return the result once its layers are there; see `concurrent.futures.Future.result`."""
        app = QCoreApplication.instance()
        if app is not None and QThread.currentThread() is app.thread() and not self.done():
            loop = QEventLoop()
            # The job ends in this very thread, inside the loop.
            self.add_done_callback(lambda _: loop.quit())
            if timeout is not None:
                QTimer.singleShot(int(1000 * timeout), loop.quit)
            loop.exec()
            timeout = 0
        return super().result(timeout)


class InferenceWorker(QObject):
    """Runs jobs one after another off the GUI thread; its signals (psygnal) are emitted in the GUI thread.

    A `Job` is answered with a `Segmentation`, a `WordJob` with a `WordAttention`, a `CaseJob` with a `CaseOutcome`.

    The network is loaded with the first job unless it was made ready before (`prepare`), and again only when model or
    device change; a scan's features stay until another scan comes.

    The computing thread touches nothing of Qt: a signal that crosses threads may reach an object that the other thread
    is just taking down. What it has to say goes into a queue, which a timer of the GUI thread empties while a job runs.
    """

    progressed = Signal(object, int, int)
    finished = Signal(object, object)
    failed = Signal(object, BaseException)

    def __init__(self) -> None:
        super().__init__()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tmca-inference")
        self._cancels: dict[AnyJob, threading.Event] = {}
        self._predictor: Predictor | None = None
        self._loaded: tuple[str, str] | None = None
        self._scan: Scan | None = None
        self._news: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._is_closed = False
        self._timer: int | None = None
        app = QCoreApplication.instance()
        if app is not None:
            # Python waits for this thread before it exits: the last window is gone, nobody should wait for an answer.
            app.aboutToQuit.connect(self._on_quit)

    def submit(self, job: AnyJob) -> None:
        """Queue a job; `progressed`, then `finished` or `failed`, tell how it went."""
        cancel = self._cancels[job] = threading.Event()
        if self._timer is None:
            self._timer = self.startTimer(NEWS_INTERVAL_MS)
        self._executor.submit(self._run, job, cancel)

    def prepare(self, model: str, device: str) -> None:
        """Load a network before it is asked anything; what is wrong with it is told when it is asked."""
        if not self._is_closed and not self.is_ready(model, device):
            self._executor.submit(self._prepare, model, device)

    def is_ready(self, model: str, device: str) -> bool:
        """Return whether that network is loaded."""
        return self._loaded == (model, device)

    def cancel(self, kinds: tuple[type[AnyJob], ...] = (Job, WordJob, CaseJob)) -> None:
        """Stop the job under way after the batch of slices that it is at, and those behind it before they begin.

        Only jobs of these kinds are stopped.
        """
        for job, cancel in tuple(self._cancels.items()):
            if isinstance(job, kinds):
                cancel.set()

    def close(self) -> None:
        """Cancel, and take no more jobs; may be called from any thread."""
        self._is_closed = True
        self.cancel()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def timerEvent(self, event: QTimerEvent) -> None:
        """Tell what the computing thread has left in the queue."""
        while not self._is_closed:
            try:
                tell = self._news.get_nowait()
            except Empty:
                break
            tell()
        if self._timer is not None and (self._is_closed or not self._cancels):
            self.killTimer(self._timer)
            self._timer = None

    def _on_quit(self) -> None:
        self.cancel()

    def _run(self, job: AnyJob, cancel: threading.Event) -> None:
        try:
            result = self._answer(job, cancel)
        except BaseException as error:  # noqa: BLE001  (handed to the GUI thread whole)
            self._news.put(partial(self._end, self.failed.emit, job, error))
        else:
            self._news.put(partial(self._end, self.finished.emit, job, result))

    def _end(self, tell: Callable[[AnyJob, object], None], job: AnyJob, outcome: object) -> None:
        del self._cancels[job]
        tell(job, outcome)

    def _answer(self, job: AnyJob, cancel: threading.Event) -> Segmentation | WordAttention | CaseOutcome:
        if cancel.is_set():
            raise Cancelled
        predictor = self._predictor_for(job.model, job.device)
        if cancel.is_set():
            raise Cancelled
        steps = self._steps(predictor, job)
        while True:
            try:
                step = next(steps)
            except StopIteration as stop:
                return stop.value
            self._news.put(partial(self.progressed.emit, job, step.done, step.total))
            if cancel.is_set():
                steps.close()
                raise Cancelled

    def _steps(self, predictor: Predictor, job: AnyJob) -> Steps:
        if isinstance(job, CaseJob):
            from tmca_core.recipes.segment_cases import segment_case

            self._scan = None  # the predictor looks at the case's from now on
            return segment_case(job.folder, job.case_id, predictor, job.who)
        if self._scan is not job.scan:
            predictor.set_scan(job.scan)
            self._scan = job.scan
        if isinstance(job, WordJob):
            return predictor.word_attention_steps(job.report, job.sentence)
        if job.slices is None:
            return predictor.predict_steps(job.report, job.threshold)
        return predictor.predict_steps(job.report, job.threshold, slices=job.slices)

    def _prepare(self, model: str, device: str) -> None:
        with suppress(Exception):
            self._predictor_for(model, device)

    def _predictor_for(self, model: str, device: str) -> Predictor:
        if self._predictor is None or not self.is_ready(model, device):
            from tmca_core.predictor import Predictor

            self._predictor, self._scan, self._loaded = None, None, None
            self._predictor = Predictor.load(model, device=device)
            self._loaded = (model, device)
        return self._predictor
