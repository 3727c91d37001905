"""NRRD and MetaImage as SimpleITK writes them, and damaged ones."""

from __future__ import annotations

import numpy as np
import pytest

from tmca_core.errors import ChoiceError, GeometryError, StudyReadError
from tmca_core.io import read_mask, read_scan

IDENTITY = np.eye(3)
OBLIQUE = np.array([[0.96, -0.28, 0], [0.28, 0.96, 0], [0, 0, 1.0]])
FLIPPED = np.diag([-1.0, 1.0, -1.0])
SAGITTAL = np.array([[0, 0, 1.0], [1, 0, 0], [0, -1, 0]])
SUFFIXES = [".nrrd", ".nhdr", ".mha", ".mhd"]


@pytest.fixture
def save(tmp_path, rng):
    sitk = pytest.importorskip("SimpleITK")

    def save(suffix, direction=IDENTITY, dtype=np.int16, is_packed=True, shape=(4, 5, 6), is_vector=False):
        stored = rng.integers(0, 100, shape).astype(dtype)
        image = sitk.GetImageFromArray(stored, isVector=is_vector)
        if image.GetDimension() == 3:
            image.SetSpacing((0.5, 0.75, 2.5))
            image.SetOrigin((-10.0, 20.0, 30.0))
            image.SetDirection(direction.ravel().tolist())
        path = tmp_path / f"scan{suffix}"
        sitk.WriteImage(image, str(path), useCompression=is_packed)
        return path, stored, image

    return save


@pytest.mark.parametrize(
    "direction", [np.eye(3), FLIPPED, SAGITTAL, OBLIQUE], ids=["lps", "flipped", "sagittal", "oblique"]
)
@pytest.mark.parametrize("suffix", [*SUFFIXES, ".nii.gz"])
def test_every_voxel_lies_where_simpleitk_puts_it(save, suffix, direction):
    path, stored, image = save(suffix, direction)
    scan = read_scan(path)
    assert sorted(scan.shape) == [4, 5, 6]
    for z, y, x in [(0, 0, 0), (3, 4, 5), (1, 2, 3), (2, 0, 4)]:
        world = np.array(image.TransformIndexToPhysicalPoint((x, y, z))) * [-1, -1, 1]
        index = np.linalg.solve(scan.affine_ras, [*world, 1])[:3]
        np.testing.assert_allclose(index, np.rint(index), atol=1e-4)
        assert scan.pixels[tuple(np.rint(index).astype(int))] == stored[z, y, x]
    assert np.prod(scan.spacing_mm) == pytest.approx(0.5 * 0.75 * 2.5)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_every_type_keeps_its_values(save, suffix, dtype):
    for is_packed in (False, True):
        path, stored, _ = save(suffix, dtype=dtype, is_packed=is_packed)
        scan = read_scan(path)
        np.testing.assert_array_equal(scan.pixels, stored)
        assert scan.pixels.dtype == dtype


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_colour_and_one_slice_are_read(save, suffix):
    path, stored, _ = save(suffix, dtype=np.uint8, shape=(4, 5, 6, 3), is_vector=True)
    scan = read_scan(path)
    assert scan.is_rgb
    np.testing.assert_array_equal(scan.pixels, stored)
    path, stored, _ = save(suffix, shape=(5, 6))
    scan = read_scan(path)
    assert scan.shape == (5, 6)
    np.testing.assert_array_equal(scan.pixels, stored)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_of_several_volumes_one_is_chosen(save, suffix):
    path, stored, _ = save(suffix, shape=(3, 4, 5, 6))
    with pytest.raises(ChoiceError, match=r"expected a 2-D or 3-D image, got shape") as caught:
        read_scan(path)
    assert caught.value.options == ("volume 1", "volume 2", "volume 3")
    np.testing.assert_array_equal(read_scan(path, frame=2).pixels, stored[1])


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_a_mask_is_read(save, suffix):
    path, stored, _ = save(suffix, dtype=np.uint8)
    np.testing.assert_array_equal(read_mask(path), stored != 0)


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_a_cut_off_file_is_incomplete(save, suffix, is_packed):
    path, *_ = save(suffix, is_packed=is_packed)
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(StudyReadError, match="the file is incomplete: "):
        read_scan(path)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_no_flipped_bit_of_packed_voxels_goes_unseen(save, suffix, rng):
    path, stored, _ = save(suffix, shape=(4, 16, 16))
    content = path.read_bytes()
    for place in rng.integers(len(content) - 600, len(content), 40):
        changed = bytearray(content)
        changed[place] ^= 1 << rng.integers(8)
        path.write_bytes(changed)
        try:
            np.testing.assert_array_equal(read_scan(path).pixels, stored)
        except StudyReadError:
            continue


@pytest.mark.parametrize(("suffix", "sizes"), [(".nrrd", b"sizes: 6 5 4"), (".mha", b"DimSize = 6 5 4")])
def test_a_declared_size_beyond_the_file_is_refused_before_it_is_allocated(save, suffix, sizes):
    for is_packed in (False, True):
        path, *_ = save(suffix, is_packed=is_packed)
        content = path.read_bytes()
        assert sizes in content
        path.write_bytes(content.replace(sizes, sizes.replace(b"6 5 4", b"60000 5000 4000")))
        with pytest.raises(StudyReadError, match=r"is incomplete|the header declares 2.4 TB"):
            read_scan(path)


@pytest.mark.parametrize(("suffix", "field"), [(".nhdr", b"data file: "), (".mhd", b"ElementDataFile = ")])
def test_voxels_outside_the_folder_or_missing_are_refused(save, suffix, field):
    path, *_ = save(suffix)
    start, _, _ = path.read_bytes().partition(field)
    path.write_bytes(start + field + b"../../etc/passwd\n")
    with pytest.raises(StudyReadError, match="refers to voxels outside its folder"):
        read_scan(path)
    path.write_bytes(start + field + b"absent.raw\n")
    with pytest.raises(StudyReadError, match=r"the companion file absent.raw is missing"):
        read_scan(path)


HEADER = "NRRD0004\ntype: uint8\ndimension: 2\nsizes: 3 2\nencoding: raw\n"


@pytest.mark.parametrize("name", [b"a\x00b.raw", b"long" * 2000], ids=["NUL", "long"])
def test_a_companion_whose_name_is_none_is_said(tmp_path, name):
    header = b"NDims = 2\nDimSize = 2 2\nElementType = MET_UCHAR\nElementDataFile = " + name + b"\n"
    (tmp_path / "scan.mhd").write_bytes(header)
    with pytest.raises(StudyReadError, match=r"scan.mhd: the file is damaged \(the name of its companion file is none"):
        read_scan(tmp_path / "scan.mhd")


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (HEADER.replace("uint8", "block"), StudyReadError, "expected numbers, got values of type 'block'"),
        (HEADER.replace("raw", "hex"), StudyReadError, "expected the encoding raw, gzip or bzip2, got 'hex'"),
        (HEADER.replace("sizes: 3 2", "sizes: 3 0"), StudyReadError, "expected sizes with sizes from 1"),
        (HEADER.replace("sizes: 3 2", "sizes: x"), StudyReadError, "sizes holds no numbers"),
        (HEADER.replace("sizes: 3 2\n", ""), StudyReadError, "the header lacks sizes"),
        (HEADER + "space: RAS\nspace directions: (1,0,0) (1,0,0)\n", GeometryError, "singular"),
        (HEADER.strip(), StudyReadError, "its header has no end"),
    ],
)
def test_a_header_that_is_none_is_said(tmp_path, text, error, message):
    path = tmp_path / "scan.nrrd"
    path.write_bytes(text.encode() + (b"\n" if text.endswith("\n") else b"") + b"abcdef")
    with pytest.raises(error, match=message):
        read_scan(path)
