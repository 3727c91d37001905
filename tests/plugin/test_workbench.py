"""The docked panel in a shown window, by mouse and keyboard."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QTextCursor
from qtpy.QtWidgets import QApplication, QWidget

from napari_tmca import open_workbench
from napari_tmca.layers import scan_to_layer_data
from napari_tmca.widgets import TmcaWidget

TIMEOUT_MS = 120_000
LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton


@pytest.fixture
def bench(make_napari_viewer, tiny_model, phantom, qtbot):
    """Viewer, panel and canvas of a shown window with a segmented phantom."""
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1280, 720)
    session = open_workbench(viewer)
    session.model, session.device = str(tiny_model), "cpu"
    data, attributes, _ = scan_to_layer_data(phantom.scan)
    session.choose_layer(viewer.add_layer(Image(data, **attributes)))
    session.set_report("Consolidation in the left lower zone. No pleural effusion. Hazy opacity at the right apex.")
    panel = next(w for w in viewer.window.dock_widgets.values() if isinstance(w, TmcaWidget))
    canvas = next(w for w in panel.window().findChildren(QWidget) if type(w).__name__.startswith("CanvasBackend"))
    found = session.segment().result(timeout=120)
    session.set_threshold(float(np.quantile(found.probability, 0.6)))
    viewer.fit_to_view()
    QApplication.processEvents()
    yield viewer, session, panel, canvas
    session.cancel()
    session.close()


def drag(qtbot, move_mouse, canvas, button, steps):
    qtbot.mousePress(canvas, button, pos=steps[0])
    for step in steps[1:]:
        move_mouse(canvas, step, button)
        QApplication.processEvents()
    qtbot.mouseRelease(canvas, button, pos=steps[-1])
    QApplication.processEvents()


def test_pointing_drawing_and_windowing(bench, qtbot, move_mouse):
    viewer, session, panel, canvas = bench
    heat, layer = session.heatmap_layer, session.mask_layer

    # A word of the report: its map fades in, and the whole report's comes back.
    chosen, opacity = heat.data.copy(), heat.opacity
    edit = panel.report._edit
    cursor = QTextCursor(edit.document().find("left"))
    cursor.setPosition(cursor.selectionStart() + 1)
    move_mouse(edit.viewport(), edit.cursorRect(cursor).center() + QPoint(2, 0))
    qtbot.waitUntil(lambda: 0 in session.maps.words, timeout=TIMEOUT_MS)
    qtbot.waitUntil(lambda: not np.array_equal(heat.data, chosen), timeout=5_000)
    move_mouse(edit.viewport(), QPoint(3, edit.viewport().height() - 2))
    qtbot.waitUntil(lambda: np.array_equal(heat.data, chosen), timeout=5_000)
    qtbot.waitUntil(lambda: heat.opacity == pytest.approx(opacity), timeout=5_000)

    # The mask: its sentences light up.
    told = []
    session.pointed.connect(told.append)
    session.canvas.pointed.emit(layer.data_to_world(tuple(np.argwhere(layer.data == 1)[0])))
    assert set(told[-1]) == {0, 2}
    rows = [panel.report._list.item(row) for row in (0, 1, 2)]
    lit = [row.background().color().alphaF() for row in rows]
    assert max(lit) > 0.5
    assert lit[1] == 0
    move_mouse(canvas, QPoint(4, 4))  # beside the picture
    qtbot.waitUntil(lambda: told[-1] == {}, timeout=5_000)

    # A stroke that excludes what it passes over is one step of undo, and moves no picture.
    rows, columns = np.mgrid[30:66, 10:70]
    layer.data_setitem((rows.ravel(), columns.ravel()), 1)
    panel.tabs.setCurrentWidget(panel.correct)
    qtbot.mouseClick(panel.correct.exclude, LEFT)
    before, centre = layer.data.copy(), tuple(viewer.scene.camera.center)
    middle = canvas.rect().center()
    drag(qtbot, move_mouse, canvas, LEFT, [middle + QPoint(dx, 10) for dx in (-60, -30, 0, 30, 60)])
    assert (layer.data < before).any()
    assert tuple(viewer.scene.camera.center) == centre
    qtbot.mouseClick(panel.correct.undo, LEFT)
    assert np.array_equal(layer.data, before)
    qtbot.mouseClick(panel.correct.exclude, LEFT)
    assert session.canvas.stroke is None
    assert viewer.scene.camera.mouse_pan

    # The right button: up brightens, right widens, and nothing zooms.
    scan, zoom = session.scan_layer, viewer.scene.camera.zoom
    low, high = scan.contrast_limits
    drag(qtbot, move_mouse, canvas, RIGHT, [middle, middle + QPoint(20, 0), middle + QPoint(40, 0)])
    assert np.diff(scan.contrast_limits)[0] > high - low
    assert viewer.scene.camera.zoom == zoom
    assert viewer.scene.camera.mouse_pan

    # Typing in live mode brings the mask up to date by itself, and the painted pixel stays.
    layer.data_setitem((np.array([1]), np.array([2])), 2)
    panel.report.live.setChecked(True)
    edit.moveCursor(QTextCursor.MoveOperation.End)
    qtbot.keyClicks(edit, " Nodule in the right base.")
    qtbot.waitUntil(lambda: session.state == "idle" and not session.is_outdated, timeout=TIMEOUT_MS)
    assert session.mask_layer is layer
    assert layer.data[1, 2] == 2


def test_nothing_is_cut_off_at_1280_by_720(bench):
    panel = bench[2]
    QApplication.processEvents()
    # Twice: the widest page may make the others wider than the panel.
    for page in 2 * (panel.result, panel.correct, panel.view, panel.preferences):
        panel.tabs.setCurrentWidget(page)
        QApplication.processEvents()
        inner = page.window().findChild(TmcaWidget)
        assert inner.width() <= 480
        for widget in page.findChildren(QWidget):
            if widget.isVisible():
                right = widget.mapTo(panel, QPoint(widget.width(), 0)).x()
                assert right <= panel.width() + 1, widget
