"""The report: paste it, see what is understood of each sentence, overrule it with a click."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_tmca.notify import report_error
from tmca_core.errors import TmcaError
from tmca_core.report import read_report

if TYPE_CHECKING:
    from tmca_core.study import Report, Sentence

PLACEHOLDER = (
    "Paste the report here.\n\nSides are the patient's: \u201cleft\u201d is the patient's left, at the right of a "
    "radiograph. Without a report the picture alone is segmented."
)

LIST_HEIGHT = 150


class ReportWidget(QWidget):
    """Shows and edits a `Report`.

    `textChanged` tells of typing and pasting, `sentenceToggled` of a click on a sentence (index, use it). Setting a
    value emits nothing.
    """

    textChanged = Signal(str)
    sentenceToggled = Signal(int, bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._edit = QPlainTextEdit()
        self._edit.setPlaceholderText(PLACEHOLDER)
        self._edit.setTabChangesFocus(True)
        self._edit.setMinimumHeight(72)
        self._edit.setMaximumHeight(110)
        self._edit.setAccessibleName("Report")
        self._list = QListWidget()
        self._list.setWordWrap(True)
        self._list.setSelectionMode(QListWidget.SelectionMode.NoSelection)
        self._list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._list.setAccessibleName("Sentences")
        self._list.setToolTip(
            "Ticked sentences are given to the network; struck through ones deny their findings. A click overrules."
        )
        self._notes = QLabel()
        self._notes.setWordWrap(True)
        self._notes.setTextFormat(Qt.TextFormat.PlainText)
        self._notes.hide()
        self._open = QPushButton("Open\u2026")
        self._open.setToolTip("Open a report from a text file")
        self._clear = QPushButton("Clear")
        self._clear.setToolTip("Remove the report; the picture alone is then segmented")
        self._lay_out()
        self._edit.textChanged.connect(self._on_text)
        self._list.itemChanged.connect(self._on_item)
        self._open.clicked.connect(self._on_open)
        self._clear.clicked.connect(self._edit.clear)

    def value(self) -> str:
        """Return the text as it stands."""
        return str(self._edit.toPlainText())

    def setValue(self, report: Report) -> None:
        """Show a report: its text, where it differs from what stands there, and its sentences."""
        if report.text != self.value():
            self._edit.blockSignals(True)
            self._edit.setPlainText(report.text)
            self._edit.blockSignals(False)
        self._list.blockSignals(True)
        self._list.clear()
        used = set(report.used)
        for index, sentence in enumerate(report.sentences):
            self._list.addItem(self._item(index, sentence, index in used))
        self._list.blockSignals(False)
        self._list.setVisible(bool(report.sentences))
        self._fit_list()
        self._notes.setText("\n".join(report.notes))
        self._notes.setVisible(bool(report.notes))

    def _lay_out(self) -> None:
        heading = QHBoxLayout()
        heading.addWidget(QLabel("<b>Report</b>"))
        heading.addStretch()
        heading.addWidget(self._open)
        heading.addWidget(self._clear)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(heading)
        for part in (self._edit, self._list, self._notes):
            layout.addWidget(part)
        self._list.hide()

    def _fit_list(self) -> None:
        """Make the list as high as its sentences, within reason: on a small screen the result must not slip away."""
        rows = sum(self._list.sizeHintForRow(row) for row in range(self._list.count()))
        self._list.setFixedHeight(min(rows + 2 * self._list.frameWidth() + 4, LIST_HEIGHT))

    def _item(self, index: int, sentence: Sentence, is_used: bool) -> QListWidgetItem:
        item = QListWidgetItem(f"{index + 1}  {' '.join(sentence.text.split())}")
        item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
        item.setCheckState(Qt.CheckState.Checked if is_used else Qt.CheckState.Unchecked)
        font = item.font()
        font.setStrikeOut(sentence.is_negated)
        font.setItalic(not sentence.is_about_picture)
        item.setFont(font)
        if not is_used:
            item.setForeground(self.palette().placeholderText())
        item.setToolTip(_understood(sentence, is_used))
        return item

    def _on_text(self) -> None:
        self.textChanged.emit(self.value())

    def _on_item(self, item: QListWidgetItem) -> None:
        self.sentenceToggled.emit(self._list.row(item), item.checkState() == Qt.CheckState.Checked)

    def _on_open(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open report", "", "Text (*.txt);;All files (*)")
        if not path:
            return
        try:
            self._edit.setPlainText(read_report(Path(path)))
        except TmcaError as error:
            report_error(error)


def _understood(sentence: Sentence, is_used: bool) -> str:
    """Return what was understood of a sentence, for a tooltip."""
    parts = ["given to the network" if is_used else "not given to the network"]
    if sentence.is_negated:
        parts.append("denies its findings, or says that all is normal")
    if not sentence.is_about_picture:
        parts.append("not about the picture")
    if sentence.sides:
        parts.append("the patient's " + " and ".join(sorted(sentence.sides)))
    if sentence.section:
        parts.append(f"under {sentence.section}")
    text = "; ".join(parts)
    return text[0].upper() + text[1:] + "."
