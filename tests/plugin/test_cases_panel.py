from __future__ import annotations

import json
from dataclasses import replace
from time import perf_counter

import napari
import numpy as np
import pytest
import tifffile
from napari.settings import get_plugin_settings, get_settings
from napari.utils.shortcuts import default_shortcuts
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QFileDialog

from napari_tmca.actions import action
from napari_tmca.commands import show_cases
from napari_tmca.session import session_of
from napari_tmca.settings import change_settings
from napari_tmca.widgets.case_table import CASE, STATUS, THUMBNAIL
from napari_tmca.widgets.cases import CasesWidget
from napari_tmca.worker import Cancelled
from tmca_core.errors import ProjectError
from tmca_core.phantom import make_phantom
from tmca_core.project import Draft, Project, Status

TIMEOUT_MS = 120_000


@pytest.fixture
def images(write_images):
    return write_images(make_phantom(seed, shape=(64, 56)) for seed in range(3))


@pytest.fixture
def panel(session, qtbot):
    widget = CasesWidget(session._viewer())
    qtbot.addWidget(widget)
    widget.resize(480, 800)
    widget.show()
    yield widget
    session.cases.close()


@pytest.fixture
def full(panel, images, tmp_path):
    with Project.create(tmp_path / "study") as project:
        list(project.add([images]))
    panel.session.open_project(tmp_path / "study")
    return panel


def drop(panel, *paths):
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    panel.dropEvent(QDropEvent(QPointF(5, 5), Qt.DropAction.CopyAction, mime, left, none))


def shown(panel):
    return [panel.model.index(row, CASE).data() for row in range(panel.model.rowCount())]


def click(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_without_a_project_only_open_can_be_pressed(panel):
    assert panel.open.isEnabled()
    for button in (panel.add, panel.next, panel.save, panel.finish, panel.approve):
        assert not button.isEnabled()


def test_a_project_is_made_and_a_dropped_folder_becomes_its_cases(panel, images, tmp_path, monkeypatch, qtbot):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a, **k: str(tmp_path / "new"))
    click(qtbot, panel.open)
    assert "Drop images" in panel.project.text()
    drop(panel, images)
    qtbot.waitUntil(lambda: panel.model.rowCount() == 3, timeout=20_000)
    assert "3 new" in panel.project.text()
    index = panel.model.index(0, THUMBNAIL)
    icon, room = index.data(Qt.ItemDataRole.DecorationRole), panel.table.visualRect(index).size()
    shown = icon.actualSize(panel.table.iconSize())
    assert not shown.isEmpty()
    assert shown.width() <= room.width()
    assert shown.height() <= room.height()


def test_filter_and_sort_by_mouse_and_keyboard(full, qtbot):
    qtbot.keyClicks(full.filter, "chest1")
    assert shown(full) == ["00002"]
    full.filter.clear()
    header = full.table.horizontalHeader()
    header.setSortIndicator(CASE, Qt.SortOrder.DescendingOrder)
    assert shown(full) == ["00003", "00002", "00001"]
    full.status.setCurrentIndex(full.status.findData("flagged"))
    full.status.activated.emit(full.status.currentIndex())
    assert shown(full) == []


def test_next_follows_the_table_and_the_keyboard_is_enough(full, qtbot):
    full.table.selectRow(1)
    full.table.setFocus()
    qtbot.keyClick(full.table, Qt.Key.Key_Return)
    assert full.work.case.record.id == "00002"
    qtbot.keyClick(full.table, Qt.Key.Key_Down, Qt.KeyboardModifier.AltModifier)
    assert full.work.case.record.id == "00003"
    qtbot.keyClick(full.table, Qt.Key.Key_Up, Qt.KeyboardModifier.AltModifier)
    assert full.table.currentIndex().row() == 1


def test_done_in_a_filtered_list_goes_to_what_followed(full, session, qtbot):
    full.status.setCurrentIndex(full.status.findData("new"))
    full.status.activated.emit(full.status.currentIndex())
    click(qtbot, full.next)
    click(qtbot, full.empty)
    click(qtbot, full.finish)
    assert shown(full) == ["00002", "00003"]
    assert full.work.case.record.id == "00002"
    assert full.work.project.case("00001").status == Status.CORRECTED


def test_an_error_stands_in_the_panel(full, qtbot):
    click(qtbot, full.next)
    click(qtbot, full.finish)
    assert "has no mask" in full.messages.text()
    click(qtbot, full.flag)
    assert "flagged with a comment" in full.messages.text()


def test_a_second_reader_approves_and_returns_with_the_panel(full, qtbot):
    with full.work.project.open_case("00001", "ann") as case:
        scan = case.read_scan()
        mask = np.ones(scan.shape, dtype=np.uint8)
        case.save(scan, Draft(ai=mask, network={}, corrected=mask, status=Status.CORRECTED))
    full.work.refresh()
    full.work.open_case("00001")
    assert full.dice.text().endswith("1.000")
    full.outlines.click()
    assert sum(bool(getattr(layer, "contour", 0)) for layer in full.session._viewer().layers) == 2
    qtbot.keyClicks(full.comment, "Apex.")
    click(qtbot, full.give_back)
    assert full.model.index(0, STATUS).data() == "flagged"
    click(qtbot, full.approve)
    assert full.model.index(0, STATUS).data() == "approved"


def test_ten_thousand_rows_scroll_smoothly(full, qtbot):
    record = full.work.project.case("00001")
    records = [replace(record, id=f"{number:05d}") for number in range(1, 10_001)]
    full.model.set_cases(full.work.project, records)
    bar = full.table.verticalScrollBar()
    times = []
    for value in np.linspace(0, bar.maximum(), 40).astype(int):
        start = perf_counter()
        bar.setValue(int(value))
        full.table.viewport().repaint()
        times.append(perf_counter() - start)
    assert np.median(times) < 0.1
    assert len(full.model._icons) <= 1000


def test_the_key_shadows_none_of_napari_s_and_can_be_changed(full, session):
    taken = {str(key) for keys in default_shortcuts.values() for key in keys}
    assert action("finish_case").key not in taken
    assert full.finish.shortcut().toString() == "Ctrl+Return"
    assert action("finish_case").key in {str(key) for key in napari.Viewer.class_keymap}
    settings = get_settings().shortcuts
    before = dict(settings.shortcuts)
    try:
        settings.shortcuts = {**before, action("finish_case").shortcut: ["Ctrl+Alt+Y"]}
        assert full.finish.shortcut().toString() == "Ctrl+Alt+Y"
    finally:
        settings.shortcuts = before


def test_a_closed_panel_leaves_no_zombie_and_keeps_the_case(full, session, qtbot):
    full.work.open_case("00002")
    viewer = session._viewer()
    other = CasesWidget(viewer)
    other.deleteLater()
    del other
    qtbot.wait(50)
    session.next_case()
    assert session.cases.case.record.id == "00003"


def test_the_command_docks_the_panel(session, qtbot):
    viewer = session._viewer()
    show_cases(viewer)
    assert "Cases" in " ".join(viewer.window.dock_widgets)


def test_from_three_phantoms_to_a_study(full, session, qtbot):
    """Open, segment, paint, done, next; what is opened again equals what was left."""
    kept = {}
    click(qtbot, full.next)
    for number in (1, 2, 3):
        case_id = f"{number:05d}"
        assert full.work.case.record.id == case_id
        found = session.segment().result(timeout=120)
        layer = session.mask_layer
        layer.data_setitem((np.arange(10) + number, np.arange(10)), 1)
        kept[case_id] = (found.mask.copy(), np.asarray(layer.data).copy(), session.report.text)
        click(qtbot, full.finish)  # its key, Ctrl+Enter, needs an active window, which Xvfb may not give
        qtbot.waitUntil(
            lambda case_id=case_id: full.work.project.case(case_id).status == Status.CORRECTED, timeout=TIMEOUT_MS
        )
    assert "last case" in full.messages.text()
    folder = full.work.project.folder
    full.work.close_case()
    with Project.open(folder) as project:
        assert project.counts() == {Status.CORRECTED: 3}
        for case_id, (ai, mask, text) in kept.items():
            with project.open_case(case_id) as case:
                assert np.array_equal(case.mask("ai"), ai)
                assert np.array_equal(case.mask("corrected"), mask)
                assert case.report() == text
    for case_id, (_, mask, text) in kept.items():
        full.work.open_case(case_id)
        assert np.array_equal(session.mask_layer.data, mask)
        assert session.report.text == text
        assert not full.work.has_changes


def choose_status(panel, status):
    panel.status.setCurrentIndex(panel.status.findData(status))
    panel.status.activated.emit(panel.status.currentIndex())


def test_all_new_cases_are_segmented_while_another_is_on_the_screen(full, session, qtbot):
    full.work.open_case("00002")
    full.work.add_empty_mask()
    session.mask_layer.data_setitem((np.arange(10), np.arange(10)), 1)
    before, layers = np.asarray(session.mask_layer.data).copy(), list(session._viewer().layers)
    formats, statuses = [], []
    full.work.jobs.segmenting.connect(lambda *_: formats.append(full.batch.format()))
    full.work.jobs.case_segmented.connect(lambda *_: statuses.append(full.model.index(0, STATUS).data()))
    assert not full.batch.isVisible()
    click(qtbot, full.segment_all)
    assert full.batch.isVisible()
    assert full.cancel.isVisible()
    assert not full.segment_all.isEnabled()
    qtbot.waitUntil(lambda: not full.work.jobs.is_segmenting_all, timeout=TIMEOUT_MS)
    assert formats[:2] == ["Segmenting 1 of 3", "Segmenting 3 of 3"]
    assert statuses[0] == "segmented"
    assert not full.batch.isVisible()
    assert full.messages.text() == "Segmented 2 cases; 1 left alone: Case 00002: It is open on the screen."
    assert full.work.case.record.id == "00002"
    assert list(session._viewer().layers) == layers
    assert np.array_equal(session.mask_layer.data, before)
    assert session.segmentation is None
    assert [full.model.index(row, STATUS).data() for row in range(3)] == ["segmented", "new", "segmented"]
    assert not full.segment_all.isEnabled() or full.work.jobs.new_cases() == ["00002"]


def test_a_batch_stores_what_a_segmentation_by_hand_stores(full, session, qtbot):
    full.work.who = "ann"
    full.work.open_case("00001")
    by_hand = session.segment().result(timeout=120)
    full.work.save()
    full.work.close_case()
    folder = full.work.project.case_folder("00001")
    first = full.work.project.case("00001")
    told = json.loads((folder / f"{first.ai.name}.json").read_text())
    with Project.open(full.work.project.folder) as project, project.open_case("00001", "") as case:
        case.save(case.read_scan(), Draft(status=Status.NEW))
    full.work.refresh()
    outcomes = session.cases.jobs.segment_all().result(timeout=120)
    assert len(outcomes) == 3
    again = full.work.project.case("00001")
    assert again.ai.sha256 == first.ai.sha256
    told_again = json.loads((folder / f"{again.ai.name}.json").read_text())
    varying = ("created", "revision", "active_s")
    assert {k: v for k, v in told_again.items() if k not in varying} == {
        k: v for k, v in told.items() if k not in varying
    }
    full.work.open_case("00001")
    assert np.array_equal(session.mask_layer.data, by_hand.mask)
    assert not full.work.has_changes


def test_only_new_cases_that_the_filter_shows_are_segmented(full, qtbot):
    full.work.project.case("00003").image.unlink()
    qtbot.keyClicks(full.filter, "chest2")
    click(qtbot, full.segment_all)
    qtbot.waitUntil(lambda: not full.work.jobs.is_segmenting_all, timeout=TIMEOUT_MS)
    assert full.messages.text().startswith("Segmented 0 cases; 1 could not be read: chest2.png: the image chest2.png")
    full.filter.clear()
    assert full.work.project.counts() == {Status.NEW: 3}
    choose_status(full, "approved")
    assert not full.segment_all.isEnabled()


def test_a_batch_is_cancelled_and_what_was_segmented_stays(full, session, qtbot):
    full.work.jobs.case_segmented.connect(lambda *_: full.cancel.click())
    future = session.cases.jobs.segment_all()
    assert session.cases.jobs.segment_all() is future
    with pytest.raises(Cancelled):
        future.result(timeout=120)
    assert full.messages.text() == "Cancelled. Segmented 1 case."
    assert full.work.project.counts() == {Status.NEW: 2, Status.SEGMENTED: 1}
    assert full.segment_all.isEnabled()
    full.work.open_case("00002")
    assert not full.work.case.is_read_only


def test_a_case_under_the_network_is_not_opened_and_one_asked_for_in_between_is_segmented(full, session, qtbot):
    full.work.open_case("00003")
    order = []
    full.work.jobs.case_segmented.connect(lambda record: order.append(record.id))
    session._segmenter.finished.connect(lambda: order.append("asked"))
    future = session.cases.jobs.segment_all()
    with pytest.raises(ProjectError, match="being segmented at this moment"):
        full.work.open_case("00001")
    segmentation = session.segment().result(timeout=120)
    assert len(future.result(timeout=120)) == 3
    assert order == ["00001", "asked", "00002"]
    assert np.array_equal(session.mask_layer.data, segmentation.mask)


def test_a_model_that_is_not_there_ends_the_batch_with_one_sentence(full, session, qtbot):
    session.model = "nowhere"
    click(qtbot, full.segment_all)
    qtbot.waitUntil(lambda: not full.work.jobs.is_segmenting_all, timeout=TIMEOUT_MS)
    assert "nowhere" in full.messages.text()
    assert "\n" not in full.messages.text()
    assert full.work.project.counts() == {Status.NEW: 3}


def test_the_project_of_the_last_time_is_one_click_away(full, session, qtbot, make_napari_viewer):
    assert not full.go_on.isVisible()
    folder = full.work.project.folder
    session.cases.close()
    get_plugin_settings().clear()  # as a new process starts
    other = session_of(make_napari_viewer())
    panel = CasesWidget(other._viewer())
    qtbot.addWidget(panel)
    panel.show()
    assert panel.go_on.isVisible()
    assert panel.go_on.text() == "Continue: study"
    click(qtbot, panel.go_on)
    assert panel.work.project.folder == folder
    assert panel.model.rowCount() == 3
    assert not panel.go_on.isVisible()
    other.close()


def test_a_project_that_is_gone_costs_one_sentence_and_is_not_made_anew(panel, tmp_path, qtbot):
    change_settings(last_project=str(tmp_path / "gone"))
    panel.refresh()
    click(qtbot, panel.go_on)
    assert panel.messages.text().startswith("The project gone is not where it was")
    assert panel.work.project is None
    assert not (tmp_path / "gone").exists()


def test_at_the_very_first_start_nothing_is_offered_to_continue(panel):
    assert not panel.go_on.isVisible()
    assert panel.open.isVisible()


def test_an_export_is_cancelled_amid_a_large_volume_and_leaves_nothing(panel, qtbot, tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 255, (160, 512, 512), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "large.tif", pixels, photometric="minisblack")
    with Project.create(tmp_path / "study") as project:
        list(project.add([tmp_path / "large.tif"]))
        with project.open_case("00001", "ann") as case:
            case.save(case.read_scan(), Draft(corrected=np.zeros(pixels.shape, np.uint8)))
    panel.session.open_project(tmp_path / "study")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a, **k: str(tmp_path / "out"))
    panel.layouts.actions()[0].trigger()
    qtbot.waitUntil(lambda: (tmp_path / "out").exists(), timeout=TIMEOUT_MS)
    qtbot.waitUntil(panel.cancel_files.isVisible, timeout=TIMEOUT_MS)
    click(qtbot, panel.cancel_files)
    qtbot.waitUntil(lambda: not panel.progress.isVisible(), timeout=20_000)
    assert panel.messages.text() == "The export was cancelled; nothing was left in out."
    assert not panel.cancel_files.isVisible()
    assert not (tmp_path / "out").exists()


def test_selected_cases_are_exported_for_training_programs(full, session, qtbot, tmp_path, monkeypatch):
    for case_id in ("00001", "00002"):
        full.work.open_case(case_id)
        full.work.add_empty_mask()
        session.mask_layer.data_setitem((np.arange(9) + 9, np.arange(9) + 9), 1)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a, **k: str(tmp_path / "out"))
    nnunet, coco = full.layouts.actions()
    nnunet.trigger()
    qtbot.waitUntil(lambda: "Exported" in full.messages.text(), timeout=20_000)
    assert full.messages.text().splitlines() == [
        "Exported 2 cases to out.",
        "Not exported: chest2.png: It has no mask.",
    ]
    assert len(list((tmp_path / "out" / "labelsTr").iterdir())) == 2
    full.table.selectAll()
    coco.trigger()
    qtbot.waitUntil(lambda: "expected an empty folder" in full.messages.text(), timeout=20_000)
    assert not full.progress.isVisible()
