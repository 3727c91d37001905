"""NRRD in the eyes of SimpleITK: the same voxels at the same millimetres as NIfTI."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from tmca_core.errors import StudyWriteError
from tmca_core.io import read_scan, write_map, write_mask
from tmca_core.study import Scan

OBLIQUE = np.array([[-0.7, 0.1, 0.2, 30.0], [0.1, 0.89, 0.3, -12.0], [0.1, -0.2, 2.9, 80.0], [0, 0, 0, 1]])
AFFINES = {
    "axial": np.diag([-0.7, -0.9, 3.0, 1.0]),
    "flipped": np.diag([0.7, 0.9, -3.0, 1.0]),
    "sagittal": np.array([[0, 0, 2.0, 1], [-0.5, 0, 0, 2], [0, 0.8, 0, 3], [0, 0, 0, 1]]),
    "coronal": np.array([[0.6, 0, 0, 1], [0, 0, -2.5, 2], [0, 0.8, 0, 3], [0, 0, 0, 1]]),
}


def _orthogonal(affine):
    """Return the nearest affine without shear: NIfTI's qform, which SimpleITK reads, has none."""
    u, _, vt = np.linalg.svd(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    whole = affine.copy()
    whole[:3, :3] = u @ vt * np.linalg.norm(affine[:3, :3], axis=0)
    return whole


@pytest.mark.parametrize("affine", [*AFFINES.values(), _orthogonal(OBLIQUE)], ids=[*AFFINES, "oblique"])
@pytest.mark.parametrize("kind", ["mask", "labels", "map"])
def test_a_volume_lies_where_its_source_does(tmp_path, affine, kind):
    stored = np.arange(5 * 6 * 4, dtype=np.int16).reshape(5, 6, 4)
    nib.save(nib.Nifti1Image(stored, affine), tmp_path / "scan.nii.gz")
    scan = read_scan(tmp_path / "scan.nii.gz")
    if kind == "map":
        values = (scan.pixels / 200).astype(np.float32)
        write_map(tmp_path / "out.nrrd", values, scan)
        expected = (stored / 200).astype(np.float32)
    else:
        factor = 1 if kind == "mask" else 300
        write_mask(tmp_path / "out.nrrd", (scan.pixels > 40) * factor, scan)
        expected = (stored > 40) * factor
    image, source = sitk.ReadImage(tmp_path / "out.nrrd"), sitk.ReadImage(tmp_path / "scan.nii.gz")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).T, expected)
    for corner in ((0, 0, 0), (4, 5, 3), (4, 0, 2)):
        np.testing.assert_allclose(
            image.TransformIndexToPhysicalPoint(corner), source.TransformIndexToPhysicalPoint(corner), atol=1e-5
        )


def test_a_dicom_series_lies_where_simpleitk_says(tmp_path, save_series):
    folder = save_series(orientation="oblique")
    scan = read_scan(folder)
    write_mask(tmp_path / "out.nrrd", scan.pixels, scan)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    source, image = reader.Execute(), sitk.ReadImage(tmp_path / "out.nrrd")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(source))
    np.testing.assert_allclose(image.GetOrigin(), source.GetOrigin(), atol=1e-5)
    np.testing.assert_allclose(image.GetDirection(), source.GetDirection(), atol=1e-5)
    np.testing.assert_allclose(image.GetSpacing(), source.GetSpacing(), atol=1e-5)


@pytest.mark.parametrize("spacing", [None, (0.5, 0.25)])
def test_a_picture_has_its_spacing_and_no_made_up_place(tmp_path, spacing):
    scan = Scan(np.arange(20, dtype=np.uint8).reshape(4, 5), spacing_mm=spacing)
    write_mask(tmp_path / "out.nrrd", scan.pixels, scan)
    image = sitk.ReadImage(tmp_path / "out.nrrd")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), scan.pixels)
    assert image.GetSpacing() == ((0.25, 0.5) if spacing else (1.0, 1.0))
    assert b"space" not in (tmp_path / "out.nrrd").read_bytes().split(b"\n\n")[0].replace(b"spacings", b"")


def test_lengths_in_micrometres_become_millimetres(tmp_path):
    image = nib.Nifti1Image(np.zeros((3, 4, 5), dtype=np.uint8), np.diag([200, 300, 400, 1]))
    image.header.set_xyzt_units("micron")
    image.header.set_sform(image.affine, code=1)
    nib.save(image, tmp_path / "scan.nii")
    scan = read_scan(tmp_path / "scan.nii")
    write_mask(tmp_path / "out.nrrd", scan.pixels, scan)
    np.testing.assert_allclose(sitk.ReadImage(tmp_path / "out.nrrd").GetSpacing(), (0.2, 0.3, 0.4))


def test_the_mask_of_before_is_kept_once(tmp_path):
    scan = Scan(np.zeros((4, 5), dtype=np.uint8))
    path = tmp_path / "mask.nrrd"
    saved = []
    for column in range(3):
        mask = np.zeros((4, 5), dtype=np.uint8)
        mask[:, column] = 1
        write_mask(path, mask, scan)
        saved.append(path.read_bytes())
    assert path.with_name("mask.nrrd.previous").read_bytes() == saved[1]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_mask_too_long_named_for_a_previous_version_is_still_saved(tmp_path):
    path = tmp_path / ("m" * 248 + ".png")
    for value in (0, 1):
        write_mask(path, np.full((4, 5), value), Scan(np.zeros((4, 5))))
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_disk_without_second_names_gets_a_copy(tmp_path, monkeypatch):
    import os

    def refuse(*_args):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    path, scan = tmp_path / "mask.png", Scan(np.zeros((4, 5)))
    write_mask(path, np.zeros((4, 5)), scan)
    before = path.read_bytes()
    write_mask(path, np.ones((4, 5)), scan)
    assert path.with_name("mask.png.previous").read_bytes() == before
    assert path.read_bytes() != before


def test_where_the_old_one_cannot_be_kept_nothing_changes(tmp_path, monkeypatch):
    import os

    def fail(*_args):
        raise OSError(5, "Input/output error")

    path, scan = tmp_path / "mask.png", Scan(np.zeros((4, 5)))
    write_mask(path, np.zeros((4, 5)), scan)
    before = path.read_bytes()
    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(StudyWriteError, match="the old file is unchanged"):
        write_mask(path, np.ones((4, 5)), scan)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1
