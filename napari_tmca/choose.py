"""Reading off the GUI thread, with progress and Cancel; what a file leaves open is asked in a small dialog."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from tmca_core.errors import ChoiceError, ConfigError, SpacingError
from tmca_core.io import read_scan, read_scan_steps
from tmca_core.io.spacing import parse_spacing
from tmca_core.names import displayable

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from tmca_core.io import FilesRead
    from tmca_core.study import Scan

_QUICK_S = 0.3
# What takes no longer shows no dialog: the first picture waits for its decoder to start.
_PATIENCE_MS = 500
_LOOK_MS = 40
_QUESTIONS = {
    "series": ("series", "Several series are in it. Which one?"),
    "frame": ("volume", "Several volumes are in it. Which one?"),
    "affine": ("affine", "The file states twice where the image lies, and differently. Which one holds?"),
}


def read_or_ask(path: Path) -> Scan | None:
    """Read a scan; ask which of several, and for a spacing that lacks; return None where a dialog is cancelled.

    In the thread of the windows the file is read in another one, and whoever waits sees progress and may cancel.

    Raises
    ------
    StudyReadError
        If it cannot be read.
    ChoiceError, SpacingError
        If it is one of several, or lacks a pixel spacing, and no window is there to ask in.

    """
    if not _can_ask():
        return read_scan(path)
    chosen: dict[str, Any] = {"affine": "ask"}
    asked: set[str] = set()
    while True:
        try:
            return _Reading(path, read_scan_steps(path, **chosen)).wait()
        except ChoiceError as error:
            if error.argument in asked:
                raise
            number = _ask(error)
            if number is None:
                return None
            asked.add(error.argument)
            chosen[error.argument] = error.options[number - 1] if error.argument == "affine" else number
        except SpacingError as error:
            if "spacing" in chosen:
                raise
            lengths = _ask_spacing(error)
            if lengths is None:
                return None
            chosen["spacing"] = lengths


class _Reading:
    """A scan that is read in a thread of its own while the window stays alive."""

    def __init__(self, path: Path, steps: Generator[FilesRead, None, Scan]) -> None:
        self._name, self._steps = displayable(path.name), steps
        self._progress: FilesRead | None = None
        self._is_cancelled = threading.Event()
        self._result: Future[Scan] = Future()
        # A decoder that hangs is ended after its limit; a window that is closed does not wait for that.
        self._thread = threading.Thread(target=self._run, name="tmca-reading", daemon=True)

    def wait(self) -> Scan | None:
        """Return the scan, or None if it was cancelled.

        Most files are read before a dialog would appear; until then nothing else of the window runs.
        """
        self._thread.start()
        self._thread.join(_QUICK_S)
        if not self._result.done() and not self._show_until_done():
            return None
        return self._result.result()

    def _run(self) -> None:
        try:
            while not self._is_cancelled.is_set():
                self._progress = next(self._steps)
            self._steps.close()
        except StopIteration as stop:
            self._result.set_result(stop.value)
        except BaseException as error:  # noqa: BLE001  (raised where it is waited for)
            self._result.set_exception(error)

    def _show_until_done(self) -> bool:
        """Show a dialog until the reading ends; tell whether it did, or was cancelled."""
        from qtpy.QtCore import QEventLoop, Qt, QTimer
        from qtpy.QtWidgets import QProgressDialog

        dialog = QProgressDialog(f"Reading {self._name}", "Cancel", 0, 1)
        dialog.setWindowTitle("Reading")
        dialog.setWindowModality(Qt.WindowModality.ApplicationModal)
        dialog.setMinimumDuration(_PATIENCE_MS)
        dialog.setAutoReset(False)
        loop, timer = QEventLoop(), QTimer()
        dialog.canceled.connect(loop.quit)
        is_patient = True

        def look() -> None:
            if self._result.done():
                loop.quit()
            elif not is_patient and (step := self._progress) is not None:
                dialog.setRange(0, step.total)
                dialog.setValue(step.done)
                dialog.setLabelText(f"Reading {self._name}: {step.what}, {step.done} of {step.total}")

        timer.timeout.connect(look)
        timer.start(_LOOK_MS)
        QTimer.singleShot(_PATIENCE_MS, loop.quit)
        loop.exec(QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents)
        is_patient = False
        if not self._result.done():
            dialog.show()
            loop.exec()
        timer.stop()
        was_cancelled = dialog.wasCanceled() and not self._result.done()
        dialog.hide()
        dialog.deleteLater()
        self._is_cancelled.set()
        return not was_cancelled


def _can_ask() -> bool:
    """Tell whether this is the thread of a running application's windows."""
    from qtpy.QtCore import QThread
    from qtpy.QtWidgets import QApplication

    application = QApplication.instance()
    return application is not None and application.thread() is QThread.currentThread()


def _ask(error: ChoiceError) -> int | None:
    from qtpy.QtWidgets import QInputDialog

    lines = [f"{number}: {option}" for number, option in enumerate(error.options, start=1)]
    what, question = _QUESTIONS[error.argument]
    line, is_chosen = QInputDialog.getItem(None, f"Choose a {what}", question, lines, 0, False)
    return lines.index(line) + 1 if is_chosen else None


def _ask_spacing(error: SpacingError) -> tuple[float, ...] | None:
    """Return height and width of a pixel in mm, as typed; None where nothing is given."""
    from qtpy.QtWidgets import QInputDialog

    question, text = f"{error.message}\nHeight and width of a pixel in mm, such as 0.7 0.7:", ""
    while True:
        text, is_given = QInputDialog.getText(None, "Pixel spacing", question, text=text)
        if not is_given:
            return None
        try:
            return parse_spacing(text)
        except ConfigError as mistake:
            question = f"{error.message}\n{mistake}"
