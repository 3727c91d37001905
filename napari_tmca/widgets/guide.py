"""The first steps, at the top of the panel: open a scan, paste the report, Segment; or try it with the phantom."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFrame, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_tmca.commands import open_dicom_folder, open_scan
from napari_tmca.shortcuts import key_of
from napari_tmca.widgets.style import plain_label

if TYPE_CHECKING:
    from napari import Viewer

    from napari_tmca.first_steps import FirstSteps


class GuideWidget(QFrame):
    """Shows the first steps of a session; every button is reached with Tab.

    `tried` tells that the phantom was opened.

    Parameters
    ----------
    steps : FirstSteps
        Of the session.
    viewer : Viewer
        Held weakly.

    """

    tried = Signal()

    def __init__(self, steps: FirstSteps, viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._steps, self._viewer = steps, weakref.ref(getattr(viewer, "__wrapped__", viewer))
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.setAccessibleName("First steps")
        self.open = QPushButton("Open scan\u2026")
        self.open.setToolTip("A picture, a DICOM file, NIfTI, NRRD or MetaImage; or drop it on the window")
        self.open_folder = QPushButton("DICOM folder\u2026")
        self.open_folder.setToolTip("The series in a folder or on a disc")
        self.phantom = QPushButton("Try with the phantom")
        self.phantom.setToolTip("Open a computed chest with its report; nothing is downloaded, and no patient is in it")
        self.hide_now = QPushButton("Hide")
        self.hide_now.setToolTip("Until napari is started again")
        self.dismiss = QPushButton("Don't show again")
        self.dismiss.setToolTip('"Show first steps" in the command palette brings them back')
        self._lay_out()
        self.open.clicked.connect(self._on_open)
        self.open_folder.clicked.connect(self._on_open_folder)
        self.phantom.clicked.connect(self._on_phantom)
        self.hide_now.clicked.connect(steps.hide)
        self.dismiss.clicked.connect(steps.dismiss)

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 6, 8, 6)
        layout.setSpacing(5)
        title = plain_label("First steps")
        font = title.font()
        font.setBold(True)
        title.setFont(font)
        layout.addWidget(title)
        layout.addWidget(plain_label("1.  Open a scan, or drop it on the window."))
        layout.addLayout(_row(self.open, self.open_folder))
        layout.addWidget(plain_label("2.  Paste its report below. Without one, the picture alone counts."))
        layout.addWidget(plain_label(f"3.  Press Segment ({key_of('segment')}), then correct and save the mask."))
        layout.addWidget(self.phantom)
        layout.addLayout(_row(self.hide_now, self.dismiss))

    def _on_open(self) -> None:
        if (viewer := self._viewer()) is not None:
            open_scan(viewer)

    def _on_open_folder(self) -> None:
        if (viewer := self._viewer()) is not None:
            open_dicom_folder(viewer)

    def _on_phantom(self) -> None:
        self._steps.try_phantom()
        self.tried.emit()


def _row(*buttons: QPushButton) -> QHBoxLayout:
    row = QHBoxLayout()
    for button in buttons:
        row.addWidget(button)
    return row
