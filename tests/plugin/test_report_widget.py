"""The report's part of the panel, alone: what is typed, marked, pointed at and removed."""

from __future__ import annotations

import zipfile

import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QTextCursor
from qtpy.QtWidgets import QFileDialog

from napari_tmca.widgets.report import PAUSE_MS, ReportWidget
from tmca_core.report import parse_report

TEXT = "History: cough. \U0001fac1 \nFINDINGS:\r\nProbable opacity in the left lower zone. No effusion."


@pytest.fixture
def widget(qtbot):
    widget = ReportWidget()
    widget.textChanged.connect(lambda text: widget.setValue(parse_report(text)))
    qtbot.addWidget(widget)
    widget.resize(380, 400)
    widget.show()
    return widget


def marked(widget):
    return [selection.cursor.selectedText() for selection in widget._edit.extraSelections()]


def rows(widget):
    return [widget._list.item(row) for row in range(widget._list.count())]


def move_to(move_mouse, widget, text, offset=1):
    """Move the mouse onto a word of the report."""
    edit = widget._edit
    cursor = QTextCursor(edit.document().find(text))
    cursor.setPosition(cursor.selectionStart() + offset)
    move_mouse(edit.viewport(), edit.cursorRect(cursor).center() + QPoint(2, 0))


def test_sentences_are_shown_as_they_are_understood_while_typing(widget, qtbot):
    qtbot.keyClicks(widget._edit, "Opacity left. No effusion. Probable haze on the right. Patient admitted.")
    fonts = [row.font() for row in rows(widget)]
    assert [font.strikeOut() for font in fonts] == [False, True, False, False]
    assert [font.italic() for font in fonts] == [False, False, False, True]
    assert [bool(row.data(Qt.ItemDataRole.UserRole)) for row in rows(widget)] == [False, False, True, False]
    assert "not sure" in rows(widget)[2].toolTip()
    widget.grab()  # draws the dotted line


def test_a_click_on_a_row_overrules(widget, qtbot):
    widget.setValue(parse_report("Opacity left. No effusion."))
    with qtbot.waitSignal(widget.sentenceToggled) as told:
        rows(widget)[1].setCheckState(Qt.CheckState.Checked)
    assert told.args == [1, True]


def test_findings_sides_and_zones_are_marked_where_they_stand(widget):
    widget.setValue(parse_report(TEXT))
    assert marked(widget) == ["Probable", "opacity", "left", "lower", "No", "effusion"]
    assert widget._edit.document().isUndoRedoEnabled()


def test_a_report_with_other_line_breaks_stays_as_it_was_pasted(widget):
    report = parse_report(TEXT)
    widget.setValue(report)
    position = widget._edit.textCursor()
    position.setPosition(5)
    widget._edit.setTextCursor(position)
    widget.setValue(report)  # not set again: the cursor would jump
    assert widget._edit.textCursor().position() == 5


def test_what_looks_like_identity_is_marked_and_removed_and_comes_back(widget, qtbot):
    text = "Name: Jane Doe. Opacity since 2024-05-03, left."
    qtbot.keyClicks(widget._edit, text)
    assert widget.remove.isVisible()
    assert "name, date" in widget._identity.text()
    qtbot.mouseClick(widget.remove, Qt.MouseButton.LeftButton)
    assert widget.value() == "Name: [name]. Opacity since [date], left."
    assert not widget.remove.isVisible()
    qtbot.keyClick(widget._edit, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert widget.value() == text


def test_the_mouse_on_a_word_a_sentence_and_a_row(widget, qtbot, move_mouse):
    widget.setValue(parse_report(TEXT))
    with qtbot.waitSignal(widget.pointed) as told:
        move_to(move_mouse, widget, "left")
    assert told.args == [1, 4]
    with qtbot.waitSignal(widget.pointed) as told:
        move_mouse(widget._list.viewport(), widget._list.visualItemRect(rows(widget)[2]).center())
    assert told.args == [2, -1]


def test_the_sentences_that_drove_the_mask_light_up(widget):
    widget.setValue(parse_report("Opacity left. Haze right."))
    widget.light_up({0: 0.9, 1: 0.3}, rejected=(1,))
    first, second = rows(widget)
    assert first.background().color().alphaF() > 0.5 > second.background().color().alphaF()
    assert second.text().endswith("(taken out)")
    widget.light_up({})
    assert first.background().color().alphaF() == 0
    assert not second.text().endswith("(taken out)")


def test_a_pause_is_told_in_live_mode_only(widget, qtbot):
    with qtbot.assertNotEmitted(widget.paused, wait=2 * PAUSE_MS):
        qtbot.keyClicks(widget._edit, "Opacity")
    widget.live.setChecked(True)
    with qtbot.waitSignal(widget.paused):
        qtbot.keyClicks(widget._edit, " left.")


def test_what_the_network_is_told_can_be_read(widget):
    widget.setValue(parse_report("Patchy GGO, LLL. No effusion."))
    widget.show_told.setChecked(True)
    assert widget._told.text() == "unilateral pulmonary infection, lower left lung."
    widget.setValue(parse_report(""))
    assert "picture alone" in widget._told.text()


def test_a_word_document_is_opened(widget, qtbot, tmp_path, monkeypatch):
    word = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    with zipfile.ZipFile(tmp_path / "r.docx", "w") as archive:
        archive.writestr(
            "word/document.xml",
            f"<w:document xmlns:w='{word}'><w:p><w:r><w:t>Opacity left.</w:t></w:r></w:p></w:document>",
        )
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a, **k: (str(tmp_path / "r.docx"), ""))
    qtbot.mouseClick(widget._open, Qt.MouseButton.LeftButton)
    assert widget.value() == "Opacity left."


@pytest.mark.parametrize(
    "text", ["a\r\nb. Opacity.\r", "\ud800 opacity left", "e\u0301 \u202eopacity\u202c left", "\x00opacity"]
)
def test_odd_characters_are_shown_and_marked_without_a_fall(widget, text):
    widget.setValue(parse_report(text))
    assert "opacity" in [word.lower() for word in marked(widget)]


def test_a_sentence_in_whose_place_the_statement_stands_is_half_ticked(widget, qtbot):
    widget.setValue(parse_report("Sternal wires. Opacity in the left lower zone. No effusion."))
    states = [row.checkState() for row in rows(widget)]
    half, ticked, empty = Qt.CheckState.PartiallyChecked, Qt.CheckState.Checked, Qt.CheckState.Unchecked
    assert states == [half, ticked, empty]
    assert rows(widget)[0].toolTip().startswith("In use, and not told:")
    assert "Sternal" not in widget._told.text()
    box = widget._list.visualItemRect(rows(widget)[0])
    with qtbot.waitSignal(widget.sentenceToggled) as told:
        at = QPoint(box.left() + 10, box.center().y())
        qtbot.mouseClick(widget._list.viewport(), Qt.MouseButton.LeftButton, pos=at)
    assert told.args == [0, False]
    widget.setValue(parse_report("Sternal wires."))
    assert rows(widget)[0].checkState() == ticked
    assert widget._told.text() == "Sternal wires."
