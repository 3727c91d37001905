from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_tmca.widgets import TmcaWidget
from napari_tmca.widgets.style import AMBER
from tmca_core.io import read_mask

TIMEOUT_MS = 120_000


@pytest.fixture
def panel(session, qtbot):
    widget = TmcaWidget(session._viewer())
    qtbot.addWidget(widget)
    widget.resize(380, 900)
    widget.show()
    return widget


def press_segment(panel, qtbot):
    qtbot.mouseClick(panel.segment, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.session.state == "idle", timeout=TIMEOUT_MS)


def test_without_an_image_nothing_can_be_pressed(panel):
    assert not panel.segment.isEnabled()
    assert not panel.result.isEnabled()


def test_the_whole_way_with_mouse_and_keyboard(panel, session, phantom_layer, qtbot, tmp_path, monkeypatch):
    edit = panel.report._edit
    edit.clear()
    qtbot.keyClicks(edit, "Opacity in the left lower zone. No effusion.")
    assert panel.report._list.count() == 2
    assert panel.report._list.item(1).font().strikeOut()
    press_segment(panel, qtbot)
    layer = session.mask_layer
    assert isinstance(layer, Labels)
    assert session.heatmap_layer is not None
    assert "mm" in panel.result._area.text()
    panel.result.threshold.setValue(0.45)
    assert session.segmentation.threshold == pytest.approx(0.45)
    layer.data_setitem((np.array([3]), np.array([4])), 1 - int(layer.data[3, 4]))
    layer.undo()
    path = tmp_path / "saved.png"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **k: (str(path), ""))
    qtbot.mouseClick(panel.result.save, Qt.MouseButton.LeftButton)
    assert np.array_equal(read_mask(path), layer.data > 0)
    assert "Saved saved.png." in panel.messages.text()


def test_sentences_are_ticked_by_what_was_understood_and_a_click_overrules(panel, session, phantom_layer):
    items = [panel.report._list.item(i) for i in range(3)]
    assert [item.checkState() == Qt.CheckState.Checked for item in items] == [True, False, True]
    items[1].setCheckState(Qt.CheckState.Checked)
    assert session.report.used == (0, 1, 2)


def test_the_choosers_show_levels_and_sentences_of_the_result(panel, session, phantom_layer, qtbot):
    press_segment(panel, qtbot)
    sentence, level = panel.result.sentence, panel.result.level
    assert [sentence.itemData(i) for i in range(sentence.count())] == [None, 0, 2]
    assert [level.itemData(i) for i in range(level.count())] == ["mean", 1, 2, 3, 4]
    level.setCurrentIndex(1)
    level.activated.emit(1)
    assert session.maps.chosen.level == 1


def test_a_drag_of_the_threshold_is_one_step_of_undo(panel, session, phantom_layer, qtbot):
    press_segment(panel, qtbot)
    layer, slider = session.mask_layer, panel.result.threshold
    before = layer.data.copy()
    low, high = np.quantile(session.segmentation.probability, [0.2, 0.8])
    slider.sliderPressed.emit()
    for value in np.linspace(low, high, 5):
        slider.setValue(float(value))
    slider.sliderReleased.emit()
    assert not np.array_equal(layer.data, before)
    layer.undo()
    assert np.array_equal(layer.data, before)


def test_text_edited_after_the_run_marks_the_result_as_older(panel, session, phantom_layer, qtbot):
    press_segment(panel, qtbot)
    assert "older text" not in panel.messages.text()
    session.set_report("Something else in the right lung.")
    assert "older text" in panel.messages.text()


def test_markup_in_a_report_is_shown_literally(panel, session):
    text = "<b>Opacity</b> %s {} ../ <script>alert(1)</script>"
    session.set_report(text)
    assert panel.report.value() == text
    assert "<b>" in panel.report._list.item(0).text()


def test_an_error_stands_next_to_the_button(panel, session, phantom_layer, qtbot):
    session.model = "no such model"
    press_segment(panel, qtbot)
    assert "expected an installed model or a folder" in panel.messages.text()
    assert panel.segment.isEnabled()


def test_closing_the_panel_while_it_runs_ends_the_job_and_keeps_the_session(session, phantom_layer, qtbot):
    widget = TmcaWidget(session._viewer())
    widget.show()
    session.segment()
    widget.deleteLater()
    del widget
    qtbot.waitUntil(lambda: session.state == "idle", timeout=5000)
    session.set_report("Still alive.")
    again = TmcaWidget(session._viewer())
    qtbot.addWidget(again)
    assert again.report.value() == "Still alive."
    press_segment(again, qtbot)
    assert session.mask_layer is not None


def test_choosing_another_image_in_the_panel(panel, session, phantom_layer):
    other = session._viewer().add_image(np.random.default_rng(0).random((30, 30)), name="other")
    panel.image.value = other
    assert session.scan_layer is other


def test_a_scan_makes_the_network_ready_before_anybody_asks(panel, session, phantom_layer, qtbot):
    worker = session._worker
    qtbot.waitUntil(lambda: worker.is_ready(session.model, session.device), timeout=TIMEOUT_MS)
    assert session.mask_layer is None
    assert session.messages == ()


def test_the_first_answer_says_what_it_waits_for_and_the_bar_stands_still(panel, session, phantom_layer, qtbot):
    # A bar of the range 0..0 is an animation, whose frames took a third of the processor from the network.
    ranges = []
    session.state_changed.connect(lambda: ranges.append((panel.progress.minimum(), panel.progress.maximum())))
    qtbot.mouseClick(panel.segment, Qt.MouseButton.LeftButton)
    assert "being loaded" in panel.messages.text()
    qtbot.waitUntil(lambda: session.state == "idle", timeout=TIMEOUT_MS)
    assert "being loaded" not in panel.messages.text()
    assert ranges
    assert all(low < high for low, high in ranges)
    qtbot.mouseClick(panel.segment, Qt.MouseButton.LeftButton)
    assert "being loaded" not in panel.messages.text()


def test_cancel_button_goes_back_to_ready(panel, session, phantom_layer, qtbot):
    session.segment()
    qtbot.mouseClick(panel.cancel, Qt.MouseButton.LeftButton)
    assert panel.segment.isEnabled()
    assert "Cancelled" in panel.messages.text()


def test_a_report_file_is_opened(panel, session, tmp_path, monkeypatch, qtbot):
    (tmp_path / "r.txt").write_text("Opacity left.")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a, **k: (str(tmp_path / "r.txt"), ""))
    qtbot.mouseClick(panel.report._open, Qt.MouseButton.LeftButton)
    assert session.report.text == "Opacity left."


def test_what_does_not_agree_is_shown_in_amber(panel, session, phantom_layer, qtbot):
    result = panel.result
    session.segment().result(timeout=60)
    session.answer.segmentation = replace(session.segmentation, agreement=0.03, has_low_agreement=True)
    session.set_threshold(0.99)
    assert result.fit.text() == "3%"
    assert "the mask is empty" in result.checks.text()
    for label in (result.fit, result.checks):
        assert AMBER in label.styleSheet()
    session.answer.segmentation = replace(session.segmentation, agreement=0.93, has_low_agreement=False)
    session.set_threshold(0.5)
    assert result.fit.text() == "93%"
    assert AMBER not in result.fit.styleSheet()


def test_the_box_shows_the_mask_of_the_image_alone(panel, session, phantom_layer, qtbot):
    result = panel.result
    assert not result.image_only.isEnabled()
    segmentation = session.segment().result(timeout=60)
    result.image_only.click()
    np.testing.assert_array_equal(session.mask_layer.data, segmentation.image_only_mask)
    result.image_only.click()
    np.testing.assert_array_equal(session.mask_layer.data, segmentation.mask)
