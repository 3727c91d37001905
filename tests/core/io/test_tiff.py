"""TIFF in its many kinds: one picture, or one stack of slices, or a clear refusal."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

from tmca_core.errors import StudyReadError
from tmca_core.io import read_scan

GREY = np.arange(0, 240, 2, dtype=np.uint8).reshape(10, 12)
RGB = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=-1)


@pytest.fixture
def save(tmp_path):
    def save(array, photometric="minisblack", **options):
        tifffile.imwrite(tmp_path / "scan.tif", array, photometric=photometric, **options)
        return tmp_path / "scan.tif"

    return save


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "u4", "i4", "f2", "f4", "f8", ">u2", ">f4"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_every_depth_keeps_its_values(save, dtype, compression):
    values = GREY.astype(dtype) * (1 if dtype == "u1" else 1.5)
    order = ">" if dtype.startswith(">") else "<"
    scan = read_scan(save(values.astype(dtype), compression=compression, byteorder=order))
    np.testing.assert_array_equal(scan.pixels, values.astype(dtype))
    assert scan.pixels.dtype.isnative
    assert scan.spacing_mm is None


@pytest.mark.parametrize("planarconfig", ["contig", "separate"])
@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_colour_keeps_its_depth_in_both_layouts(save, planarconfig, dtype):
    colour = RGB.astype(dtype)
    stored = colour if planarconfig == "contig" else np.moveaxis(colour, -1, 0)
    scan = read_scan(save(stored, "rgb", planarconfig=planarconfig))
    np.testing.assert_array_equal(scan.pixels, colour)
    assert scan.pixels.dtype == dtype


@pytest.mark.parametrize("compression", ["tiff_lzw", "jpeg", "packbits", "tiff_adobe_deflate"])
def test_common_compressions_are_decoded(tmp_path, compression):
    smooth = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    options = {"quality": 95} if compression == "jpeg" else {}
    Image.fromarray(smooth).save(tmp_path / "scan.tif", compression=compression, **options)
    scan = read_scan(tmp_path / "scan.tif")
    np.testing.assert_allclose(scan.pixels.astype(int), smooth, atol=4 if compression == "jpeg" else 0)


def test_a_fax_page_is_0_and_255(tmp_path):
    Image.fromarray(GREY > 100).convert("1").save(tmp_path / "scan.tif", compression="group4")
    np.testing.assert_array_equal(read_scan(tmp_path / "scan.tif").pixels, np.where(GREY > 100, 255, 0))


def test_1_bit_is_0_and_255(save):
    np.testing.assert_array_equal(read_scan(save(GREY > 100)).pixels, np.where(GREY > 100, 255, 0))


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_white_is_zero_is_inverted_and_told(save, dtype):
    values = GREY.astype(dtype)
    scan = read_scan(save(values, "miniswhite"))
    expected = np.iinfo(dtype).max - values if dtype != "f4" else values.max() - values
    np.testing.assert_array_equal(scan.pixels, expected)
    assert scan.notes == ("Zero means white in this file: inverted.",)


def test_palette_becomes_rgb(save):
    palette = np.zeros((3, 256), dtype=np.uint16)
    palette[0] = np.arange(256) * 257
    scan = read_scan(save(GREY, "palette", colormap=palette))
    np.testing.assert_array_equal(scan.pixels[..., 0], GREY)
    assert scan.notes == ("Palette colours are read as RGB.",)


def test_alpha_is_dropped_and_told(save):
    scan = read_scan(save(np.dstack([RGB, GREY]), "rgb", extrasamples=["unassalpha"]))
    np.testing.assert_array_equal(scan.pixels, RGB)
    assert scan.notes == ("The alpha channel is dropped.",)


def test_cmyk_becomes_rgb(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "scan.tif")
    scan = read_scan(tmp_path / "scan.tif")
    assert scan.pixels[4, 4].tolist() == [255, 0, 0]
    assert "CMYK colours are converted to RGB." in scan.notes


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("pixels", [GREY, GREY.astype("u2"), RGB], ids=["grey8", "grey16", "rgb"])
def test_pages_of_one_shape_are_a_volume(save, pixels, compression):
    pages = np.stack([pixels, pixels // 2, pixels // 3])
    scan = read_scan(save(pages, "rgb" if pixels.ndim == 3 else "minisblack", compression=compression))
    np.testing.assert_array_equal(scan.pixels, pages)
    assert (scan.ndim, scan.spacing_mm, scan.affine_ras) == (3, None, None)


def test_one_page_is_read_as_an_image(save):
    pages = np.arange(3 * 4 * 5, dtype=np.uint16).reshape(3, 4, 5)
    scan = read_scan(save(pages), frame=2)
    np.testing.assert_array_equal(scan.pixels, pages[1])
    assert "Page 2 of 3." in scan.notes


def test_pages_in_a_codec_of_pillow_are_a_volume(tmp_path):
    first, *others = [Image.fromarray(GREY // n) for n in (1, 2, 3)]
    first.save(tmp_path / "scan.tif", compression="tiff_lzw", save_all=True, append_images=others)
    np.testing.assert_array_equal(read_scan(tmp_path / "scan.tif").pixels, [GREY, GREY // 2, GREY // 3])


def test_an_imagej_stack_is_a_volume(tmp_path):
    pages = np.stack([GREY, GREY // 2, GREY // 3])
    tifffile.imwrite(tmp_path / "scan.tif", pages, imagej=True, metadata={"axes": "ZYX"})
    np.testing.assert_array_equal(read_scan(tmp_path / "scan.tif").pixels, pages)


def test_pages_of_several_shapes_are_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "scan.tif") as writer:
        writer.write(GREY)
        writer.write(GREY[:5])
    with pytest.raises(StudyReadError, match=r"got 2 kinds of pages \(10x12, 5x12\)"):
        read_scan(tmp_path / "scan.tif")


@pytest.mark.parametrize("axes", ["TYX", "CYX"])
def test_time_points_and_channels_are_no_volume(tmp_path, axes):
    tifffile.imwrite(tmp_path / "scan.ome.tif", np.stack([GREY] * 4), metadata={"axes": axes}, ome=True)
    with pytest.raises(StudyReadError, match=f"expected a picture or a stack of slices, got axes {axes}"):
        read_scan(tmp_path / "scan.ome.tif")


def test_many_channels_are_refused(save):
    with pytest.raises(StudyReadError, match="expected grey or RGB, got 5 channels"):
        read_scan(save(np.dstack([GREY] * 5), planarconfig="contig"))


def test_complex_values_are_refused(save):
    with pytest.raises(StudyReadError, match="expected real numbers, got complex64"):
        read_scan(save(GREY.astype(np.complex64)))


def test_not_finite_values_are_replaced_and_counted(save):
    values = GREY.astype(np.float32) + 5
    values[0, :3] = [np.nan, np.inf, -np.inf]
    scan = read_scan(save(values))
    assert scan.pixels[0, :3].tolist() == [11, 11, 11]
    assert scan.notes == ("3 of 120 values are NaN or infinite: replaced by the smallest value, 11.",)


def test_nothing_but_nan_is_refused(save):
    with pytest.raises(StudyReadError, match="expected finite values, got only NaN or infinite ones"):
        read_scan(save(np.full((4, 4), np.nan, np.float32)))


def test_values_too_large_for_32_bits_are_refused(save):
    with pytest.raises(StudyReadError, match=r"expected values below 1e\+37, got 0 to 1e\+300"):
        read_scan(save(np.array([[0.0, 1e300]])))


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "rowsperstrip": 8}], ids=["plain", "zlib"])
def test_a_cut_off_file_is_refused(save, rng, share, options):
    path = save(rng.integers(0, 256, (64, 64), dtype=np.uint8), **options)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(StudyReadError, match=r"the file is (damaged|incomplete)"):
        read_scan(path)


def test_a_strip_beyond_the_end_is_not_read_as_zeros(save):
    path = save(GREY, compression="zlib", rowsperstrip=5)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        offsets = tiff.pages[0].tags["StripOffsets"]
        offsets.overwrite([offsets.value[0], 10**6])
    with pytest.raises(StudyReadError, match=r"the file is incomplete: \d+ of 1000\d+ bytes"):
        read_scan(path)


def test_an_absent_strip_is_not_read_as_zeros(save):
    path = save(GREY, compression="zlib", rowsperstrip=5)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        counts = tiff.pages[0].tags["StripByteCounts"]
        counts.overwrite([counts.value[0], 0])
    with pytest.raises(StudyReadError, match="parts of the picture are absent"):
        read_scan(path)


def test_a_size_that_the_file_cannot_hold_is_refused_before_it_is_allocated(save):
    path = save(GREY, compression="zlib")
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages[0].tags["ImageLength"].overwrite(10_000_000)
    with pytest.raises(StudyReadError, match=r"declares 120 MB of pixels, more than the .* of the file can hold"):
        read_scan(path)


def test_a_picture_too_large_to_be_one_is_refused(save):
    path = save(GREY, compression="zlib")
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages[0].tags["ImageLength"].overwrite(100_000_000)
    with pytest.raises(StudyReadError, match="expected at most 178 million pixels, got 12 x 100000000"):
        read_scan(path)
