from __future__ import annotations

import pytest
from napari.layers import Image
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication, QFileDialog, QWidget

from napari_tmca.commands import show_first_steps
from napari_tmca.settings import read_settings
from napari_tmca.widgets import TmcaWidget
from tmca_core.io import read_scan
from tmca_core.phantom import make_phantom


@pytest.fixture
def panel(session, qtbot):
    widget = TmcaWidget(session._viewer())
    qtbot.addWidget(widget)
    widget.resize(380, 640)
    widget.show()
    return widget


@pytest.fixture
def picture(tmp_path):
    from PIL import Image as Picture

    path = tmp_path / "chest.png"
    Picture.fromarray(make_phantom(1, shape=(40, 50)).scan.pixels).save(path)
    return path


def test_the_steps_stand_where_no_scan_is_open_and_go_with_one(panel, session, picture):
    assert panel.guide.isVisible()
    assert not panel.tabs.isVisible()
    session.open_scan(picture)
    assert not panel.guide.isVisible()
    assert panel.tabs.isVisible()


def test_the_phantom_is_ready_to_be_segmented(panel, session, qtbot):
    qtbot.mouseClick(panel.guide.phantom, Qt.MouseButton.LeftButton)
    assert isinstance(session.scan_layer, Image)
    assert session.report.used
    assert panel.report.value() == session.report.text
    assert not panel.guide.isVisible()
    assert panel.segment.isEnabled()
    assert "Press Segment" in panel.messages.text()
    session.segment().result(timeout=120)
    assert session.mask_layer is not None


def test_a_scan_is_opened_from_the_steps(panel, session, qtbot, picture, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a, **k: (str(picture), ""))
    qtbot.mouseClick(panel.guide.open, Qt.MouseButton.LeftButton)
    assert (session.scan_layer.data == read_scan(picture).pixels).all()
    assert not panel.guide.isVisible()


def test_hidden_steps_stay_away_in_this_viewer_only(panel, session, qtbot):
    qtbot.mouseClick(panel.guide.hide_now, Qt.MouseButton.LeftButton)
    assert not panel.guide.isVisible()
    assert read_settings().first_steps
    again = TmcaWidget(session._viewer())
    qtbot.addWidget(again)
    again.show()
    assert not again.guide.isVisible()


def test_dismissed_steps_stay_away_for_good_and_come_back_when_asked_for(panel, session, qtbot, make_napari_viewer):
    from napari_tmca.session import session_of

    qtbot.mouseClick(panel.guide.dismiss, Qt.MouseButton.LeftButton)
    assert not panel.guide.isVisible()
    assert not read_settings().first_steps
    other = session_of(make_napari_viewer())
    assert not other.first_steps.is_shown
    other.close()
    session.first_steps.show()
    assert panel.guide.isVisible()
    assert not read_settings().first_steps


def test_asked_for_beside_a_scan_they_go_with_the_next_one(panel, session, picture):
    session.open_scan(picture)
    session.first_steps.show()
    assert panel.guide.isVisible()
    session.set_report("Opacity.")
    session.layers_changed.emit()
    assert panel.guide.isVisible()
    session.first_steps.try_phantom()
    assert not panel.guide.isVisible()


def test_the_command_docks_the_panel_and_shows_them(session):
    viewer = session._viewer()
    session.first_steps.hide()
    show_first_steps(viewer)
    panel = next(w for w in viewer.window.dock_widgets.values() if isinstance(w, TmcaWidget))
    assert panel.guide.isVisibleTo(panel)


def test_the_steps_are_reached_and_pressed_with_the_keyboard(panel, session, qtbot):
    panel.activateWindow()
    panel.guide.open.setFocus()
    reached = [panel.guide.open]
    for _ in range(4):
        qtbot.keyClick(panel.focusWidget(), Qt.Key.Key_Tab)
        reached.append(panel.focusWidget())
    guide = panel.guide
    assert reached == [guide.open, guide.open_folder, guide.phantom, guide.hide_now, guide.dismiss]
    guide.phantom.setFocus()
    qtbot.keyClick(guide.phantom, Qt.Key.Key_Space)
    assert session.scan_layer is not None
    assert panel.focusWidget() is panel.segment


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_nothing_of_the_steps_and_settings_is_cut_off_at_1280_by_720(session, theme):
    viewer = session._viewer()
    viewer.theme = theme
    viewer.window.resize(1280, 720)
    show_first_steps(viewer)
    viewer.window.show()
    QApplication.processEvents()
    panel = next(w for w in viewer.window.dock_widgets.values() if isinstance(w, TmcaWidget))
    assert_inside(panel.guide, panel)
    assert_inside(panel.segment, panel)
    assert bottom(panel.segment, panel) <= panel.status.y()
    session.first_steps.try_phantom()
    panel.tabs.setCurrentWidget(panel.preferences)
    QApplication.processEvents()
    assert_inside(panel.preferences, panel)
    assert panel.width() <= 480


def assert_inside(page, panel):
    assert page.isVisible()
    for widget in (page, *page.findChildren(QWidget)):
        if widget.isVisibleTo(panel):
            assert widget.mapTo(panel, QPoint(widget.width(), 0)).x() <= panel.width() + 1, widget


def bottom(widget, panel):
    return widget.mapTo(panel, QPoint(0, widget.height())).y()
