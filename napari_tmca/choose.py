"""Which of several scans in one file or folder: asked in a small dialog."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tmca_core.errors import ChoiceError
from tmca_core.io import read_scan

if TYPE_CHECKING:
    from pathlib import Path

    from tmca_core.study import Scan


def read_or_ask(path: Path) -> Scan | None:
    """Read a scan; where it is one of several, ask which, and return None if the dialog is closed.

    Raises
    ------
    StudyReadError
        If it cannot be read.
    ChoiceError
        If it is one of several, and no window is there to ask in.

    """
    chosen: dict[str, int] = {}
    while True:
        try:
            return read_scan(path, series=chosen.get("series"), frame=chosen.get("frame"))
        except ChoiceError as error:
            if error.argument in chosen or not _can_ask():
                raise
            number = _ask(error)
            if number is None:
                return None
            chosen[error.argument] = number


def _can_ask() -> bool:
    """Tell whether this is the thread of a running application's windows."""
    from qtpy.QtCore import QThread
    from qtpy.QtWidgets import QApplication

    application = QApplication.instance()
    return application is not None and application.thread() is QThread.currentThread()


def _ask(error: ChoiceError) -> int | None:
    from qtpy.QtWidgets import QInputDialog

    lines = [f"{number}: {option}" for number, option in enumerate(error.options, start=1)]
    what = "series" if error.argument == "series" else "volume"
    question = f"Several {'series' if what == 'series' else 'volumes'} are in it. Which one?"
    line, is_chosen = QInputDialog.getItem(None, f"Choose a {what}", question, lines, 0, False)
    return lines.index(line) + 1 if is_chosen else None
