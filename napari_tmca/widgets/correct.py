"""Correcting the mask: strokes, tools, sentences, slices; every one of them one step of undo."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_tmca.appearance import class_colors
from napari_tmca.editing import TOOLS
from napari_tmca.shortcuts import key_of
from napari_tmca.widgets.style import swatch

if TYPE_CHECKING:
    from qtpy.QtWidgets import QLayout

    from napari_tmca.canvas import Stroke
    from napari_tmca.session import Session

_TOOLTIPS = {
    "fill holes": "Fill the holes, slice by slice",
    "smooth": "Smooth the outline",
    "keep largest": "Keep the largest connected part",
    "remove specks": "Remove parts of less than 0.05 % of the picture",
    "grow": "One pixel larger all around",
    "shrink": "One pixel smaller all around",
}


class CorrectWidget(QWidget):
    """Corrects the session's mask.

    Parameters
    ----------
    session : Session
        Of the viewer.

    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.include = _stroke_button("Include", "Draw over what belongs to it", key_of("include"))
        self.exclude = _stroke_button("Exclude", "Draw over what does not belong to it", key_of("exclude"))
        self.undo = QPushButton("Undo")
        self.undo.setToolTip("Take back the last change of the mask (Ctrl+Z with the mask selected)")
        self.redo = QPushButton("Redo")
        self.redo.setToolTip("Do it again (Ctrl+Shift+Z with the mask selected)")
        self.tools = {name: QPushButton(name.capitalize()) for name in TOOLS}
        self.classes = QComboBox()
        for number, (name, color) in enumerate(zip(session.classes.all, class_colors().values(), strict=True), 1):
            self.classes.addItem(swatch(color), name, number)
        self.classes.setToolTip("What brush and tools draw. The network knows the target alone.")
        self.sentence = QComboBox()
        self.sentence.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.sentence.setToolTip("Each part of the mask belongs to the sentence whose attention is highest there")
        self.take_out = QPushButton("Take out")
        self.take_out.setToolTip("Take the parts that this sentence drove out of the mask")
        self.put_back = QPushButton("Put back")
        self.put_back.setToolTip("Put the parts that this sentence drove back into the mask")
        self.copy = QPushButton("Copy to next slice")
        self.copy.setToolTip("Put what is drawn in this slice into the next one, and go there")
        self.interpolate = QPushButton("Fill between slices")
        self.interpolate.setToolTip("Fill the empty slices around this one from the nearest slices with a mask")
        self._slices = QWidget()
        self._lay_out()
        self._connect()
        self.refresh()

    def refresh(self) -> None:
        """Show the session as it is; emits nothing."""
        session, layer = self._session, self._session.mask_layer
        self.setEnabled(layer is not None)
        self._slices.setVisible(layer is not None and layer.data.ndim == 3)
        for button, stroke in ((self.include, "include"), (self.exclude, "exclude")):
            button.blockSignals(True)
            button.setChecked(session.canvas.stroke == stroke)
            button.blockSignals(False)
        if layer is not None:
            self.classes.blockSignals(True)
            self.classes.setCurrentIndex(self.classes.findData(int(layer.selected_label)))
            self.classes.blockSignals(False)
        self._fill_sentences()

    def show_classes(self) -> None:
        """Show the classes with the colours and names that they have now."""
        names = self._session.classes.all
        for index, (name, color) in enumerate(zip(names, class_colors().values(), strict=True)):
            self.classes.setItemIcon(index, swatch(color))
            self.classes.setItemText(index, name)

    def _fill_sentences(self) -> None:
        segmentation = self._session.segmentation
        report = segmentation.report if segmentation is not None else None
        has_maps = segmentation is not None and bool(segmentation.sentence_attention)
        used = report.used if report is not None and has_maps else ()
        chosen = self.sentence.currentData()
        self.sentence.clear()
        for index in used:
            text = " ".join(report.sentences[index].text.split()) if report is not None else ""
            self.sentence.addItem(f"{index + 1}  {text}", index)
        self.sentence.setCurrentIndex(max(self.sentence.findData(chosen), 0) if used else -1)
        for widget in (self.sentence, self.take_out, self.put_back):
            widget.setEnabled(bool(used))

    def _lay_out(self) -> None:
        tools = QGridLayout()
        for i, (name, button) in enumerate(self.tools.items()):
            button.setToolTip(_TOOLTIPS[name])
            tools.addWidget(button, i // 3, i % 3)
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setVerticalSpacing(3)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Class", self.classes)
        form.addRow("Stroke", _row(self.include, self.exclude))
        form.addRow("Parts of", self.sentence)
        form.addRow("", _row(self.take_out, self.put_back))
        slices = QHBoxLayout(self._slices)
        slices.setContentsMargins(0, 0, 0, 0)
        slices.addWidget(self.copy)
        slices.addWidget(self.interpolate)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.setSpacing(4)
        layout.addLayout(form)
        layout.addLayout(tools)
        layout.addWidget(self._slices)
        layout.addLayout(_row(self.undo, self.redo))
        layout.addStretch()

    def _connect(self) -> None:
        session = self._session
        self.include.toggled.connect(partial(self._on_stroke, "include"))
        self.exclude.toggled.connect(partial(self._on_stroke, "exclude"))
        self.undo.clicked.connect(session.undo)
        self.redo.clicked.connect(session.redo)
        for name, button in self.tools.items():
            button.clicked.connect(partial(self._on_tool, name))
        self.classes.activated.connect(self._on_class)
        self.take_out.clicked.connect(partial(self._on_accept, False))
        self.put_back.clicked.connect(partial(self._on_accept, True))
        self.copy.clicked.connect(session.corrector.copy_to_next_slice)
        self.interpolate.clicked.connect(session.corrector.interpolate_slices)

    def _on_stroke(self, stroke: Stroke, on: bool) -> None:
        self._session.corrector.set_stroke(stroke if on else None)

    def _on_tool(self, name: str) -> None:
        self._session.edit(name)

    def _on_class(self) -> None:
        if self._session.mask_layer is not None:
            self._session.mask_layer.selected_label = self.classes.currentData()

    def _on_accept(self, accepted: bool) -> None:
        sentence = self.sentence.currentData()
        if sentence is not None:
            self._session.mask.accept(sentence, accepted)


def _stroke_button(text: str, tooltip: str, shortcut: str) -> QPushButton:
    button = QPushButton(text)
    button.setCheckable(True)
    button.setToolTip(f"{tooltip} ({shortcut})")
    button.setShortcut(QKeySequence(shortcut))
    return button


def _row(*buttons: QPushButton) -> QLayout:
    row = QHBoxLayout()
    for button in buttons:
        row.addWidget(button)
    return row
