"""Images too large for the memory are refused before any is allocated, and can be read smaller."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

from tmca_core.errors import StudyReadError
from tmca_core.io import _memory, raster, read_mask, read_scan, write_mask

GREY = np.random.default_rng(0).integers(0, 4000, (103, 130), dtype=np.uint16)
NOTE = "Shrunk by 4: each pixel is the mean of 4 x 4; what fills no block is left out."


def _means(pixels, factor=4):
    rows, columns = pixels.shape[0] // factor, pixels.shape[1] // factor
    whole = pixels[: rows * factor, : columns * factor].astype(float)
    return whole.reshape(rows, factor, columns, factor, *pixels.shape[2:]).mean(axis=(1, 3))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tile": (32, 48)},
        {"rowsperstrip": 7, "compression": "zlib"},
        {"tile": (16, 16), "compression": "zlib"},
        {"byteorder": ">"},
    ],
    ids=["plain", "tiles", "strips", "packed tiles", "big endian"],
)
@pytest.mark.parametrize("kind", ["grey", "colour", "planes", "pages"])
def test_a_tiff_is_shrunk_in_parts_to_the_means_of_its_blocks(tmp_path, options, kind):
    colour = (np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=-1) >> 4).astype(np.uint8)
    if kind == "grey":
        tifffile.imwrite(tmp_path / "scan.tif", GREY, **options)
        expected = _means(GREY)
    elif kind == "pages":
        tifffile.imwrite(tmp_path / "scan.tif", np.stack([GREY, GREY[::-1]]), photometric="minisblack", **options)
        expected = np.stack([_means(GREY), _means(GREY[::-1])])
    else:
        is_planar = kind == "planes"
        stored = np.moveaxis(colour, -1, 0) if is_planar else colour
        layout = {"photometric": "rgb", "planarconfig": "separate" if is_planar else "contig"}
        tifffile.imwrite(tmp_path / "scan.tif", stored, **layout, **options)
        expected = _means(colour)
    scan = read_scan(tmp_path / "scan.tif", shrink=4)
    assert scan.pixels.dtype == (np.uint16 if kind in ("grey", "pages") else np.uint8)
    np.testing.assert_allclose(scan.pixels, expected, atol=0.5)
    assert scan.notes == (NOTE,)


def test_strips_are_not_unpacked_into_one_array(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "scan.tif", GREY, rowsperstrip=7, compression="zlib")
    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", None)
    scan = read_scan(tmp_path / "scan.tif", shrink=4, in_process=True)
    np.testing.assert_allclose(scan.pixels, _means(GREY), atol=0.5)


@pytest.mark.parametrize("name", ["scan.png", "scan.bmp"])
def test_a_picture_is_shrunk_and_a_spacing_given_by_hand_scaled(tmp_path, name):
    grey = (GREY >> 4).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / name)
    scan = read_scan(tmp_path / name, shrink=4, spacing=(0.1, 0.2))
    np.testing.assert_allclose(scan.pixels, _means(grey), atol=0.5)
    assert scan.spacing_mm == pytest.approx((0.4, 0.8))
    assert NOTE in scan.notes


def test_a_volume_shrinks_in_its_slices_and_lies_where_it_lay(save_nifti, tmp_path):
    stored = np.random.default_rng(1).random((12, 9, 5)).astype(np.float32)
    path = save_nifti(stored, np.array([[0, 0.9, 0.1, 3], [-0.7, 0, 0, 4], [0.1, 0, 3, 5], [0, 0, 0, 1.0]]))
    whole, small = read_scan(path), read_scan(path, shrink=2)
    assert small.shape == (whole.shape[0], whole.shape[1] // 2, whole.shape[2] // 2)
    assert small.spacing_mm == pytest.approx(np.multiply(whole.spacing_mm, (1, 2, 2)))
    np.testing.assert_allclose(small.pixels[3, 1, 2], whole.pixels[3, 2:4, 4:6].mean(), rtol=1e-5)
    np.testing.assert_allclose(small.affine_ras @ [3, 1, 2, 1], whole.affine_ras @ [3, 2.5, 4.5, 1], atol=1e-5)
    mask = small.pixels > 0.5
    write_mask(tmp_path / "mask.nii.gz", mask, small)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.nii.gz"), mask)
    np.testing.assert_allclose(read_scan(tmp_path / "mask.nii.gz").affine_ras, small.affine_ras, atol=1e-5)


def test_a_factor_larger_than_the_picture_is_refused(tmp_path):
    Image.fromarray((GREY >> 4).astype(np.uint8)).save(tmp_path / "scan.png")
    with pytest.raises(StudyReadError, match="expected a picture of at least 200 x 200 pixels to shrink by 200"):
        read_scan(tmp_path / "scan.png", shrink=200)


def test_a_picture_above_the_limit_is_read_shrunk(tmp_path, monkeypatch):
    monkeypatch.setattr(raster, "MAX_PIXELS", 5000)
    Image.fromarray((GREY >> 4).astype(np.uint8)).save(tmp_path / "scan.png")
    with pytest.raises(StudyReadError, match=r"got 130 x 103, which take 13.4 kB .* shrink=2 or --shrink 2"):
        read_scan(tmp_path / "scan.png", in_process=True)
    assert read_scan(tmp_path / "scan.png", shrink=2, in_process=True).shape == (51, 65)


@pytest.fixture
def little_memory(monkeypatch):
    monkeypatch.setattr(_memory, "_SMALL", 0)
    monkeypatch.setattr(_memory, "free_bytes", lambda: 5000)


def test_a_tiff_too_large_for_the_memory_names_its_size_and_a_way_out(tmp_path, little_memory):
    tifffile.imwrite(tmp_path / "scan.tif", GREY)
    with pytest.raises(
        StudyReadError, match=r"scan.tif: 103 x 130 pixels take about 53.6 kB .* 5 kB are free. Read it .* shrink=5"
    ):
        read_scan(tmp_path / "scan.tif", in_process=True)
    assert read_scan(tmp_path / "scan.tif", shrink=5, in_process=True).shape == (20, 26)


@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.nii"])
def test_a_volume_too_large_for_the_memory_is_refused_with_its_size(save_nifti, little_memory, name):
    path = save_nifti(np.zeros((40, 40, 40), np.uint8), name=name)
    with pytest.raises(StudyReadError, match=r"take about .* of memory to read, and 5 kB are free"):
        read_scan(path)


def test_a_dicom_image_too_large_for_the_memory_is_refused_with_its_size(save_dicom, little_memory):
    with pytest.raises(StudyReadError, match=r"take about .* of memory to read, and 5 kB are free"):
        read_scan(save_dicom(GREY))


def test_the_free_memory_is_that_of_the_machine_or_unknown():
    free = _memory.free_bytes()
    assert free is None or free > 1 << 20
