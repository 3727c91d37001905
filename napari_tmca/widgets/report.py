"""The report: paste it, see what is understood of each sentence, overrule it with a click, point at it for its map."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject, Qt, QTimer, Signal
from qtpy.QtGui import QColor, QFont, QPainter, QPen, QTextCharFormat, QTextCursor
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPlainTextEdit,
    QPushButton,
    QSizePolicy,
    QStyledItemDelegate,
    QTextEdit,
    QVBoxLayout,
    QWidget,
)

from napari_tmca.notify import report_error
from napari_tmca.widgets.style import AMBER, AMBER_STYLE, plain_label
from tmca_core.errors import TmcaError
from tmca_core.report import find_identity, marks_in, read_report, remove_identity, tellings, told_sentences, words_in

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tmca_core.report import Telling
    from tmca_core.study import Report, Sentence

PLACEHOLDER = (
    "Paste the report here.\n\nSides are the patient's: \u201cleft\u201d is the patient's left, at the right of a "
    "radiograph. Without a report the picture alone is segmented."
)
# So that report and result fit into a window of 1280 x 720; longer ones scroll.
EDIT_HEIGHT, LIST_HEIGHT = 78, 100
_BOX_WIDTH = 24
# A pause in typing after which the sentences are given to the network, in live mode.
PAUSE_MS = 300
# How long the mouse rests on a word before its map is asked for.
REST_MS = 180
# Of what was understood in the text; readable on both themes, and never by colour alone.
MARKS: dict[str, tuple[str, bool]] = {  # colour, underlined
    "finding": ("#e69f00", True),
    "side": ("#56b4e9", False),
    "zone": ("#009e73", False),
    "denial": ("#cc79a7", False),
    "doubt": ("#cc79a7", False),
}
LEGEND = (
    "Underlined in orange: finding. Blue: side. Green: zone. Pink: denial or doubt. On amber: looks like identity.\n"
    "Half ticked: in use, and not told, for what was understood of the others stands in its place.\n"
    "Point at a sentence or a word to see what the network looked at for it."
)


class ReportWidget(QWidget):
    """Shows and edits a `Report`.

    `textChanged` tells of typing and pasting, `paused` of a pause in it while *Live* is ticked, `sentenceToggled` of a
    click on a sentence (index, use it), `pointed` of what the mouse rests on (sentence, word; -1 for none). Setting a
    value emits nothing.
    """

    textChanged = Signal(str)
    paused = Signal()
    sentenceToggled = Signal(int, bool)
    pointed = Signal(int, int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._report: Report | None = None
        self._edit = QPlainTextEdit()
        self._edit.setPlaceholderText(PLACEHOLDER)
        self._edit.setTabChangesFocus(True)
        self._edit.setFixedHeight(EDIT_HEIGHT)
        self._edit.setAccessibleName("Report")
        self._edit.setToolTip(LEGEND)
        self._edit.viewport().setMouseTracking(True)
        self._edit.viewport().installEventFilter(self)
        self._list = QListWidget()
        self._list.setWordWrap(True)
        self._list.setSelectionMode(QListWidget.SelectionMode.NoSelection)
        self._list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._list.setAccessibleName("Sentences")
        self._list.setMouseTracking(True)
        self._list.setItemDelegate(_SentenceDelegate(self._list))
        self._list.viewport().installEventFilter(self)
        self._notes = plain_label()
        self._notes.hide()
        self._identity = plain_label()
        self._identity.setStyleSheet(AMBER_STYLE)
        self.remove = QPushButton("Remove")
        self.remove.setToolTip("Put [name], [date], [number] in their places. Ctrl+Z in the report takes it back.")
        self._warning = QWidget()
        self._told = plain_label()
        self._told.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._told.hide()
        self.show_told = QCheckBox("What the network is told")
        self.show_told.setToolTip("The very sentences that the network is given: those in use, and what was understood")
        self.live = QCheckBox("Live")
        self.live.setToolTip("Segment again after each pause in typing, once there is a result; what you painted stays")
        self._open = QPushButton("Open\u2026")
        self._open.setToolTip("Open a report: text, Word document (.docx) or DICOM structured report")
        self._clear = QPushButton("Clear")
        self._clear.setToolTip("Remove the report; the picture alone is then segmented")
        self._pause = _timer(self, PAUSE_MS)
        self._rest = _timer(self, REST_MS)
        self._at = self._told_at = (-1, -1)
        self._lay_out()
        self._connect()

    def value(self) -> str:
        """Return the text as it stands."""
        return str(self._edit.toPlainText())

    def setValue(self, report: Report) -> None:
        """Show a report: its text, where it differs from what stands there, and its sentences."""
        self._report = report
        if _as_shown(report.text) != self.value():
            self._edit.blockSignals(True)
            self._edit.setPlainText(report.text)
            self._edit.blockSignals(False)
        self._list.blockSignals(True)
        self._list.clear()
        for index, (sentence, telling) in enumerate(zip(report.sentences, tellings(report), strict=True)):
            self._list.addItem(self._item(index, sentence, telling))
        self._list.blockSignals(False)
        self._list.setVisible(bool(report.sentences))
        self._fit_list()
        self._notes.setText("\n".join(report.notes))
        self._notes.setVisible(bool(report.notes))
        self._mark_text(report)
        self._told.setText("\n".join(told_sentences(report)) or "Nothing: the picture alone is segmented.")

    def light_up(self, strengths: Mapping[int, float], rejected: Sequence[int] = ()) -> None:
        """Light the sentences that drove the mask where the mouse points at it; mark those whose parts were taken out.

        Parameters
        ----------
        strengths : mapping of int to float
            Attention of every sentence, 0..1; empty where the mouse is elsewhere.
        rejected : sequence of int
            Sentences without a part of the mask.

        """
        self._list.blockSignals(True)
        strongest = max(strengths.values(), default=0.0)
        for row in range(self._list.count()):
            item, strength = self._list.item(row), strengths.get(row, 0.0)
            color = QColor(AMBER)
            # The strongest stands out; the others as far as they come near it.
            color.setAlphaF(0.65 * (strength / strongest) ** 4 if strongest > 0 else 0.0)
            item.setBackground(color)
            font = item.font()
            font.setWeight(QFont.Weight.Light if row in rejected else QFont.Weight.Normal)
            item.setFont(font)
            text = item.text().removesuffix(_REJECTED)
            item.setText(text + _REJECTED if row in rejected else text)
        self._list.blockSignals(False)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow the mouse over text and sentences."""
        if event.type() == QEvent.Type.MouseMove:
            at = self._text_at(event) if watched is self._edit.viewport() else self._row_at(event)
            if at != self._at:
                self._at = at
                self._rest.start()
        elif event.type() == QEvent.Type.Leave:
            self._at = (-1, -1)
            self._rest.start()
        return bool(super().eventFilter(watched, event))

    def _lay_out(self) -> None:
        heading = QHBoxLayout()
        heading.addWidget(QLabel("<b>Report</b>"))
        heading.addStretch()
        for button in (self.live, self._open, self._clear):
            heading.addWidget(button)
        self._warning.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        warning = QHBoxLayout(self._warning)
        warning.setContentsMargins(0, 0, 0, 0)
        warning.addWidget(self._identity, stretch=1)
        warning.addWidget(self.remove)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(heading)
        for part in (self._edit, self._warning, self._list, self._notes, self.show_told, self._told):
            layout.addWidget(part)
        self._list.hide()
        self._warning.hide()

    def _connect(self) -> None:
        self._edit.textChanged.connect(self._on_text)
        self._list.itemChanged.connect(self._on_item)
        self._open.clicked.connect(self._on_open)
        self._clear.clicked.connect(self._on_clear)
        self.remove.clicked.connect(self._on_remove)
        self.show_told.toggled.connect(self._told.setVisible)
        self._pause.timeout.connect(self._on_pause)
        self._rest.timeout.connect(self._on_rest)

    def _fit_list(self) -> None:
        """Make the list as high as its sentences, within reason: on a small screen the result must not slip away."""
        rows = sum(self._list.sizeHintForRow(row) for row in range(self._list.count()))
        self._list.setFixedHeight(min(rows + 2 * self._list.frameWidth() + 4, LIST_HEIGHT))

    def _item(self, index: int, sentence: Sentence, telling: Telling) -> QListWidgetItem:
        item = QListWidgetItem(f"{index + 1}  {' '.join(sentence.text.split())}")
        item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
        item.setCheckState(_CHECKS.get(telling, Qt.CheckState.Checked))
        font = item.font()
        font.setStrikeOut(sentence.is_negated)
        font.setItalic(not sentence.is_about_picture)
        item.setFont(font)
        item.setData(_DOUBT, is_uncertain(sentence))
        item.setData(_UNTOLD, telling in _CHECKS)
        item.setData(_USED, telling != "unused")
        item.setToolTip(understood(sentence, telling))
        return item

    def _mark_text(self, report: Report) -> None:
        """Mark what was understood, and what looks like identity, in the text itself."""
        positions = _positions(report.text)
        found = find_identity(report.text)
        selections = [
            self._selection(positions[mark.start], positions[mark.end], _mark_format(mark.kind))
            for mark in marks_in(report)
        ]
        amber = QTextCharFormat()
        amber.setBackground(QColor(AMBER))
        amber.setForeground(QColor("black"))
        selections += [self._selection(positions[i.start], positions[i.end], amber) for i in found]
        self._edit.setExtraSelections(selections)
        kinds = [kind for kind in ("name", "date", "number", "email") if any(i.kind == kind for i in found)]
        self._identity.setText(f"Looks like identity: {', '.join(kinds)}.")
        self._warning.setVisible(bool(found))

    def _selection(self, start: int, end: int, style: QTextCharFormat) -> Any:
        selection = QTextEdit.ExtraSelection()
        cursor = QTextCursor(self._edit.document())
        last = self._edit.document().characterCount() - 1
        cursor.setPosition(min(start, last))
        cursor.setPosition(min(end, last), QTextCursor.MoveMode.KeepAnchor)
        selection.cursor, selection.format = cursor, style
        return selection

    def _text_at(self, event: Any) -> tuple[int, int]:
        """Return the sentence and the word under the mouse in the text; -1 for none."""
        if self._report is None:
            return -1, -1
        position = self._edit.cursorForPosition(event.position().toPoint()).position()
        positions = _positions(self._report.text)
        for index, sentence in enumerate(self._report.sentences):
            if positions[sentence.start] <= position < positions[sentence.end]:
                for number, (start, end) in enumerate(words_in(sentence.text)):
                    if positions[sentence.start + start] <= position < positions[sentence.start + end]:
                        return index, number
                return index, -1
        return -1, -1

    def _row_at(self, event: Any) -> tuple[int, int]:
        return self._list.indexAt(event.position().toPoint()).row(), -1

    def _on_rest(self) -> None:
        if self._at != self._told_at:
            self._told_at = self._at
            self.pointed.emit(*self._at)

    def _on_text(self) -> None:
        self.textChanged.emit(self.value())
        if self.live.isChecked():
            self._pause.start()

    def _on_pause(self) -> None:
        if self.live.isChecked():
            self.paused.emit()

    def _on_item(self, item: QListWidgetItem) -> None:
        # Not by the state of its box: a click on a box that is half ticked ticks it.
        self.sentenceToggled.emit(self._list.row(item), not item.data(_USED))
        if self.live.isChecked():
            self._pause.start()

    def _on_clear(self) -> None:
        self._replace("")

    def _on_remove(self) -> None:
        self._replace(remove_identity(self.value()))

    def _replace(self, text: str) -> None:
        """Put other text in, as a step that Ctrl+Z in the report takes back."""
        cursor = QTextCursor(self._edit.document())
        cursor.select(QTextCursor.SelectionType.Document)
        cursor.insertText(text)

    def _on_open(self) -> None:
        kinds = "Reports (*.txt *.docx *.dcm);;All files (*)"
        path, _ = QFileDialog.getOpenFileName(self, "Open report", "", kinds)
        if not path:
            return
        try:
            self._replace(read_report(Path(path)))
        except TmcaError as error:
            report_error(error)


_REJECTED = "  (taken out)"
_DOUBT, _UNTOLD, _USED = (Qt.ItemDataRole.UserRole + i for i in range(3))
_CHECKS = {"unused": Qt.CheckState.Unchecked, "left out": Qt.CheckState.PartiallyChecked}
_TELLINGS = {
    "whole": "given to the network",
    "stated": "given to the network in the statement of what was understood",
    "left out": "in use, and not told: the statement of what was understood stands in its place",
    "unused": "not given to the network",
}
# Of the theme's own text colour, whatever the theme: readable, and plainly less than the rest.
_PALE = 0.6


class _SentenceDelegate(QStyledItemDelegate):
    """Draws what the network is not given paler, and a dotted line under a sentence that is not sure of itself."""

    def paint(self, painter: QPainter, option: Any, index: Any) -> None:
        """Draw the row, paler where the network is not given it, then the line."""
        painter.save()
        if index.data(_UNTOLD):
            painter.setOpacity(_PALE)
        super().paint(painter, option, index)
        painter.restore()
        if index.data(_DOUBT):
            painter.save()
            painter.setPen(QPen(QColor(AMBER), 2, Qt.PenStyle.DotLine))
            bottom = option.rect.bottom() - 1
            painter.drawLine(option.rect.left() + _BOX_WIDTH, bottom, option.rect.right() - 4, bottom)
            painter.restore()


def is_uncertain(sentence: Sentence) -> bool:
    """Return whether a sentence doubts what it states."""
    certainties = {finding.certainty for finding in sentence.findings}
    return "uncertain" in certainties and "affirmed" not in certainties


def understood(sentence: Sentence, telling: Telling) -> str:
    """Return what was understood of a sentence, for a tooltip."""
    parts = [_TELLINGS[telling]]
    if sentence.is_negated:
        parts.append("denies its findings, or says that all is normal")
    if is_uncertain(sentence):
        parts.append("is not sure of its findings")
    if not sentence.is_about_picture:
        parts.append("not about the picture")
    if sentence.sides:
        parts.append("the patient's " + " and ".join(sorted(sentence.sides)))
    if sentence.section:
        parts.append(f"under {sentence.section}")
    text = "; ".join(parts)
    return text[0].upper() + text[1:] + ". A click overrules."


def _mark_format(kind: str) -> QTextCharFormat:
    color, is_underlined = MARKS[kind]
    style = QTextCharFormat()
    if is_underlined:
        style.setUnderlineStyle(QTextCharFormat.UnderlineStyle.SingleUnderline)
        style.setUnderlineColor(QColor(color))
    else:
        tint = QColor(color)
        tint.setAlphaF(0.35)
        style.setBackground(tint)
    if kind == "doubt":
        style.setUnderlineStyle(QTextCharFormat.UnderlineStyle.DotLine)
    return style


def _as_shown(text: str) -> str:
    """Return a text as Qt gives it back: one kind of line break."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2029", "\n").replace("\u2028", "\n")


def _positions(text: str) -> list[int]:
    """Return where each character of a text, and its end, lies in Qt's count: UTF-16 units, CR LF as one."""
    positions, at = [], 0
    for i, character in enumerate(text):
        positions.append(at)
        is_half = character == "\r" and text[i + 1 : i + 2] == "\n"
        at += 0 if is_half else 2 if ord(character) > 0xFFFF else 1
    return [*positions, at]


def _timer(parent: QObject, interval: int) -> QTimer:
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(interval)
    return timer
