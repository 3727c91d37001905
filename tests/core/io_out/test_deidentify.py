"""A de-identified copy keeps voxels and geometry, and the name is nowhere in it."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from tmca_core.errors import StudyReadError, StudyWriteError
from tmca_core.io import read_scan
from tmca_core.io.deidentify import deidentify_series
from tmca_core.io.dicom_seg import write_dicom_seg

CANARY = b"Canary"


@pytest.fixture
def series(save_series):
    request = Dataset()
    request.RequestedProcedureDescription = "Canary's knee"
    person = Dataset()
    person.InstitutionName = "Canary Hospital"
    folder = save_series(
        "canary_series",
        orientation="oblique",
        PatientComments="Canary called",
        StudyDescription="Canary study",
        InstitutionName="Canary Hospital",
        OperatorsName="Canary^Operator",
        OtherPatientNames="Canary^Old",
        ImageComments="Canary",
        StationName="CANARY1",
        ProtocolName="Canary protocol",
        DeviceSerialNumber="Canary9",
        RequestAttributesSequence=[request],
        PersonIdentificationCodeSequence=[person],
        PatientAge="070Y",
    )
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        block = dataset.private_block(0x0009, "Canary Private", create=True)
        block.add_new(1, "LO", "Canary")
        dataset.add_new(0x60000022, "LO", "Canary overlay")
        dataset.file_meta.SourceApplicationEntityTitle = "CANARY"
        dataset.save_as(path)
    return folder


def test_the_name_is_nowhere_and_the_image_is_the_same(tmp_path, series):
    assert CANARY in next(series.iterdir()).read_bytes()
    done = deidentify_series(series, tmp_path / "copy")
    for path in done.files:
        content = path.read_bytes()
        assert CANARY.lower() not in content.lower()
        assert b"19500101" not in content
        assert b"20200102" not in content
        assert content[:128] == bytes(128)
        assert "canary" not in path.name.lower()
    before, after = read_scan(series), read_scan(tmp_path / "copy")
    np.testing.assert_array_equal(after.pixels, before.pixels)
    np.testing.assert_array_equal(after.affine_ras, before.affine_ras)
    assert not set(_uids(series)) & set(_uids(tmp_path / "copy"))
    assert len({dataset.SeriesInstanceUID for dataset in map(pydicom.dcmread, done.files)}) == 1


def _uids(folder):
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        yield from (dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID)
        yield dataset.FrameOfReferenceUID


def test_it_says_what_was_done_and_promises_nothing(tmp_path, series):
    done = deidentify_series(series, tmp_path / "copy")
    assert any("no promise of anonymity" in note for note in done.notes)
    assert any("look at every picture for names" in note for note in done.notes)
    dataset = pydicom.dcmread(done.files[0])
    assert [item.CodeValue for item in dataset.DeidentificationMethodCodeSequence] == ["113100", "113107"]
    assert dataset.LongitudinalTemporalInformationModified == "MODIFIED"
    assert dataset.get("PatientIdentityRemoved") != "YES"  # nobody has looked at the pixels


def test_a_mask_of_the_copy_refers_to_the_copy(tmp_path, series, lopsided, errors_of_dciodvfy):
    deidentify_series(series, tmp_path / "copy")
    scan = read_scan(tmp_path / "copy")
    write_dicom_seg(tmp_path / "seg.dcm", lopsided(scan.shape), scan)
    assert CANARY.lower() not in (tmp_path / "seg.dcm").read_bytes().lower()
    assert not errors_of_dciodvfy(tmp_path / "seg.dcm")


def test_a_single_file_is_copied_and_others_are_counted(tmp_path, series):
    assert len(deidentify_series(next(series.iterdir()), tmp_path / "one").files) == 1
    (series / "notes.txt").write_text("Canary")
    done = deidentify_series(series, tmp_path / "all")
    assert "1 other files were left out." in done.notes
    assert len(done.files) == 5


def test_nothing_is_overwritten_and_nothing_half_done_is_left(tmp_path, series):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    with pytest.raises(StudyWriteError, match="a new or an empty folder"):
        deidentify_series(series, tmp_path / "full")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StudyReadError, match="expected DICOM images, got none"):
        deidentify_series(tmp_path / "empty", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    assert {entry.name for entry in tmp_path.iterdir()} == {"full", "empty", series.name}
