"""The first steps: whether they are shown, and the phantom to try them with."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from napari.layers import Image
from psygnal import Signal

from napari_tmca.notify import report_error
from napari_tmca.settings import change_settings, read_settings
from tmca_core.errors import ConfigError

if TYPE_CHECKING:
    from napari_tmca.session import Session


class FirstSteps:
    """Knows whether a session shows the first steps: where no scan is open, unless hidden, or when asked for.

    Signals (psygnal): `changed` without argument.

    Parameters
    ----------
    session : Session
        Which owns this; held weakly.

    """

    changed = Signal()

    def __init__(self, session: Session) -> None:
        self._session = weakref.ref(session)
        self._is_asked = self._is_hidden = False
        self._scan_when_asked: weakref.ref[Image] | None = None
        session.layers_changed.connect(self._on_layers)

    @property
    def _scan_layer(self) -> Image | None:
        session = self._session()
        return session.scan_layer if session is not None else None

    @property
    def is_shown(self) -> bool:
        """Whether a panel shows them now."""
        if self._is_asked:
            return True
        return not self._is_hidden and self._scan_layer is None and read_settings().first_steps

    def show(self) -> None:
        """Show them until they are hidden, or another scan is opened; also where they were dismissed."""
        layer = self._scan_layer
        self._scan_when_asked = weakref.ref(layer) if layer is not None else None
        self._is_asked, self._is_hidden = True, False
        self.changed.emit()

    def hide(self) -> None:
        """Hide them for as long as this viewer lives."""
        self._is_asked, self._is_hidden = False, True
        self.changed.emit()

    def dismiss(self) -> None:
        """Hide them for good; the preferences remember it."""
        try:
            change_settings(first_steps=False)
        except ConfigError as error:
            report_error(error)
        self.hide()

    def try_phantom(self) -> Image:
        """Open the phantom with its report, ready to be segmented, and return its layer."""
        from napari_tmca.sample_data import phantom

        data, attributes, _ = phantom()[0]
        layer = Image(data, **attributes)
        session = self._session()
        if session is None:
            raise RuntimeError("the session of these first steps is gone")
        session.add_scan(layer)
        session._say("The phantom and its report are open. Press Segment.")
        return layer

    def _on_layers(self) -> None:
        layer, before = self._scan_layer, self._scan_when_asked
        if layer is not None and (before is None or layer is not before()):
            self._is_asked = False
        self.changed.emit()
