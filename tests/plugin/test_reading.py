"""What napari shows of a scan lies where the file puts it; folders open, and one of several series is asked for."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom.data
import pytest
from PIL import Image
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QInputDialog, QProgressDialog, QPushButton

from napari_tmca import choose
from napari_tmca.layers import SCAN_KEY
from napari_tmca.reader import get_reader
from tmca_core.errors import ChoiceError, TmcaError

OBLIQUE = np.array([[-0.67, 0.2, 0.1, 30], [0.2, 0.88, -0.3, -20], [0.06, 0.3, 2.9, 10], [0, 0, 0, 1.0]])
AFFINES = {
    "ras": np.diag([0.7, 0.9, 3.0, 1.0]),
    "flipped": np.diag([-0.7, 0.9, -3.0, 1.0]),
    "sagittal": np.array([[0, 0, 3.0, 0], [0.7, 0, 0, 0], [0, 0.9, 0, 0], [0, 0, 0, 1.0]]),
    "oblique": OBLIQUE,
}


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
def test_a_landmark_is_shown_where_the_file_puts_it(make_napari_viewer, tmp_path, affine):
    landmarks = {(1, 2, 3): 100, (9, 7, 1): 200}
    stored = np.zeros((12, 10, 6), np.int16)
    for index, value in landmarks.items():
        stored[index] = value
    nib.save(nib.Nifti1Image(stored, affine), tmp_path / "scan.nii.gz")
    viewer = make_napari_viewer()
    (layer,) = viewer.open(tmp_path / "scan.nii.gz", plugin="napari-tmca")
    scan = layer.metadata[SCAN_KEY]
    shown = {}
    for index, value in landmarks.items():
        (where,) = np.argwhere(layer.data == value)
        ras = (affine @ [*index, 1])[:3]
        np.testing.assert_allclose((scan.affine_ras @ [*where, 1])[:3], ras, atol=1e-4)
        shown[value] = np.array(layer.data_to_world(where)), ras
        viewer.dims.set_point(0, layer.data_to_world(where)[0])
        assert layer.get_value(layer.data_to_world(where), world=True) == value
    steps = np.linalg.norm(scan.affine_ras[:3, :3], axis=0)
    np.testing.assert_allclose(layer.scale, steps, rtol=1e-5)
    (one, one_ras), (other, other_ras) = shown.values()
    # Right of the patient at the left, front at the top, feet first; for an oblique scan as nearly as it can be.
    along = scan.affine_ras[:3, :3] / steps
    np.testing.assert_allclose(other - one, np.linalg.solve(along, other_ras - one_ras), atol=1e-4)
    assert [int(np.argmax(np.abs(along[:, axis]))) for axis in range(3)] == [2, 1, 0]
    assert along[2, 0] > 0 > max(along[1, 1], along[0, 2])


@pytest.fixture
def disc(tmp_path):
    """Make a folder with two series of one image each, copied from pydicom's files, without suffixes."""
    for name in ("CT_small.dcm", "MR_small.dcm"):
        shutil.copy(pydicom.data.get_testdata_file(name), tmp_path / name.removesuffix(".dcm"))
    return tmp_path


def test_a_folder_of_several_series_asks_which(make_napari_viewer, disc, monkeypatch):
    asked = []

    def get_item(parent, title, label, lines, *_):
        asked.extend(lines)
        return lines[1], True

    monkeypatch.setattr(QInputDialog, "getItem", get_item)
    viewer = make_napari_viewer()
    (layer,) = viewer.open(disc, plugin="napari-tmca")
    assert layer.data.shape == (64, 64)
    assert [line[:5] for line in asked] == ["1: CT", "2: MR"]


def test_of_two_affines_that_disagree_one_is_asked_for(make_napari_viewer, tmp_path, monkeypatch):
    image = nib.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4))
    image.set_qform(np.diag([1.0, 1.0, 5.0, 1.0]), 1)
    image.set_sform(np.eye(4), 2)
    nib.save(image, tmp_path / "scan.nii.gz")
    monkeypatch.setattr(QInputDialog, "getItem", lambda parent, title, label, lines, *_: (lines[1], True))
    (layer,) = make_napari_viewer().open(tmp_path / "scan.nii.gz", plugin="napari-tmca")
    assert layer.metadata[SCAN_KEY].notes[0] == "qform and sform disagree: the qform is used, as asked."


def test_a_series_without_spacing_asks_for_it_until_it_is_one(make_napari_viewer, tmp_path, monkeypatch):
    answers, questions = ["many", "0.7 0.6"], []
    for number in range(3):
        dataset = pydicom.dcmread(pydicom.data.get_testdata_file("CT_small.dcm"))
        del dataset.PixelSpacing
        dataset.ImagePositionPatient = [0, 0, 4 * number]
        dataset.save_as(tmp_path / f"{number}.dcm")

    def get_text(parent, title, question, **_):
        questions.append(question)
        return answers.pop(0), True

    monkeypatch.setattr(QInputDialog, "getText", get_text)
    (layer,) = make_napari_viewer().open(tmp_path, plugin="napari-tmca")
    np.testing.assert_allclose(layer.scale, (4, 0.7, 0.6))
    assert "Spacing given by hand, 0.7 x 0.6 mm: the file states none." in layer.metadata[SCAN_KEY].notes
    assert "no pixel spacing" in questions[0]
    assert "got 'many'" in questions[1]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep names in Unicode")
def test_a_name_that_is_no_text_becomes_a_layer(make_napari_viewer, tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png"))
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8)).save(path)
    (layer,) = make_napari_viewer().open(path, plugin="napari-tmca")
    assert layer.name == "\\xff.png"
    assert layer.data.shape == (6, 8)


def test_a_folder_without_dicom_is_left_to_others(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    assert get_reader(str(tmp_path)) is None


def test_without_a_window_the_choice_is_an_error(disc, monkeypatch):
    monkeypatch.setattr("napari_tmca.choose._can_ask", lambda: False)
    with pytest.raises(ChoiceError, match="expected one series, got 2"):
        get_reader(str(disc))(str(disc))


@pytest.fixture
def slow_series(tmp_path, monkeypatch):
    """Make a series of twelve slices, each of which takes a while to be decoded."""
    from tmca_core.io import dicom

    folder = tmp_path / "series"
    folder.mkdir()
    dataset = pydicom.dcmread(pydicom.data.get_testdata_file("CT_small.dcm"))
    for z in range(12):
        dataset.ImagePositionPatient = [0, 0, 2.0 * z]
        dataset.SOPInstanceUID = f"1.2.3.{z + 1}"
        dataset.save_as(folder / f"{z}.dcm")
    decode, threads = dicom.decode, []

    def slowly(name, dataset):
        threads.append(threading.current_thread().name)
        time.sleep(0.15)
        return decode(name, dataset)

    monkeypatch.setattr(dicom, "decode", slowly)
    return folder, threads


def test_a_series_is_read_off_the_gui_thread_with_progress(make_napari_viewer, slow_series, qapp):
    folder, threads = slow_series
    viewer = make_napari_viewer()
    seen = []
    timer = QTimer()
    timer.timeout.connect(lambda: seen.extend(d.labelText() for d in _dialogs(qapp)))
    timer.start(20)
    (layer,) = viewer.open(folder, plugin="napari-tmca")
    timer.stop()
    assert layer.data.shape == (12, 128, 128)
    assert set(threads) == {"tmca-reading"}
    assert any("series: reading slices, 6 of 12" in text for text in seen)  # the window was alive all the while
    qapp.processEvents()
    assert not _dialogs(qapp)


def test_what_is_read_within_a_moment_shows_no_dialog(make_napari_viewer, tmp_path, monkeypatch, qapp):
    def slowly(name, read=choose.read_scan_steps):
        time.sleep(0.5)  # as the first picture, whose decoder has to start
        return (yield from read(name))

    Image.fromarray(np.eye(32, dtype=np.uint8)).save(tmp_path / "first.png")
    monkeypatch.setattr(choose, "read_scan_steps", lambda path, **_: slowly(path))
    viewer, seen, timer = make_napari_viewer(), [], QTimer()
    timer.timeout.connect(lambda: seen.extend(_dialogs(qapp)))
    timer.start(20)
    assert viewer.open(tmp_path / "first.png", plugin="napari-tmca")
    timer.stop()
    assert seen == []


def test_a_reading_can_be_cancelled(make_napari_viewer, slow_series, qapp):
    folder, threads = slow_series
    viewer = make_napari_viewer()
    timer = QTimer()
    timer.timeout.connect(lambda: [d.findChild(QPushButton).click() for d in _dialogs(qapp)])
    timer.start(500)
    assert viewer.open(folder, plugin="napari-tmca") == []
    timer.stop()
    time.sleep(0.3)
    assert len(threads) < 12
    assert not viewer.layers


def test_an_error_of_the_reading_thread_is_raised_in_the_window_s(make_napari_viewer, slow_series):
    folder, _ = slow_series
    (folder / "5.dcm").unlink()
    with pytest.raises(TmcaError, match="uneven slices"):
        make_napari_viewer().open(folder, plugin="napari-tmca")


def _dialogs(qapp):
    return [widget for widget in qapp.topLevelWidgets() if isinstance(widget, QProgressDialog) and widget.isVisible()]
