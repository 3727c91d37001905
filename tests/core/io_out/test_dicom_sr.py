"""A structured report states the true sizes, in millimetres only where they are known, and is valid."""

from __future__ import annotations

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes

from tmca_core.io import read_scan
from tmca_core.io.dicom_sr import write_dicom_sr
from tmca_core.study import Provenance

PROVENANCE = Provenance("tmca-compact", "0.2.0", "ab" * 32, "cpu")


def _content(path):
    return hd.sr.srread(path).content


def test_a_volume_states_its_volume_and_its_outlines(tmp_path, save_series, lopsided, errors_of_dciodvfy):
    scan = read_scan(save_series(orientation="oblique"))
    mask = lopsided(scan.shape)
    write_dicom_sr(tmp_path / "sr.dcm", mask, scan, names={1: "opacity"}, provenance=PROVENANCE)
    (group,) = _content(tmp_path / "sr.dcm").get_volumetric_roi_measurement_groups()
    (volume,) = group.get_measurements(name=codes.SCT.Volume)
    assert volume.value == pytest.approx(mask.sum() * 0.7 * 0.9 * 2.5, abs=1e-3)
    assert volume.unit == codes.UCUM.CubicMillimeter
    assert group.finding_type.value == "112001"
    assert group.finding_sites[0].value == codes.SCT.Lung
    assert b"ab" * 32 in (tmp_path / "sr.dcm").read_bytes()
    assert not errors_of_dciodvfy(tmp_path / "sr.dcm")


def test_outlines_surround_the_pixels_of_their_source(tmp_path, save_series, lopsided):
    folder = save_series(orientation="coronal", is_descending=True)
    scan = read_scan(folder)
    mask = lopsided(scan.shape)
    write_dicom_sr(tmp_path / "sr.dcm", mask, scan)
    sources = {dataset.SOPInstanceUID: dataset for dataset in map(pydicom.dcmread, folder.iterdir())}
    expected = set(scan.pixels[mask > 0].astype(int).tolist())  # a stored number is its voxel's own address
    (group,) = _content(tmp_path / "sr.dcm").get_volumetric_roi_measurement_groups()
    found = set()
    for region in group.roi:
        reference = region.ContentSequence[0].ReferencedSOPSequence[0]
        stored = sources[reference.ReferencedSOPInstanceUID].pixel_array
        from skimage.draw import polygon

        columns, rows = (region.value - 0.5).T
        found ^= set(stored[polygon(rows, columns, stored.shape)].tolist())
    assert found == expected


@pytest.mark.parametrize(("spacing", "unit", "area"), [([0.7, 0.9], "mm2", 0.63), (None, "{pixels}", 1.0)])
def test_every_area_of_an_image_has_its_size(tmp_path, save_series, errors_of_dciodvfy, spacing, unit, area):
    nowhere = {"ImagePositionPatient": None, "ImageOrientationPatient": None, "PixelSpacing": spacing}
    path = next(save_series(SOPClassUID="1.2.840.10008.5.1.4.1.1.1", Modality="CR", **nowhere).iterdir())
    scan = read_scan(path)
    mask = np.zeros(scan.shape, dtype=np.uint8)
    mask[1:4, 2:5] = mask[8, 1:3] = 1
    notes = write_dicom_sr(tmp_path / "sr.dcm", mask, scan)
    groups = _content(tmp_path / "sr.dcm").get_planar_roi_measurement_groups()
    sizes = [group.get_measurements(name=codes.SCT.Area)[0] for group in groups]
    assert [size.value for size in sizes] == pytest.approx([9 * area, 2 * area])
    assert {size.unit.value for size in sizes} == {unit}
    assert any("spacing is unknown" in note for note in notes) == (spacing is None)
    assert not errors_of_dciodvfy(tmp_path / "sr.dcm")


def test_an_empty_mask_gives_a_size_of_nothing(tmp_path, save_series, errors_of_dciodvfy):
    scan = read_scan(save_series())
    notes = write_dicom_sr(tmp_path / "sr.dcm", np.zeros(scan.shape, dtype=bool), scan)
    assert any("empty, on purpose" in note for note in notes)
    (group,) = _content(tmp_path / "sr.dcm").get_image_measurement_groups()
    assert [size.value for size in group.get_measurements(name=codes.SCT.Volume)] == [0]
    assert pydicom.dcmread(tmp_path / "sr.dcm").preamble == bytes(128)
    assert not errors_of_dciodvfy(tmp_path / "sr.dcm")
