"""Labels of a DICOM series are saved from napari as a DICOM segmentation on the source's frames, or as NRRD."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from qtpy.QtWidgets import QFileDialog

from napari_tmca.exporting import ask_and_export
from napari_tmca.layers import PROVENANCE_KEY, SCAN_KEY
from napari_tmca.widgets.result import ResultWidget
from tmca_core.io import read_scan
from tmca_core.io.dicom_seg_read import read_dicom_seg
from tmca_core.io.rtstruct import read_rtstruct
from tmca_core.study import Provenance


@pytest.fixture
def series(tmp_path):
    """Save four sagittal slices of 6 x 5."""
    folder = tmp_path / "series"
    folder.mkdir()
    study, uid, frame = generate_uid(), generate_uid(), generate_uid()
    for number in range(4):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
        dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = study, uid, frame
        dataset.Modality, dataset.PatientName, dataset.PatientID = "CT", "Canary^Name", "17"
        dataset.ImageOrientationPatient, dataset.PixelSpacing = [0, 1, 0, 0, 0, -1], [0.8, 0.5]
        dataset.ImagePositionPatient, dataset.SliceThickness = [-2.0 * number, 3, 4], 2
        dataset.Rows, dataset.Columns, dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 6, 5, 16, 16, 15
        dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.PixelData = (np.arange(30, dtype=np.uint16) + 30 * number).tobytes()
        dataset.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    return folder


def test_labels_are_saved_as_a_segmentation_and_as_nrrd(make_napari_viewer, series, tmp_path):
    scan = read_scan(series)
    mask = np.zeros(scan.shape, dtype=np.uint8)
    mask[1:3, 0, 2:] = 1
    provenance = Provenance("tmca-compact", "0.3.0", "ab" * 32, "cpu")
    viewer = make_napari_viewer()
    layer = viewer.add_labels(mask, metadata={SCAN_KEY: scan, PROVENANCE_KEY: provenance})
    layer.save(str(tmp_path / "seg.dcm"), plugin="napari-tmca")
    layer.save(str(tmp_path / "mask.nrrd"), plugin="napari-tmca")
    (segment,) = read_dicom_seg(tmp_path / "seg.dcm", scan)
    np.testing.assert_array_equal(segment.mask, mask > 0)
    assert segment.algorithm_type == "SEMIAUTOMATIC"
    item = pydicom.dcmread(tmp_path / "seg.dcm").SegmentSequence[0]
    assert item.SegmentationAlgorithmIdentificationSequence[0].AlgorithmName == "tmca-compact"
    stored = np.stack([pydicom.dcmread(series / f"{n}.dcm").pixel_array for n in range(4)])
    expected = np.isin(stored, scan.pixels[mask > 0])
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(tmp_path / "mask.nrrd")), expected)


def test_labels_drawn_by_hand_are_manual(make_napari_viewer, series, tmp_path):
    scan = read_scan(series)
    layer = make_napari_viewer().add_labels(np.ones(scan.shape, dtype=np.uint8), metadata={SCAN_KEY: scan})
    layer.save(str(tmp_path / "seg.dcm"), plugin="napari-tmca")
    assert read_dicom_seg(tmp_path / "seg.dcm", scan)[0].algorithm_type == "MANUAL"


def test_a_session_saves_a_segmentation_and_tells_edits_from_the_network_s_own(session, series, tmp_path):
    session.open_scan(series)
    session.set_report("Opacity in the left lower zone.")
    session.segment().result(timeout=60)
    scan = session.mask_layer.metadata[SCAN_KEY]
    session.save_labels(tmp_path / "own.dcm")
    before = np.array(session.mask_layer.data)
    session.mask_layer.data_setitem((np.array([0]), np.array([0]), np.array([0])), 1 - before[:1, 0, 0])
    session.save_labels(tmp_path / "edited.dcm")
    (own,), (edited,) = (read_dicom_seg(tmp_path / name, scan) for name in ("own.dcm", "edited.dcm"))
    assert (own.label, own.algorithm_type) == ("Opacity", "AUTOMATIC")
    assert edited.algorithm_type == "SEMIAUTOMATIC"
    np.testing.assert_array_equal(own.mask, before > 0)
    np.testing.assert_array_equal(edited.mask, np.asarray(session.mask_layer.data) > 0)


def test_a_class_is_renamed_and_the_file_says_so(session, series, tmp_path):
    session.open_scan(series)
    mask = np.zeros(session.scan_layer.data.shape, dtype=np.uint8)
    mask[1, 0, 2:], mask[2, 0, 2:], mask[2, 1, 2:] = 1, 2, 3
    session.adopt_mask(mask)
    session.classes.rename(1, "Nodule")
    session.classes.rename(3, "Scar, old")
    session.save_labels(tmp_path / "ours.dcm")
    session.mask_layer.save(str(tmp_path / "napari.dcm"), plugin="napari-tmca")
    for name in ("ours.dcm", "napari.dcm"):
        segments = pydicom.dcmread(tmp_path / name).SegmentSequence
        assert [str(segment.SegmentLabel) for segment in segments] == ["Nodule", "Lesion 2", "Scar, old"]
    assert segments[0].SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Nodule"


def test_the_panel_exports_what_a_clinical_system_reads(session, series, tmp_path, qtbot, monkeypatch):
    session.open_scan(series)
    widget = ResultWidget(session)
    qtbot.addWidget(widget)
    mask = np.zeros(session.scan_layer.data.shape, dtype=np.uint8)
    mask[1:3, 1:4, 1:4] = 1
    session.adopt_mask(mask)
    session.classes.rename(1, "Nodule")
    asked = []

    def choose(parent, title, suggested, filters):
        asked.append(suggested)
        return str(tmp_path / suggested.rsplit("/", 1)[1].removesuffix(".dcm")), filters

    monkeypatch.setattr(QFileDialog, "getSaveFileName", choose)
    for action in widget.exports.actions()[:3]:
        action.trigger()
    endings = ("seg.dcm", "rtstruct.dcm", "sr.dcm")
    assert all(path.endswith(ending) for path, ending in zip(asked, endings, strict=True))
    seg, rtstruct, sr = (pydicom.dcmread(tmp_path / path.rsplit("/", 1)[1]) for path in asked)
    assert (seg.Modality, rtstruct.Modality, sr.Modality) == ("SEG", "RTSTRUCT", "SR")
    assert rtstruct.StructureSetROISequence[0].ROIName == "Nodule"
    (region,) = read_rtstruct(tmp_path / asked[1].rsplit("/", 1)[1], session.scan_layer.metadata[SCAN_KEY])
    np.testing.assert_array_equal(region.mask, mask > 0)
    assert session.messages[0].startswith("Saved ")


def test_what_a_picture_cannot_become_is_said_in_the_panel(session, phantom_layer, tmp_path, qtbot, monkeypatch):
    session.adopt_mask(np.zeros(phantom_layer.data.shape, dtype=np.uint8))
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a: (str(tmp_path / "x.dcm"), ""))
    ask_and_export(session, "rtstruct")
    assert "x.dcm" in session.messages[0]
    assert not list(tmp_path.glob("x*"))
