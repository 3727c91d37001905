"""Contours lie where the mask does, holes included, and come back as the mask they were drawn from."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from tmca_core.errors import GeometryError, StudyReadError, StudyWriteError
from tmca_core.io import read_scan
from tmca_core.io._contours import filled, outlines
from tmca_core.io.rtstruct import read_rtstruct, write_rtstruct
from tmca_core.metrics import dice
from tmca_core.study import Provenance

ORIENTATIONS = ("axial", "sagittal", "coronal", "oblique", "axial-prone", "axial-mirrored")


def _blobs(shape, seed=0):
    """Return random areas with holes, islands in holes, and pixels at the border that touch by corners."""
    from scipy import ndimage

    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), 0.8)
    return noise > np.median(noise)


@pytest.mark.parametrize("seed", range(20))
def test_outlines_are_filled_to_the_mask_they_were_drawn_from(seed):
    mask = _blobs((24, 31), seed)
    again = np.zeros_like(mask)
    for points, _ in outlines(mask):
        again ^= filled(points, mask.shape)
    assert dice(again, mask) >= 0.99


def test_an_outline_counts_its_pixels():
    mask = np.zeros((9, 9), dtype=bool)
    mask[1:8, 1:8] = True
    mask[3:6, 3:6] = False
    mask[4, 4] = True
    assert sorted(count for _, count in outlines(mask)) == [1, 40]
    assert not list(outlines(np.zeros((4, 4), dtype=bool)))


@pytest.mark.parametrize("is_descending", [False, True], ids=["up", "down"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_contours_come_back_as_the_mask(tmp_path, save_series, orientation, is_descending):
    scan = read_scan(save_series(orientation=orientation, is_descending=is_descending))
    mask = _blobs(scan.shape)
    write_rtstruct(tmp_path / "rt.dcm", mask, scan)
    (region,) = read_rtstruct(tmp_path / "rt.dcm", scan)
    assert dice(region.mask, mask) >= 0.99


def test_contours_lie_on_the_slices_they_refer_to(tmp_path, save_series, lopsided):
    folder = save_series(orientation="oblique")
    scan = read_scan(folder)
    write_rtstruct(tmp_path / "rt.dcm", lopsided(scan.shape), scan)
    sources = {d.SOPInstanceUID: d for d in map(pydicom.dcmread, folder.iterdir())}
    dataset = pydicom.dcmread(tmp_path / "rt.dcm")
    contours = dataset.ROIContourSequence[0].ContourSequence
    assert len(contours) == sum(len(list(outlines(layer > 0))) for layer in lopsided(scan.shape))
    for contour in contours:
        source = sources[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
        cosines = np.array(source.ImageOrientationPatient, dtype=float).reshape(2, 3)
        points = np.array(contour.ContourData, dtype=float).reshape(-1, 3)
        offset = points - np.array(source.ImagePositionPatient, dtype=float)
        np.testing.assert_allclose(offset @ np.cross(*cosines), 0, atol=1e-3)
        columns, rows = offset @ cosines[0] / source.PixelSpacing[1], offset @ cosines[1] / source.PixelSpacing[0]
        stored = source.pixel_array
        assert -0.51 <= columns.min() <= columns.max() <= stored.shape[1] - 0.49
        assert -0.51 <= rows.min() <= rows.max() <= stored.shape[0] - 0.49


def test_regions_have_names_codes_and_makers(tmp_path, save_series, lopsided):
    scan = read_scan(save_series())
    labels = lopsided(scan.shape) * 2
    labels[-1, -1] = 5
    provenance = Provenance("tmca-compact", "0.2.0", "ab" * 32, "cpu")
    write_rtstruct(tmp_path / "rt.dcm", labels, scan, names={2: "opacity"}, provenance=provenance, is_edited=True)
    first, second = read_rtstruct(tmp_path / "rt.dcm", scan)
    assert (first.number, first.label, first.algorithm_type) == (1, "Opacity", "SEMIAUTOMATIC")
    assert second.label == "Lesion 5"
    np.testing.assert_array_equal(first.mask, labels == 2)
    dataset = pydicom.dcmread(tmp_path / "rt.dcm")
    assert dataset.preamble == bytes(128)
    assert "ab" * 32 in dataset.StructureSetDescription
    assert dataset.RTROIObservationsSequence[0].RTROIIdentificationCodeSequence[0].CodeValue == "112001"


def test_the_verifier_finds_no_error(tmp_path, save_series, lopsided, errors_of_dciodvfy):
    scan = read_scan(save_series())
    write_rtstruct(tmp_path / "rt.dcm", lopsided(scan.shape), scan)
    assert not errors_of_dciodvfy(tmp_path / "rt.dcm")


def test_an_empty_mask_is_a_region_without_contours(tmp_path, save_series):
    scan = read_scan(save_series())
    notes = write_rtstruct(tmp_path / "rt.dcm", np.zeros(scan.shape, dtype=bool), scan)
    assert any("empty, on purpose" in note for note in notes)
    (region,) = read_rtstruct(tmp_path / "rt.dcm", scan)
    assert not region.mask.any()


def test_what_has_no_place_in_space_is_refused(tmp_path, save_series, lopsided):
    nowhere = {"ImagePositionPatient": None, "ImageOrientationPatient": None}
    image = read_scan(next(save_series(**nowhere).iterdir()))
    with pytest.raises(StudyWriteError, match="states no position"):
        write_rtstruct(tmp_path / "rt.dcm", lopsided(image.shape), image)
    scan = read_scan(save_series("volume"))
    write_rtstruct(tmp_path / "rt.dcm", lopsided(scan.shape), scan)
    with pytest.raises(GeometryError, match="a volume with a place in space"):
        read_rtstruct(tmp_path / "rt.dcm", image)
    with pytest.raises(GeometryError, match="does not lie on a slice of this scan"):
        read_rtstruct(tmp_path / "rt.dcm", read_scan(save_series("other", orientation="oblique")))
    with pytest.raises(StudyReadError, match="expected an RT Structure Set"):
        read_rtstruct(next(scan.source.iterdir()), scan)
