from __future__ import annotations

import time

import numpy as np
import pytest
from PIL import Image
from qtpy.QtCore import Qt

from napari_tmca.training import TrainingProcess
from napari_tmca.widgets import TmcaWidget
from napari_tmca.widgets.train import TrainWidget
from tmca_core.model.checkpoint import models_folder
from tmca_core.model.store import import_model, model_in_use
from tmca_core.phantom import make_phantom
from tmca_core.project import Draft, Project, Status

TIMEOUT_MS = 200_000


@pytest.fixture
def corrected(tmp_path):
    rows = ["id,image,mask,text,split,patient"]
    for seed in range(6):
        phantom = make_phantom(seed, shape=(64, 64))
        Image.fromarray(np.asarray(phantom.scan.pixels)).save(tmp_path / f"i{seed}.png")
        Image.fromarray(phantom.mask.astype(np.uint8) * 255).save(tmp_path / f"m{seed}.png")
        rows.append(f'c{seed},i{seed}.png,m{seed}.png,"{phantom.report_text}",train,p{seed}')
    (tmp_path / "cases.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


@pytest.fixture
def train(session, tiny_model, qtbot, tmp_path, monkeypatch, corrected):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    import_model(tiny_model, "tiny")
    session.model = "tiny"
    widget = TrainWidget(session._viewer())
    qtbot.addWidget(widget)
    widget.resize(460, 900)
    widget.show()
    widget.folder.setText(str(corrected))
    widget.minutes.setValue(0.1)
    yield widget
    if widget.training is not None:
        widget.training.kill()
    widget._timer.stop()


def press(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_without_cases_nothing_can_be_started(train):
    assert "6 cases of 6 patients; a fifth of the patients is held out" in train.which.text()
    assert train.start.isEnabled()
    train.folder.setText("/nowhere")
    assert "expected a data folder" in train.which.text()
    assert not train.start.isEnabled()


def test_learn_compare_use_and_roll_back(train, session, qtbot):
    panel = TmcaWidget(session._viewer())
    qtbot.addWidget(panel)
    press(qtbot, train.start)
    assert not train.start.isEnabled()
    qtbot.waitUntil(lambda: len(train.plots.points["dice"][0]) >= 1, timeout=TIMEOUT_MS)
    assert train.plots.points["loss"][0]
    press(qtbot, train.stop)
    qtbot.waitUntil(lambda: train.result is not None, timeout=TIMEOUT_MS)
    assert train.table.rowCount() == 2 + 2
    assert train.table.item(3, 0).text() == "reference set"
    assert train.verdict.text()
    assert (models_folder() / "tiny-2" / "adapter.safetensors").exists()
    assert session.model == "tiny", "nothing is used by itself"
    press(qtbot, train.use)
    assert session.model == model_in_use() == "tiny-2"
    assert panel.model.value == "tiny-2"
    assert "In use: tiny-2" in train.in_use.text()
    press(qtbot, train.roll_back)
    assert session.model == model_in_use() == "tmca-compact"
    press(qtbot, train.roll_back)
    assert "nothing to go back to" in train.status.text()


def test_cancel_is_quick_and_changes_nothing_also_from_another_window(train, session, qtbot):
    press(qtbot, train.start)
    qtbot.waitUntil(lambda: bool(train.plots.points["loss"][0]), timeout=TIMEOUT_MS)
    qtbot.mouseClick(train.pause, Qt.MouseButton.LeftButton)
    assert train.status.text() == "Paused."
    other = TrainWidget(session._viewer())
    qtbot.addWidget(other)
    assert other.training is not None, "a training outlives its window, and is found"
    qtbot.waitUntil(lambda: bool(other.plots.points["loss"][0]), timeout=5000)
    press(qtbot, train.cancel)
    qtbot.waitUntil(lambda: train.training is None, timeout=2000)
    assert train.status.text() == "Cancelled; nothing was changed."
    assert not (models_folder() / "tiny-2").exists()
    qtbot.waitUntil(lambda: other.training is None, timeout=2000)


def test_a_training_that_is_killed_or_fails_is_said(train, qtbot, corrected):
    press(qtbot, train.start)
    qtbot.waitUntil(lambda: bool(train.plots.points["loss"][0]), timeout=TIMEOUT_MS)
    train.training.process.kill()
    qtbot.waitUntil(lambda: train.training is None, timeout=5000)
    assert "ended from outside" in train.status.text()
    (corrected / "m0.png").unlink()
    failing = TrainingProcess.start(models_folder() / "x", ["--data", str(corrected), "--model", "tiny"])
    failing.process.wait()
    assert "missing: 1 mask" in failing.complaint()


@pytest.fixture
def study(train, session, tmp_path, write_images):
    """An open project of seven phantoms, the first six corrected."""
    images = write_images(make_phantom(seed, shape=(64, 64)) for seed in range(7))
    with Project.create(tmp_path / "study") as project:
        list(project.add([images]))
        for seed in range(6):
            with project.open_case(f"{seed + 1:05d}", "ann") as case:
                mask = make_phantom(seed, shape=(64, 64)).mask.astype(np.uint8)
                case.save(case.read_scan(), Draft(corrected=mask, status=Status.CORRECTED))
    session.open_project(tmp_path / "study")
    yield session.cases
    session.cases.close()


def test_the_cases_of_the_open_project_and_their_held_out_marks(train, study):
    cases = train.cases
    assert train.folder.text() == str(study.project.folder)
    assert "6 cases corrected or approved; 2 held out to judge by." in train.which.text()
    assert cases.arguments()[0] == "--project"
    marks = [cases.table.item(row, 4) for row in range(6)]
    assert sum(mark.checkState() == Qt.CheckState.Checked for mark in marks) == 2
    row = next(row for row, mark in enumerate(marks) if mark.checkState() == Qt.CheckState.Checked)
    case_id = cases.table.item(row, 0).text()
    marks[row].setCheckState(Qt.CheckState.Unchecked)
    assert study.project.held_out == {case_id: False}
    assert cases.table.item(row, 4).text() == "your mark"
    assert cases.table.item(row, 4).checkState() == Qt.CheckState.Unchecked
    assert "2 held out" in train.which.text(), "others judge in its place"
    cases.table.item(row, 4).setCheckState(Qt.CheckState.Checked)
    assert study.project.held_out == {case_id: True}
    cases.clear_marks.click()
    assert study.project.held_out == {}
    assert "2 held out" in train.which.text()


def test_a_training_that_ended_while_no_window_was_open_is_shown_and_stepped_through(train, study, session, qtbot):
    train.begin()
    qtbot.waitUntil(lambda: len(train.plots.points["dice"][0]) >= 1, timeout=TIMEOUT_MS)
    train.training.tell("stop")
    process = train.training.process
    train._timer.stop()  # as when the window is closed
    train.training = None
    process.wait(timeout=TIMEOUT_MS / 1000)
    later = TrainWidget(session._viewer())
    qtbot.addWidget(later)
    later.resize(460, 900)
    later.show()
    assert later.result is not None
    assert later.verdict.text()
    assert later.pages.currentIndex() == 2
    assert later.table.item(later.table.rowCount() - 2, 1).text().endswith(")"), "the mean has its interval"
    assert len(later.examples.pictures) == 2
    worst = later.table.item(0, 0).text()
    assert later.examples.caption.text().startswith(f"{worst} (1 of 2): ")
    later.examples.next.click()
    assert later.examples.caption.text().startswith(f"{later.table.item(1, 0).text()} (2 of 2): ")
    later.table.selectRow(0)
    assert later.examples.index == 0
    folder = models_folder() / "tiny-2"
    assert len(list((folder / "run" / "examples").glob("*.png"))) == 2
    later.keep_old()
    assert not (folder / "run").exists(), "no picture of a patient stays behind"
    assert (folder / "adapter.safetensors").exists()
    assert not later.examples.pictures


def test_cancel_takes_less_than_two_seconds_at_any_time(train, study, qtbot):
    for is_early in (True, False):
        train.begin()
        if not is_early:
            qtbot.waitUntil(lambda: bool(train.plots.points["loss"][0]), timeout=TIMEOUT_MS)
        began = time.monotonic()
        train.cancel.click()
        qtbot.waitUntil(lambda: train.training is None, timeout=4000)
        assert time.monotonic() - began < 2.0
        assert train.status.text() == "Cancelled; nothing was changed."
        assert not (models_folder() / "tiny-2").exists()
