"""Adding images to a project off the GUI thread."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_tmca.notify import report_error
from tmca_core.project import CaseAdded, Project

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_POLL_MS = 100
_NUM_NAMED = 3  # of what was not added


class CaseAdder:
    """Adds images, folders and CSV tables to a project in the background.

    Signals (psygnal), emitted in the GUI thread: `adding` with done, total and a sentence; `finished` with what the
    user should know (a tuple of sentences).
    """

    adding = Signal(int, int, str)
    finished = Signal(tuple)

    def __init__(self) -> None:
        self._is_closed = False
        self._cancel = threading.Event()
        self._executor: ThreadPoolExecutor | None = None
        self._news: SimpleQueue[object] = SimpleQueue()
        self._poll = QTimer()
        self._poll.setInterval(_POLL_MS)
        self._poll.timeout.connect(self._on_poll)

    def add(self, folder: Path, paths: Iterable[Path]) -> None:
        """Begin to add to the project in a folder, after what is being added already."""
        self._cancel = threading.Event()
        if self._executor is None:
            self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tmca-adding")
        self._executor.submit(self._add, folder, list(paths), self._cancel)
        self._poll.start()

    def cancel(self) -> None:
        """Stop adding; what was added stays."""
        self._cancel.set()

    def close(self) -> None:
        """Stop adding, and tell nobody; may be called from any thread."""
        self._is_closed = True
        self.cancel()
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)

    def _add(self, folder: Path, paths: Sequence[Path], cancel: threading.Event) -> None:
        """Add with a project of this thread's own; what there is to tell goes into the queue."""
        num_added, skipped = 0, []
        try:
            with Project.open(folder) as project:
                for step in project.add(paths):
                    if isinstance(step, CaseAdded):
                        num_added += 1
                        self._news.put((step.done, step.total, step.record.name))
                    else:
                        skipped.append(f"{step.image.name}: {step.reason}")
                        self._news.put((step.done, step.total, step.image.name))
                    if cancel.is_set():
                        break
        except Exception as error:  # noqa: BLE001  (told in the GUI thread)
            self._news.put(error)
        else:
            told = [f"Added {num_added:,} to the project."]
            told += [f"Not added: {reason}" for reason in skipped[:_NUM_NAMED]]
            if len(skipped) > _NUM_NAMED:
                told.append(f"Not added, too: {len(skipped) - _NUM_NAMED:,} more.")
            self._news.put(told)

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
            self.adding.emit(*latest)
        if self._is_closed:
            self._poll.stop()
