"""NIfTI is read complete or not at all, in the reading directions, and every doubt about its geometry is told."""

from __future__ import annotations

import gzip

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from tmca_core.errors import ChoiceError, GeometryError, StudyReadError
from tmca_core.io import read_scan

VOLUME = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
OBLIQUE = np.array([[-0.7, 0.1, 0.2, 30.0], [0.1, -0.89, 0.3, -12.0], [0.1, 0.2, 2.9, 80.0], [0, 0, 0, 1]])


def _header_edit(path, offset, content):
    """Overwrite bytes of a plain .nii file."""
    data = bytearray(path.read_bytes())
    data[offset : offset + len(content)] = content
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
@pytest.mark.parametrize("image_class", [nib.Nifti1Image, nib.Nifti2Image], ids=["1", "2"])
def test_a_volume_in_lps_order_is_read_as_stored(save_nifti, name, image_class):
    scan = read_scan(save_nifti(VOLUME, name=name, image_class=image_class))
    np.testing.assert_array_equal(scan.pixels, VOLUME.T)
    assert scan.spacing_mm == pytest.approx((3.0, 0.9, 0.7))
    assert scan.notes == ()
    assert scan.pixels.dtype == np.int16


@pytest.mark.parametrize("codes", ["RAS", "LPI", "PSR", "ASL", "SRP", "IAL"])
def test_the_patient_s_left_is_at_the_right_and_the_front_on_top(save_nifti, codes):
    image = nib.Nifti1Image(VOLUME, OBLIQUE)
    turned = image.as_reoriented(
        nib.orientations.ornt_transform(
            nib.orientations.io_orientation(OBLIQUE), nib.orientations.axcodes2ornt(tuple(codes))
        )
    )
    scan = read_scan(save_nifti(np.asarray(turned.dataobj), turned.affine))
    np.testing.assert_array_equal(scan.pixels, VOLUME.T)
    expected = OBLIQUE[:, [2, 1, 0, 3]]
    np.testing.assert_allclose(scan.affine_ras, expected, atol=1e-5)
    assert f"Stored as {codes}: axes turned to the radiological view." in scan.notes


@pytest.mark.parametrize("dtype", [">i2", ">f4", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_every_type_and_byte_order_keeps_its_values(save_nifti, dtype):
    header = nib.Nifti1Header(endianness=">" if dtype.startswith(">") else "<")
    header.set_data_dtype(dtype)
    image = nib.Nifti1Image(VOLUME.astype(dtype), np.diag([-1, -1, 1, 1]), header)
    path = save_nifti(VOLUME)
    nib.save(image, path)
    scan = read_scan(path)
    np.testing.assert_array_equal(scan.pixels, VOLUME.T)
    assert scan.pixels.dtype == np.dtype(dtype).newbyteorder("=")


def test_slope_and_intercept_are_applied(save_nifti):
    image = nib.Nifti1Image(VOLUME, np.diag([-1, -1, 1, 1]))
    image.header.set_slope_inter(0.5, -1024)
    path = save_nifti(VOLUME)
    nib.save(image, path)
    raw = gzip.decompress(path.read_bytes())
    stored = np.frombuffer(raw[352:], np.int16).reshape(VOLUME.shape, order="F")
    scan = read_scan(path)
    np.testing.assert_allclose(scan.pixels, stored.T * 0.5 - 1024)
    assert scan.pixels.dtype == np.float32


@pytest.mark.parametrize("names", ["RGB", "RGBA"])
def test_colour_is_read_and_alpha_dropped(save_nifti, names):
    colours = np.zeros((4, 5, 6), dtype=[(name, "u1") for name in names])
    for number, name in enumerate(names):
        colours[name] = VOLUME + 40 * number
    scan = read_scan(save_nifti(colours))
    np.testing.assert_array_equal(scan.pixels, np.stack([VOLUME.T + 40 * n for n in range(3)], axis=-1))
    assert scan.is_rgb
    assert scan.shape == (6, 5, 4)
    assert scan.notes == (("The alpha channel is dropped.",) if names == "RGBA" else ())


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 1, 1)])
def test_one_slice_is_an_image(save_nifti, shape):
    scan = read_scan(save_nifti(VOLUME[..., 0].reshape(shape)))
    np.testing.assert_array_equal(scan.pixels, VOLUME[..., 0].T)
    assert scan.spacing_mm == pytest.approx((0.9, 0.7))
    assert scan.affine_ras is None


def test_one_frame_in_four_axes_is_a_volume(save_nifti):
    np.testing.assert_array_equal(read_scan(save_nifti(VOLUME[..., np.newaxis])).pixels, VOLUME.T)


@pytest.mark.parametrize("shape", [(4, 5, 3, 2), (4, 5, 1, 1, 6), (120,)])
def test_more_than_one_volume_is_refused_with_its_shape(save_nifti, shape):
    with pytest.raises(StudyReadError, match=rf"expected a 2-D or 3-D image, got shape \({shape[0]},"):
        read_scan(save_nifti(VOLUME.reshape(shape)))


def test_of_several_volumes_one_is_chosen(save_nifti):
    stored = np.arange(2 * 3 * 4 * 5, dtype=np.int16).reshape(2, 3, 4, 5)
    path = save_nifti(stored)
    with pytest.raises(ChoiceError, match=r"got shape \(2, 3, 4, 5\). Choose one with frame=1 to 5"):
        read_scan(path)
    scan = read_scan(path, frame=3)
    np.testing.assert_array_equal(scan.pixels, stored[..., 2].T)
    assert "Volume 3 of 5." in scan.notes
    with pytest.raises(ChoiceError, match="expected a volume from 1 to 5, got 6"):
        read_scan(path, frame=6)


def test_complex_values_are_refused(save_nifti):
    with pytest.raises(StudyReadError, match="expected real numbers, got complex64"):
        read_scan(save_nifti(VOLUME.astype(np.complex64)))


def test_not_finite_voxels_are_replaced_and_counted(save_nifti):
    values = VOLUME.astype(np.float32)
    values[0, 0, :2] = [np.nan, -np.inf]
    scan = read_scan(save_nifti(values))
    assert np.isfinite(scan.pixels).all()
    assert scan.notes == ("2 of 120 values are NaN or infinite: replaced by the smallest value, 2.",)


def test_a_pair_is_read_from_either_file(save_nifti):
    path = save_nifti(VOLUME, name="scan.img", image_class=nib.Nifti1Pair)
    for given in (path, path.with_suffix(".hdr")):
        np.testing.assert_array_equal(read_scan(given).pixels, VOLUME.T)


@pytest.mark.parametrize("missing", ["hdr", "img"])
def test_half_a_pair_names_the_other_half(save_nifti, missing):
    path = save_nifti(VOLUME, name="scan.img", image_class=nib.Nifti1Pair)
    path.with_suffix(f".{missing}").unlink()
    given = path.with_suffix(".img" if missing == "hdr" else ".hdr")
    with pytest.raises(StudyReadError, match=f"the companion file scan.{missing} is missing"):
        read_scan(given)


def test_a_cut_off_half_of_a_pair_is_refused(save_nifti):
    path = save_nifti(VOLUME, name="scan.img", image_class=nib.Nifti1Pair)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StudyReadError, match=r"scan.img: the file is incomplete: 100 of 240 bytes"):
        read_scan(path)


def test_analyze_is_read_in_stored_order(tmp_path):
    image = nib.Spm99AnalyzeImage(VOLUME, np.diag([-2, 3, 4, 1]))
    nib.save(image, tmp_path / "scan.img")
    (tmp_path / "scan.mat").unlink(missing_ok=True)
    scan = read_scan(tmp_path / "scan.hdr")
    np.testing.assert_array_equal(scan.pixels, VOLUME.T)
    assert (scan.spacing_mm, scan.affine_ras) == ((4.0, 3.0, 2.0), None)
    assert scan.notes == ("ANALYZE states no orientation: slices are shown in stored order.",)


def test_without_orientation_the_order_is_kept_and_told(tmp_path):
    image = nib.Nifti1Image(VOLUME, None)
    image.header.set_zooms((2, 3, 4))
    nib.save(image, tmp_path / "scan.nii.gz")
    scan = read_scan(tmp_path / "scan.nii.gz")
    np.testing.assert_array_equal(scan.pixels, VOLUME.T)
    assert (scan.spacing_mm, scan.affine_ras) == ((4.0, 3.0, 2.0), None)
    assert scan.notes == ("The file states no orientation: slices are shown in stored order.",)


def test_qform_is_used_where_it_is_alone(save_nifti):
    scan = read_scan(save_nifti(VOLUME, codes=(1, 0)))
    np.testing.assert_allclose(scan.affine_ras[:, 3], [0, 0, 0, 1])
    assert scan.spacing_mm == pytest.approx((3.0, 0.9, 0.7))


def test_a_disagreement_of_qform_and_sform_is_told(save_nifti):
    path = save_nifti(VOLUME, name="scan.nii")
    assert read_scan(path).notes == ()
    _header_edit(path, 268, np.float32(25).tobytes())  # qoffset_x
    scan = read_scan(path)
    told = 'qform and sform disagree: the sform is used; affine="qform" (--affine qform) takes the other.'
    assert scan.notes == (told,)
    assert scan.affine_ras[0, 3] == 0
    np.testing.assert_array_equal(read_scan(path, affine="sform").affine_ras, scan.affine_ras)


def test_of_qform_and_sform_the_one_asked_for_is_used(save_nifti):
    path = save_nifti(VOLUME, name="scan.nii")
    assert read_scan(path, affine="qform").notes == ("The qform is used, as asked.",)
    _header_edit(path, 268, np.float32(25).tobytes())  # qoffset_x
    scan = read_scan(path, affine="qform")
    assert scan.notes == ("qform and sform disagree: the qform is used, as asked.",)
    assert scan.affine_ras[0, 3] == pytest.approx(25)
    with pytest.raises(ChoiceError, match=r"disagree about .* lies. Choose one with affine=sform or qform"):
        read_scan(path, affine="ask")


def test_an_affine_that_is_asked_for_and_not_stated_is_refused(save_nifti):
    with pytest.raises(StudyReadError, match="the qform was asked for, and the file states only a sform"):
        read_scan(save_nifti(VOLUME, codes=(0, 2)), affine="qform")


def test_an_affine_of_a_picture_is_refused(tmp_path):
    Image.fromarray(VOLUME[..., 0].astype(np.uint8)).save(tmp_path / "scan.png")
    with pytest.raises(StudyReadError, match="the sform was asked for, and only NIfTI has one; this is PNG"):
        read_scan(tmp_path / "scan.png", affine="sform")


@pytest.mark.parametrize(
    ("row", "message"), [([0, 0, 0, 0], "singular"), ([np.nan, 0, 0, 0], "NaN or infinite")], ids=["zero", "nan"]
)
def test_an_affine_that_is_no_grid_is_refused(save_nifti, row, message):
    path = _header_edit(save_nifti(VOLUME, name="scan.nii"), 280, np.array(row, np.float32).tobytes())  # srow_x
    with pytest.raises(GeometryError, match=f"scan.nii: .*{message}"):
        read_scan(path)


def test_a_sheared_affine_is_told(save_nifti):
    affine = np.diag([-1.0, -1.0, 2.0, 1.0])
    affine[1, 2] = 0.7
    assert any("not perpendicular" in note for note in read_scan(save_nifti(VOLUME, affine, codes=(0, 2))).notes)


def test_lengths_in_metres_become_millimetres(save_nifti):
    image = nib.Nifti1Image(VOLUME, np.diag([-0.0007, -0.0009, 0.003, 1]))
    image.header.set_xyzt_units("meter")
    path = save_nifti(VOLUME)
    nib.save(image, path)
    scan = read_scan(path)
    assert scan.spacing_mm == pytest.approx((3.0, 0.9, 0.7))
    assert np.linalg.norm(scan.affine_ras[:3, 0]) == pytest.approx(3.0)
    assert scan.notes == ("Lengths are converted from meters to millimetres.",)


def test_header_extensions_do_not_matter(save_nifti):
    image = nib.Nifti1Image(VOLUME, np.diag([-1, -1, 1, 1]))
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"x" * 3000))
    path = save_nifti(VOLUME)
    nib.save(image, path)
    np.testing.assert_array_equal(read_scan(path).pixels, VOLUME.T)


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.995])
def test_a_cut_off_file_names_both_lengths(save_nifti, rng, name, share):
    path = save_nifti(rng.integers(0, 9999, (16, 16, 16), dtype=np.int16), name=name)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(StudyReadError, match=rf"{name}: the file is incomplete: \d+ of 8544 bytes"):
        read_scan(path)


def test_a_missing_checksum_is_a_cut_off_file(save_nifti):
    path = save_nifti(VOLUME)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(StudyReadError, match="the file is incomplete"):
        read_scan(path)


def test_no_flipped_bit_of_a_gzipped_file_goes_unseen(save_nifti, rng):
    """nibabel alone reads about half of these with wrong voxels and says nothing."""
    volume = rng.integers(0, 3000, (12, 12, 12), dtype=np.int16)
    path = save_nifti(volume)
    content = path.read_bytes()
    for bit in rng.integers(0, 8 * len(content), 300):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(flipped)
        try:
            scan = read_scan(path)
        except StudyReadError:
            continue
        np.testing.assert_array_equal(scan.pixels, volume.T)
        np.testing.assert_allclose(scan.spacing_mm, (3.0, 0.9, 0.7), atol=1e-6)


def test_a_wrong_checksum_is_said(save_nifti):
    path = save_nifti(VOLUME)
    content = bytearray(path.read_bytes())
    content[-6] ^= 1
    path.write_bytes(content)
    with pytest.raises(StudyReadError, match=r"the file is damaged \(checksum failed"):
        read_scan(path)


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_a_declared_size_beyond_the_file_is_refused_before_it_is_allocated(save_nifti, name):
    header = nib.Nifti1Header()
    header.set_data_shape((30000, 30000, 30000))
    content = header.binaryblock + bytes(4000)
    path = save_nifti(VOLUME, name=name)
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    with pytest.raises(StudyReadError, match=r"(declares 108 TB of pixels|incomplete)"):
        read_scan(path)


def test_more_data_than_the_header_declares_is_not_unpacked_to_the_end(save_nifti):
    path = save_nifti(VOLUME)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + bytes(5_000_000)))
    with pytest.raises(StudyReadError, match="592 bytes declared in its header, and more follow"):
        read_scan(path)


@pytest.mark.parametrize("dims", [(3, 0, 5, 6), (3, -4, 5, 6), (0, 4, 5, 6), (9, 4, 5, 6)])
def test_a_header_without_voxels_is_refused(save_nifti, dims):
    path = _header_edit(save_nifti(VOLUME, name="scan.nii"), 40, np.array(dims, np.int16).tobytes())
    with pytest.raises(StudyReadError, match=r"expected an image with pixels, got shape|the file is damaged"):
        read_scan(path)


@pytest.mark.parametrize(("name", "kind"), [("scan.nii", "gzipped NIfTI"), ("scan.nii.gz", "NIfTI")])
def test_compression_is_told_from_the_content(save_nifti, name, kind):
    path = save_nifti(VOLUME, name=name)
    content = path.read_bytes()
    path.write_bytes(gzip.compress(content) if name == "scan.nii" else gzip.decompress(content))
    scan = read_scan(path)
    np.testing.assert_array_equal(scan.pixels, VOLUME.T)
    assert scan.notes == (f"The content is {kind}, although the name ends in {name.removeprefix('scan')}.",)
