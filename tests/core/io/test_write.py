"""What is written lies on the scan's own grid, comes back as it was, and never harms an old file."""

from __future__ import annotations

import gzip
import json
import os

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image

from tmca_core.display import to_display
from tmca_core.errors import GeometryError, StudyReadError, StudyWriteError
from tmca_core.io import read_mask, read_scan, write_json, write_map, write_mask, write_overlay
from tmca_core.study import Scan

GREY = np.arange(0, 240, 2, dtype=np.uint8).reshape(10, 12)
VOLUME = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
OBLIQUE = np.array([[-0.7, 0.1, 0.2, 30.0], [0.1, 0.89, 0.3, -12.0], [0.1, -0.2, 2.9, 80.0], [0, 0, 0, 1]])
PICTURE = Scan(GREY)


@pytest.mark.parametrize("suffix", ["png", "tif", "tiff", "PNG"])
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32])
def test_a_mask_of_a_picture_comes_back(tmp_path, suffix, dtype):
    mask = GREY > 100
    write_mask(str(tmp_path / f"mask.{suffix}"), mask.astype(dtype), PICTURE)
    np.testing.assert_array_equal(read_mask(tmp_path / f"mask.{suffix}"), mask)


def test_a_mask_of_a_picture_is_black_and_white(tmp_path):
    write_mask(tmp_path / "mask.png", GREY > 100, PICTURE)
    with Image.open(tmp_path / "mask.png") as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), np.where(GREY > 100, 255, 0))


@pytest.mark.parametrize(("top", "dtype"), [(7, np.uint8), (300, np.uint16)])
def test_labels_keep_their_numbers(tmp_path, top, dtype):
    labels = np.where(GREY > 100, top, GREY > 50)
    write_mask(tmp_path / "mask.png", labels, PICTURE)
    with Image.open(tmp_path / "mask.png") as image:
        np.testing.assert_array_equal(np.asarray(image), labels)
        assert np.asarray(image).dtype == dtype


@pytest.mark.parametrize("codes", [(1, 2), (0, 4), (3, 0)])
@pytest.mark.parametrize("image_class", [nib.Nifti1Image, nib.Nifti2Image], ids=["1", "2"])
@pytest.mark.parametrize("name", ["mask.nii", "mask.nii.gz"])
def test_a_mask_of_a_volume_lies_on_the_file_s_own_grid(save_nifti, tmp_path, name, image_class, codes):
    path = save_nifti(VOLUME, OBLIQUE, codes=codes, image_class=image_class)
    scan = read_scan(path)
    write_mask(tmp_path / name, scan.pixels > 40, scan)
    source, written = nib.load(path), nib.load(tmp_path / name)
    np.testing.assert_array_equal(np.asarray(written.dataobj), VOLUME > 40)
    np.testing.assert_array_equal(written.affine, source.affine)
    assert type(written) is image_class
    assert written.get_data_dtype() == np.uint8
    for field in ("qform_code", "sform_code", "pixdim", "srow_x", "quatern_b", "qoffset_z", "xyzt_units"):
        np.testing.assert_array_equal(written.header[field], source.header[field])


def test_a_mask_in_nifti_is_not_scaled(save_nifti, tmp_path):
    scan = read_scan(save_nifti(VOLUME, OBLIQUE))
    write_mask(tmp_path / "mask.nii", scan.pixels > 40, scan)
    slope, intercept = np.frombuffer((tmp_path / "mask.nii").read_bytes()[112:120], np.float32)
    assert (slope, intercept) == (1, 0)


def test_a_mask_carries_no_text_of_its_source(save_nifti, tmp_path):
    image = nib.Nifti1Image(VOLUME, OBLIQUE)
    image.header["descrip"] = b"Canary Name"
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Canary Name"))
    nib.save(image, tmp_path / "scan.nii")
    scan = read_scan(tmp_path / "scan.nii")
    write_mask(tmp_path / "mask.nii", scan.pixels > 40, scan)
    assert b"Canary" not in (tmp_path / "mask.nii").read_bytes()


def test_equal_masks_give_equal_files(save_nifti, tmp_path):
    scan = read_scan(save_nifti(VOLUME, OBLIQUE))
    for name in ("first.nii.gz", "second.nii.gz"):
        write_mask(tmp_path / name, scan.pixels > 40, scan)
    assert (tmp_path / "first.nii.gz").read_bytes() == (tmp_path / "second.nii.gz").read_bytes()


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (1, 4, 5)])
@pytest.mark.parametrize("suffix", ["nii.gz", "png"])
def test_a_mask_of_a_nifti_slice_comes_back_in_both_formats(save_nifti, tmp_path, shape, suffix):
    path = save_nifti(VOLUME[..., 0].reshape(shape), OBLIQUE)
    scan = read_scan(path)
    write_mask(tmp_path / f"mask.{suffix}", scan.pixels > 40, scan)
    np.testing.assert_array_equal(read_mask(tmp_path / f"mask.{suffix}"), scan.pixels > 40)
    if suffix == "nii.gz":
        written = nib.load(tmp_path / "mask.nii.gz")
        np.testing.assert_array_equal(np.asarray(written.dataobj), VOLUME[..., 0].reshape(shape) > 40)
        np.testing.assert_array_equal(written.affine, nib.load(path).affine)


def test_a_mask_of_a_stack_without_orientation_comes_back(tmp_path):
    pages = np.stack([GREY, GREY // 2, GREY // 3])
    tifffile.imwrite(tmp_path / "scan.tif", pages, photometric="minisblack")
    scan = read_scan(tmp_path / "scan.tif")
    write_mask(tmp_path / "mask.nii.gz", pages > 40, scan)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.nii.gz"), pages > 40)
    assert read_scan(tmp_path / "mask.nii.gz").affine_ras is None


def test_a_mask_of_an_analyze_pair_comes_back(tmp_path):
    nib.save(nib.AnalyzeImage(VOLUME, np.diag([-2, 3, 4, 1])), tmp_path / "scan.img")
    scan = read_scan(tmp_path / "scan.img")
    write_mask(tmp_path / "mask.nii", scan.pixels > 40, scan)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.nii"), scan.pixels > 40)
    assert nib.load(tmp_path / "mask.nii").header.get_zooms() == (2, 3, 4)


@pytest.mark.parametrize("name", ["map.nii.gz", "map.nii"])
def test_a_map_of_a_volume_is_float32_on_the_file_s_own_grid(save_nifti, tmp_path, rng, name):
    path = save_nifti(VOLUME, OBLIQUE)
    scan = read_scan(path)
    values = rng.random(scan.shape, dtype=np.float32)
    write_map(tmp_path / name, values, scan)
    again = read_scan(tmp_path / name)
    np.testing.assert_array_equal(again.pixels, values)
    np.testing.assert_array_equal(again.affine_ras, scan.affine_ras)
    assert nib.load(tmp_path / name).get_data_dtype() == np.float32


def test_a_map_of_a_picture_is_16_bit_grey_in_png_and_float_in_tiff(tmp_path, rng):
    values = rng.random(GREY.shape, dtype=np.float32)
    values[0, :2] = [0, 1]
    write_map(tmp_path / "map.png", values, PICTURE)
    write_map(tmp_path / "map.tif", values, PICTURE)
    np.testing.assert_allclose(read_scan(tmp_path / "map.png").pixels / 65535, values, atol=1e-5)
    np.testing.assert_array_equal(read_scan(tmp_path / "map.tif").pixels, values)


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan])
def test_a_map_outside_0_to_1_is_refused(tmp_path, value):
    with pytest.raises(ValueError, match=r"expected values 0\.\.1"):
        write_map(tmp_path / "map.png", np.full(GREY.shape, value), PICTURE)
    assert not (tmp_path / "map.png").exists()


@pytest.mark.parametrize(
    "bad", [GREY / 3, GREY.astype(int) - 1, GREY.astype(int) * 999], ids=["fractions", "negative", "large"]
)
def test_a_mask_of_anything_but_labels_is_refused(tmp_path, bad):
    with pytest.raises(ValueError, match=r"whole numbers|labels 0\.\.65535"):
        write_mask(tmp_path / "mask.png", bad, PICTURE)


@pytest.mark.parametrize("write", [write_mask, write_map, lambda path, values, scan: write_overlay(path, scan, values)])
def test_another_shape_is_refused_with_both(tmp_path, write):
    with pytest.raises(GeometryError, match=r"expected values of the scan's shape \(10, 12\), got \(12, 10\)"):
        write(tmp_path / "mask.png", np.zeros((12, 10)), PICTURE)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("mask.nii.gz", (4, 5), r"a picture without a place in space.*ending in .png"),
        ("mask.png", (3, 4, 5), r"a volume of 3 slices, and .png would hold one.*ending in .nii.gz"),
        ("mask.tif", (3, 4, 5), r"a volume of 3 slices, and .tif would hold one.*ending in .nii.gz"),
        ("mask.jpg", (4, 5), r"expected a name ending in .png, .tif, .tiff, .nii, .nii.gz, .nrrd. Choose .* .png"),
        ("mask", (3, 4, 5), r"expected a name ending in .* Choose a name ending in .nii.gz"),
    ],
)
@pytest.mark.parametrize("write", [write_mask, write_map])
def test_a_suffix_that_cannot_hold_it_is_said(tmp_path, write, name, shape, message):
    with pytest.raises(StudyWriteError, match=f"{name}: .*{message}"):
        write(tmp_path / name, np.zeros(shape), Scan(np.zeros(shape)))
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="POSIX limits")
@pytest.mark.parametrize("name", ["mask.nii.gz", "mask.nii", "mask.png", "mask.tif"])
def test_a_failing_disk_keeps_the_old_file(tmp_path, monkeypatch, name):
    scan = Scan(np.zeros((3, 4, 5))) if "nii" in name else PICTURE
    (tmp_path / name).write_bytes(b"old")

    def fail(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StudyWriteError, match=f"{name}: no space left on the disk .* the old file is unchanged"):
        write_mask(tmp_path / name, scan.pixels > 100, scan)
    assert (tmp_path / name).read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_missing_folder_is_said(tmp_path):
    with pytest.raises(StudyWriteError, match=r"the folder .* does not exist; nothing was written"):
        write_mask(tmp_path / "absent" / "mask.png", GREY > 0, PICTURE)


def _read_mask_of(tmp_path, array, name="mask.png", **options):
    Image.fromarray(array).save(tmp_path / name, **options)
    return read_mask(tmp_path / name)


@pytest.mark.parametrize("values", [(0, 1), (0, 255), (0, 7)])
def test_any_second_value_is_target(tmp_path, values):
    mask = GREY > 100
    np.testing.assert_array_equal(_read_mask_of(tmp_path, np.where(mask, *values[::-1]).astype(np.uint8)), mask)


def test_every_label_is_target(tmp_path):
    np.testing.assert_array_equal(_read_mask_of(tmp_path, GREY % 5), GREY % 5 > 0)


def test_soft_edges_are_cut_in_the_middle(tmp_path):
    soft = np.clip(GREY.astype(int) * 2 - 200, 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(_read_mask_of(tmp_path, soft), soft > 127)


def test_the_noise_of_jpeg_is_no_target(tmp_path):
    mask = np.zeros((64, 64), dtype=bool)
    mask[13:50, 9:41] = True
    read = _read_mask_of(tmp_path, np.where(mask, 255, 0).astype(np.uint8), "mask.jpg", quality=60)
    np.testing.assert_array_equal(read, mask)
    assert not _read_mask_of(tmp_path, np.full((64, 64), 3, np.uint8), "empty.jpg").any()


def test_a_white_jpeg_is_all_target(tmp_path):
    assert _read_mask_of(tmp_path, np.full((8, 8), 255, np.uint8), "full.jpg").all()


def test_a_mask_in_colour_is_target_where_any_channel_is(tmp_path):
    colours = np.zeros((4, 4, 3), dtype=np.uint8)
    colours[0, 0, 2], colours[1, 1, 0] = 255, 255
    assert np.argwhere(_read_mask_of(tmp_path, colours)).tolist() == [[0, 0], [1, 1]]


def test_a_probability_map_is_no_mask(save_nifti):
    with pytest.raises(StudyReadError, match="expected a mask of whole numbers, got fractions"):
        read_mask(save_nifti((VOLUME / 120).astype(np.float32)))


def test_a_mask_in_dicom_is_refused(save_dicom):
    with pytest.raises(StudyReadError, match="expected a mask as a picture or NIfTI, got DICOM"):
        read_mask(save_dicom(GREY))


def test_an_overlay_is_an_rgb_picture_with_the_mask_in_colour(tmp_path):
    mask = np.zeros(GREY.shape, dtype=bool)
    mask[3:7, 4:9] = True
    write_overlay(tmp_path / "overlay.png", PICTURE, mask)
    with Image.open(tmp_path / "overlay.png") as image:
        picture = np.asarray(image).astype(int)
    is_coloured = np.ptp(picture, axis=-1) > 0
    np.testing.assert_array_equal(is_coloured, mask)


def test_an_overlay_with_attention_is_warm_where_the_attention_is(tmp_path):
    attention = np.zeros(GREY.shape, dtype=np.float32)
    attention[:, 6:] = 1
    write_overlay(tmp_path / "overlay.png", PICTURE, GREY > 500, attention)
    with Image.open(tmp_path / "overlay.png") as image:
        picture = np.asarray(image).astype(int)
    assert (picture[:, 6:, 0] > picture[:, 6:, 2]).all()
    np.testing.assert_array_equal(picture[:, :6, 0], picture[:, :6, 2])


@pytest.mark.parametrize("with_attention", [False, True])
def test_an_overlay_of_a_volume_shows_the_slice_with_most_mask(tmp_path, with_attention):
    scan = Scan(np.stack([GREY * 0, GREY, GREY * 0]), spacing_mm=(5.0, 1.0, 1.0))
    mask = np.zeros(scan.shape, dtype=bool)
    mask[1, 2:5, 2:5] = mask[0, 2, 2] = True
    attention = np.zeros(scan.shape, np.float32) if with_attention else None
    write_overlay(tmp_path / "overlay.png", scan, mask, attention)
    with Image.open(tmp_path / "overlay.png") as image:
        bottom = np.asarray(image)[-1, :, 0].astype(int)
    np.testing.assert_allclose(bottom, to_display(scan.pixels)[1, -1], atol=4)


def test_an_overlay_is_png_only(tmp_path):
    with pytest.raises(StudyWriteError, match=r"overlay.jpg: an overlay is written as .png only"):
        write_overlay(tmp_path / "overlay.jpg", PICTURE, GREY > 0)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32, np.int64])
def test_display_spans_the_window_whatever_the_type(dtype):
    values = np.linspace(0, 250, 1000).astype(dtype).reshape(20, 50)
    display = to_display(values)
    assert (display.dtype, display.min(), display.max()) == (np.uint8, 0, 255)
    assert (np.diff(display.ravel().astype(int)) >= 0).all()


def test_display_ignores_a_few_extreme_pixels():
    values = np.linspace(0, 100, 10_000, dtype=np.float32).reshape(100, 100)
    values[0, 0] = 1e6
    assert int(to_display(values)[50, 50]) == pytest.approx(127, abs=3)


def test_display_of_a_nearly_empty_image_still_shows_it():
    values = np.zeros((100, 100), dtype=np.uint16)
    values[40, 40] = 9
    assert to_display(values)[40, 40] == 255


def test_display_of_a_constant_image_is_black():
    assert not to_display(np.full((4, 4), 7.0)).any()


def test_display_of_8_bit_colour_is_the_colour():
    colours = np.dstack([GREY] * 3)
    np.testing.assert_array_equal(to_display(colours, is_rgb=True), colours)


def test_json_keeps_order_and_takes_numpy_numbers(tmp_path):
    write_json(tmp_path / "result.json", {"z": np.float32(0.5), "a": {"Größe": np.int64(3)}, "list": np.arange(2)})
    text = (tmp_path / "result.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"z": 0.5, "a": {"Größe": 3}, "list": [0, 1]}
    assert text.index("z") < text.index("a")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_json_refuses_what_is_none_and_keeps_the_old_file(tmp_path, value):
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises((ValueError, TypeError)):
        write_json(tmp_path / "result.json", {"value": value})
    assert (tmp_path / "result.json").read_text() == "{}"


def test_the_gzip_of_a_mask_names_nobody(save_nifti, tmp_path):
    scan = read_scan(save_nifti(VOLUME))
    write_mask(tmp_path / "Canary.nii.gz", scan.pixels > 40, scan)
    content = (tmp_path / "Canary.nii.gz").read_bytes()
    assert b"Canary" not in content
    assert b"Canary" not in gzip.decompress(content)
