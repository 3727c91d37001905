"""Which slices of a volume are segmented; not there for a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QHBoxLayout, QSpinBox, QWidget

from napari_tmca.widgets.style import plain_label

if TYPE_CHECKING:
    from napari_tmca.session import Session


class SlicesWidget(QWidget):
    """Shows and edits `Session.slices`, counted from 1 with both ends included, as on the command line.

    Parameters
    ----------
    session : Session
        Of the viewer.

    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.first, self.last = QSpinBox(), QSpinBox()
        self.first.setToolTip("First slice to segment, from 1 (napari's slider counts from 0); others are left empty")
        self.last.setToolTip("Last slice to segment, from 1 (napari's slider counts from 0); others are left empty")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for part in (plain_label("Slices"), self.first, plain_label("to"), self.last):
            layout.addWidget(part)
        layout.addStretch()
        self.first.valueChanged.connect(self._on_edited)
        self.last.valueChanged.connect(self._on_edited)
        session.layers_changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show the session as it is; emits nothing."""
        count = self._session.image.num_slices
        self.setVisible(count > 1)
        chosen = self._session.image.slices or range(count)
        for box, value in ((self.first, chosen.start + 1), (self.last, chosen.stop)):
            box.blockSignals(True)
            box.setRange(1, max(count, 1))
            box.setValue(value)
            box.blockSignals(False)

    def _on_edited(self) -> None:
        edited = self.sender()
        first, last = self.first.value(), self.last.value()
        if first > last:  # the other end follows
            first, last = (first, first) if edited is self.first else (last, last)
        everything = (first, last) == (1, self._session.image.num_slices)
        self._session.image.slices = None if everything else range(first - 1, last)
        self.refresh()
