"""How scan and result are shown: window and level, probability, uncertainty."""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QCheckBox, QGridLayout, QPushButton, QVBoxLayout, QWidget

from napari_tmca.widgets.style import plain_label
from napari_tmca.windowing import presets_of, set_window

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Image

    from napari_tmca.heatmaps import Values
    from napari_tmca.session import Session


_KEYS = 9  # Alt+1 ... Alt+9


class ViewWidget(QWidget):
    """Windows of the session's image, and layers of its result.

    Parameters
    ----------
    session : Session
        Of the viewer.

    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._names: tuple[str, ...] = ()
        self._shown: Callable[[], Image | None] = _nothing  # whose windows the buttons are for
        self.windows: dict[str, QPushButton] = {}
        self._grid = QGridLayout()
        self.probability = QCheckBox("Layer of the probability")
        self.uncertainty = QCheckBox("Layer of the uncertainty")
        self.uncertainty.setToolTip("Entropy of the probability, in bits: 1 where the network would toss a coin")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 6, 4, 4)
        layout.addWidget(plain_label("Window and level. Or drag with the right button: up brighter, right wider."))
        layout.addLayout(self._grid)
        layout.addWidget(self.probability)
        layout.addWidget(self.uncertainty)
        self.network = QVBoxLayout()  # the panel puts its choice of the network here
        layout.addLayout(self.network)
        layout.addStretch()
        self.probability.toggled.connect(partial(self._on_values, "probability"))
        self.uncertainty.toggled.connect(partial(self._on_values, "uncertainty"))
        self.refresh()

    def refresh(self) -> None:
        """Show the session as it is; emits nothing."""
        session = self._session
        layer = session.scan_layer
        if layer is None or layer is not self._shown():
            self._shown = weakref.ref(layer) if layer is not None else _nothing
            self.show_windows()
        kinds: tuple[tuple[QCheckBox, Values], ...] = (
            (self.probability, "probability"),
            (self.uncertainty, "uncertainty"),
        )
        for box, kind in kinds:
            box.setEnabled(session.segmentation is not None)
            box.blockSignals(True)
            box.setChecked(session.maps.is_shown(kind))
            box.blockSignals(False)

    def show_windows(self) -> None:
        """Show a button for each window that the image has now."""
        names = tuple(presets_of(self._session.scan_layer))
        if names != self._names:
            self._fill(names)

    def _fill(self, names: tuple[str, ...]) -> None:
        for button in self.windows.values():
            self._grid.removeWidget(button)
            button.deleteLater()
        self._names, self.windows = names, {}
        for i, name in enumerate(names):
            button = QPushButton(name)
            key = f"Alt+{i + 1}" if i < _KEYS else ""
            button.setShortcut(QKeySequence(key))
            button.setToolTip(f"{name} window ({key})" if key else f"{name} window")
            button.clicked.connect(partial(self._on_window, name))
            self._grid.addWidget(button, i // 2, i % 2)
            self.windows[name] = button

    def _on_window(self, name: str) -> None:
        window = presets_of(self._session.scan_layer).get(name)
        if window is not None:
            set_window(self._session.scan_layer, *window)

    def _on_values(self, kind: Values, on: bool) -> None:
        self._session.maps.show_values(kind, on)


def _nothing() -> None:
    """Stand for a layer that is not there."""
