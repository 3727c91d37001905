"""Long work on files off the GUI thread, one piece after another; what it has to tell arrives in the GUI thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any

from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_tmca.notify import report_error

_POLL_MS = 100

# Tells how far it is: done, total, and a sentence.
Tell = Callable[[int, int, str], None]
# Takes `Tell`, and what says that it should stop; returns what the user should know.
Work = Callable[[Tell, threading.Event], Sequence[str]]


class Background:
    """Does one piece of work after another in a thread of its own.

    Signals (psygnal), emitted in the GUI thread: `progressed` with done, total and a sentence; `finished` with what the
    user should know (a tuple of sentences).

    Parameters
    ----------
    name : str
        Of the thread.

    """

    progressed = Signal(int, int, str)
    finished = Signal(tuple)

    def __init__(self, name: str) -> None:
        self._name = name
        self._is_closed = False
        self._cancel = threading.Event()
        self._executor: ThreadPoolExecutor | None = None
        self._news: SimpleQueue[object] = SimpleQueue()
        self._poll = QTimer()
        self._poll.setInterval(_POLL_MS)
        self._poll.timeout.connect(self._on_poll)

    def start(self, work: Work) -> None:
        """Begin, after what is being done already."""
        self._cancel = threading.Event()
        if self._executor is None:
            self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=self._name)
        self._executor.submit(self._run, work, self._cancel)
        self._poll.start()

    def cancel(self) -> None:
        """Ask the work to stop; what it has done stays."""
        self._cancel.set()

    def close(self) -> None:
        """Stop, and tell nobody; may be called from any thread."""
        self._is_closed = True
        self.cancel()
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)

    def _run(self, work: Work, cancel: threading.Event) -> None:
        def tell(done: int, total: int, text: str) -> None:
            self._news.put((done, total, text))

        try:
            self._news.put(list(work(tell, cancel)))
        except Exception as error:  # noqa: BLE001  (told in the GUI thread)
            self._news.put(error)

    def _on_poll(self) -> None:
        latest: tuple[int, int, str] | None = None
        while not self._is_closed:
            try:
                news: Any = self._news.get_nowait()
            except Empty:
                break
            if isinstance(news, tuple):
                latest = news
                continue
            self._poll.stop()
            self.finished.emit((report_error(news),) if isinstance(news, BaseException) else tuple(news))
            latest = (1, 1, "")
        if latest is not None:
            self.progressed.emit(*latest)
        if self._is_closed:
            self._poll.stop()
