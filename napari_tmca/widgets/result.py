"""The result: size, threshold, which map is shown, save."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QMenu,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt import QLabeledDoubleSlider

from napari_tmca.exporting import EXPORTS, ask_and_export
from napari_tmca.notify import report_error
from napari_tmca.widgets.style import plain_label, say
from tmca_core.errors import TmcaError

if TYPE_CHECKING:
    from napari_tmca.session import Session

LEVELS = (("Mean of all levels", "mean"), ("1  fine", 1), ("2", 2), ("3", 3), ("4  coarse", 4))


# Expected Dice under which the reader is asked to look twice.
LEAST_CONFIDENCE = 0.6


class ResultWidget(QWidget):
    """Shows and edits the session's result.

    Parameters
    ----------
    session : Session
        Of the viewer.

    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._dragging = ExitStack()
        self._area = plain_label("\u2013")
        self.present = plain_label("\u2013")
        self.present.setToolTip(
            "Present: mean probability of the likeliest 0.1 % of the pixels. Sure of the outline: the Dice that the "
            "network itself expects of it. Neither is a diagnosis."
        )
        self.fit = plain_label("\u2013")
        self.fit.setToolTip(
            "How well the report goes with what the picture alone shows: 100 % belongs together, 0 % belongs elsewhere"
        )
        self.checks = plain_label("\u2013")
        self.checks.setToolTip("The mask against the side, zones and number that the report states")
        self.image_only = QCheckBox("Mask of the image alone")
        self.image_only.setToolTip("What the network outlines without the report. Painted pixels stay as they are.")
        self.threshold = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        self.threshold.setRange(0.01, 0.99)
        self.threshold.setSingleStep(0.01)
        self.threshold.setDecimals(2)
        self.threshold.setValue(0.5)
        self.threshold.setToolTip(
            "Probability from which a pixel belongs to the mask. Painted pixels stay as they are."
        )
        self.sentence = QComboBox()
        self.sentence.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.sentence.setToolTip("Whose attention map is shown: the whole report's, or one sentence's")
        self.level = QComboBox()
        for text, level in LEVELS:
            self.level.addItem(text, level)
        self.level.setToolTip("At which resolution of the network the map is taken")
        self.pin = QPushButton("Pin")
        self.pin.setToolTip("Keep this map as a layer of its own")
        self.save = QPushButton("Save labels\u2026")
        self.save.setToolTip("Write the mask, with your edits, on the scan's own grid")
        self.export = QPushButton("Export\u2026")
        self.export.setToolTip("Write the mask in a format of your choice, such as an RT structure set")
        self.exports = QMenu(self.export)
        for mask_format, (title, _) in EXPORTS.items():
            choice = self.exports.addAction(f"{title}\u2026")
            choice.triggered.connect(partial(self._on_export, mask_format))
        self.export.setMenu(self.exports)
        self._lay_out()
        self._connect()
        self.refresh()

    def refresh(self) -> None:
        """Show the session as it is; emits nothing."""
        session = self._session
        segmentation = session.segmentation
        # A mask that a project or a file brought can be saved, too.
        self.setEnabled(segmentation is not None or session.mask_layer is not None)
        for button in (self.save, self.export):
            button.setEnabled(session.mask_layer is not None)
        self.show_mask()
        self._quietly(self.threshold, session.answer.threshold)
        self._fill_sentences()
        self.level.blockSignals(True)
        self.level.setCurrentIndex([level for _, level in LEVELS].index(session.maps.chosen.level))
        self.level.blockSignals(False)
        self.threshold.setEnabled(segmentation is not None and session.mask_layer is not None)
        for chooser in (self.sentence, self.level, self.pin):
            chooser.setEnabled(session.heatmap_layer is not None)

    def show_mask(self) -> None:
        """Show what depends on the mask: its size, and how far it agrees with the report."""
        self._area.setText(self._session.mask.area or "\u2013")
        self._show_trust()

    def _show_trust(self) -> None:
        """Say how far report, picture and mask agree; amber where they do not."""
        session, segmentation = self._session, self._session.segmentation
        agreement = segmentation.agreement if segmentation is not None else None
        self._show_presence()
        is_low = segmentation is not None and segmentation.has_low_agreement
        say(self.fit, "\u2013" if agreement is None else f"{agreement:.0%}", is_amber=is_low)
        against = [remark.text for remark in session.answer.remarks if not remark.agrees]
        aspects = ", ".join(dict.fromkeys(remark.aspect for remark in session.answer.remarks))
        agreed = f"agree in {aspects}" if aspects else ""
        say(self.checks, "\n".join(against) or agreed or "\u2013", is_amber=bool(against))
        has_both = segmentation is not None and segmentation.image_only_logits is not None
        self.image_only.setEnabled(has_both and session.mask_layer is not None)
        self.image_only.blockSignals(True)
        self.image_only.setChecked(session.mask.image_only)
        self.image_only.blockSignals(False)

    def _show_presence(self) -> None:
        segmentation = self._session.segmentation
        if segmentation is None:
            say(self.present, "\u2013", is_amber=False)
            return
        present, sure = segmentation.presence, segmentation.confidence
        is_low = sure < LEAST_CONFIDENCE
        text = f"{present:.0%}, sure of the outline {sure:.0%}"
        say(self.present, f"{text}: look twice" if is_low else text, is_amber=is_low)

    def _quietly(self, slider: QLabeledDoubleSlider, value: float | None) -> None:
        if value is not None and not slider.isSliderDown():
            slider.blockSignals(True)
            slider.setValue(value)
            slider.blockSignals(False)

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setVerticalSpacing(3)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Size", self._area)
        form.addRow("Present", self.present)
        form.addRow("Report fits", self.fit)
        form.addRow("Checks", self.checks)
        form.addRow("", self.image_only)
        form.addRow("Threshold", self.threshold)
        form.addRow("Map of", self.sentence)
        level = QHBoxLayout()
        level.addWidget(self.level, stretch=1)
        level.addWidget(self.pin)
        form.addRow("Level", level)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.setSpacing(3)
        layout.addLayout(form)
        buttons = QHBoxLayout()
        buttons.addWidget(self.save, stretch=1)
        buttons.addWidget(self.export)
        layout.addLayout(buttons)
        layout.addStretch()

    def _connect(self) -> None:
        self.threshold.valueChanged.connect(self._on_threshold)
        self.threshold.sliderPressed.connect(self._on_pressed)
        self.threshold.sliderReleased.connect(self._on_released)
        self.image_only.toggled.connect(self._session.answer.show_image_only)
        self.sentence.activated.connect(self._on_map)
        self.level.activated.connect(self._on_map)
        self.pin.clicked.connect(self._on_pin)
        self.save.clicked.connect(self._on_save)

    def _fill_sentences(self) -> None:
        segmentation = self._session.segmentation
        report = segmentation.report if segmentation is not None else None
        self.sentence.blockSignals(True)
        self.sentence.clear()
        self.sentence.addItem("Whole report" if report is not None and report.used else "Picture alone", None)
        if segmentation is not None and segmentation.sentence_attention and report is not None:
            for index in report.used:
                text = " ".join(report.sentences[index].text.split())
                self.sentence.addItem(f"{index + 1}  {text}", index)
        self.sentence.setCurrentIndex(max(self.sentence.findData(self._session.maps.chosen.sentence), 0))
        self.sentence.blockSignals(False)

    def _on_threshold(self, value: float) -> None:
        self._session.set_threshold(float(value))

    def _on_pressed(self) -> None:
        """Make a whole drag one step of undo."""
        layer = self._session.mask_layer
        if layer is not None:
            self._dragging.enter_context(layer.block_history())

    def _on_released(self) -> None:
        self._dragging.close()

    def _on_map(self) -> None:
        self._session.show_map(sentence=self.sentence.currentData(), level=self.level.currentData())

    def _on_pin(self) -> None:
        self._session.maps.pin()

    def _on_export(self, mask_format: str, *_: object) -> None:
        ask_and_export(self._session, mask_format, self)

    def _on_save(self) -> None:
        filters = "Mask (*.png *.tif *.nii.gz *.nii)"
        suggested = str(self._session.suggested_path())
        path, _ = QFileDialog.getSaveFileName(self, "Save labels", suggested, filters)
        if path:
            try:
                self._session.save_labels(Path(path))
            except (TmcaError, ValueError) as error:
                report_error(error)
