"""Every second, what has changed goes into the case's journal, and signs of life into its log of active time."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_tmca.notify import report_error, sentences_of
from napari_tmca.onscreen import equal
from tmca_core.errors import ProjectError, TmcaError
from tmca_core.project import event

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_tmca.onscreen import OnScreen
    from napari_tmca.session import Session
    from tmca_core.project import Event

logger = logging.getLogger(__name__)

AUTOSAVE_MS = 1000
_SIGN_OF_LIFE_S = 1.0


class Autosave:
    """Writes the journal of the case on the screen.

    Signals (psygnal): `written`, and `said` with why it could not be written, once.

    Parameters
    ----------
    session : Session
    screen : OnScreen
    who : callable
        Returns who works on the case.

    Attributes
    ----------
    at : float or None
        When something was last written, seconds since 1970.

    """

    written = Signal()
    said = Signal(str)

    def __init__(self, session: Session, screen: OnScreen, who: Callable[[], str]) -> None:
        self.at: float | None = None
        self._session, self._screen, self._who = session, screen, who
        self._data: NDArray[Any] | None = None
        self._ai_made_of: tuple[int, float, bool] | None = None
        self._events: list[Event] = []
        self._num_written = 0
        self._has_failed = False
        self._is_closed = False
        self._timer = QTimer()
        self._timer.setInterval(AUTOSAVE_MS)
        self._timer.timeout.connect(self._on_timer)

    def start(self) -> None:
        """Begin with the case that has come onto the screen."""
        self._timer.start()

    def stop(self) -> None:
        """End with the case that leaves the screen."""
        self._timer.stop()
        self._data = None
        self._events.clear()
        self.note_saved()

    def note_saved(self) -> None:
        """Begin anew after a save: the journal is gone, and what it held is in the project."""
        self._ai_made_of = self.at = None

    def write(self) -> None:
        """Write to the journal what has changed since the last time; called every second while a case is open.

        Raises
        ------
        ProjectError
            If it cannot be written.

        """
        screen = self._screen
        if screen.case is None or not screen.is_writable:
            return
        mask = screen.mask()
        if mask is None:
            mask = self._data if self._is_closed else None
        self._data = mask
        journal, before = screen.case.journal, self._num_written
        if screen.has_other_report:
            self._num_written += journal.write_report(self._session.report.text)
        if screen.has_other_choices or journal.has_choices:
            self._num_written += journal.write_choices(self._session.choices)
        made_of = screen.ai_made_of()
        if made_of is not None and made_of != self._ai_made_of:
            ai, network = screen.ai_mask()
            if ai is not None and not equal(ai, screen.saved_ai):
                self._num_written += journal.write_ai(ai, network or {})
            self._ai_made_of = made_of
        if mask is not None and (journal.has_mask or not equal(mask, screen.saved_mask)):
            self._num_written += journal.write_mask(mask)
        if self._num_written != before:
            self.at = time.time()
            self.written.emit()

    def note_activity(self, *_: object) -> None:
        """Take a sign of life for the active time; one a second is enough."""
        if self._screen.is_writable:
            now = event("active", self._who())
            if not self._events or now.time - self._events[-1].time >= _SIGN_OF_LIFE_S:
                self._events.append(now)

    def flush_events(self) -> None:
        """Append the signs of life to the case's log.

        Raises
        ------
        ProjectError
            If they cannot be written, as when the folder is gone. They are kept for the next time.

        """
        case = self._screen.case
        if case is None:
            return
        events, self._events = self._events, []
        try:
            case.log(events)
        except OSError as error:
            self._events = events + self._events
            raise ProjectError(
                f"The log of case {case.record.id} cannot be written in {case.folder} ({error.strerror or error}).",
                hint="Check that the folder of the project, or its drive, is still there.",
            ) from error

    def close(self) -> None:
        """Write the last strokes; may be called from any thread, when the layers may be gone already."""
        self._is_closed = True
        # The mask before the signs of life, and each though the other fails. No window is left to show an error in.
        for write in (self.write, self.flush_events):
            try:
                write()
            except (TmcaError, OSError) as error:
                if not self._has_failed:  # once, and not again what was said while the window was open
                    logger.error("%s", sentences_of(error))
                self._has_failed = True

    def _on_timer(self) -> None:
        if self._is_closed or self._screen.case is None:
            self._timer.stop()
            return
        try:
            self.flush_events()
            self.write()
            self._has_failed = False
        except (TmcaError, OSError) as error:
            if not self._has_failed:  # say it once, not every second
                self.said.emit(report_error(error))
            self._has_failed = True
