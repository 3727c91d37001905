"""A DICOM file: its values, its polarity and its spacing are right, or it is refused in words."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import gdcm
import numpy as np
import pydicom.data
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.sequence import Sequence
from pydicom.uid import (
    MPEG2MPML,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    MediaStorageDirectoryStorage,
    RLELossless,
    RTDoseStorage,
    SegmentationStorage,
)

from tmca_core.errors import StudyReadError
from tmca_core.geometry import to_native
from tmca_core.io import _dicom_pixels as pixels_module
from tmca_core.io import read_scan

STORED = np.arange(100, 100 + 6 * 8, dtype=np.uint16).reshape(6, 8)
UNSTATED_SIDE = "The file does not state where the patient's right is: taken to be at the left of the picture."
UNKNOWN_SPACING = "The file states no pixel spacing: lengths are unknown."
PYDICOM_FILES = Path(pydicom.data.__file__).parent / "test_files"


def _saved(dataset, tmp_path, syntax=None, name="scan.dcm"):
    if syntax is not None:
        dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(tmp_path / name, enforce_file_format=True)
    return tmp_path / name


def _encapsulated(dataset, frames, tmp_path, syntax, **elements):
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = encapsulate(frames)
    dataset["PixelData"].VR = "OB"
    return _saved(dataset, tmp_path, syntax)


def _coded(array, suffix, **options):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, suffix, **options)
    return buffer.getvalue()


def test_a_plain_image_is_read(save_dicom):
    scan = read_scan(save_dicom(STORED, PixelSpacing=[0.5, 0.25], Modality="CR"))
    np.testing.assert_array_equal(scan.pixels, STORED)
    assert (scan.shape, scan.spacing_mm, scan.modality, scan.is_rgb) == ((6, 8), (0.5, 0.25), "CR", False)
    assert (scan.affine_ras, scan.native, scan.notes) == (None, None, (UNSTATED_SIDE,))


def test_a_file_without_suffix_is_read(save_dicom):
    assert read_scan(save_dicom(STORED, name="IM0001")).shape == (6, 8)


def test_a_preamble_that_poses_as_a_tiff_is_dicom(save_dicom):
    path = save_dicom(STORED)
    path.write_bytes(b"II*\x00" + path.read_bytes()[4:])
    np.testing.assert_array_equal(read_scan(path).pixels, STORED)


def test_values_are_rescaled_and_stay_whole(save_dicom):
    scan = read_scan(save_dicom(STORED, RescaleSlope=1, RescaleIntercept=-1024))
    np.testing.assert_array_equal(scan.pixels, STORED.astype(int) - 1024)
    assert scan.pixels.dtype == np.int16


def test_a_fractional_slope_gives_floats(save_dicom):
    scan = read_scan(save_dicom(STORED, RescaleSlope="0.5", RescaleIntercept="0.25"))
    np.testing.assert_array_equal(scan.pixels, STORED * np.float32(0.5) + np.float32(0.25))


def test_rescaling_does_not_overflow(save_dicom):
    stored = np.array([[0, 65535]], dtype=np.uint16)
    assert read_scan(save_dicom(stored, RescaleSlope=3, RescaleIntercept=-5)).pixels.tolist() == [[-5, 196600]]


@pytest.mark.parametrize("slope", ["0", "0.0"])
def test_a_slope_of_zero_is_refused(save_dicom, slope):
    with pytest.raises(StudyReadError, match="expected a rescale slope other than 0, got 0"):
        read_scan(save_dicom(STORED, RescaleSlope=slope, RescaleIntercept="-1024"))


def test_signed_values_are_read(save_dicom):
    scan = read_scan(save_dicom(STORED.astype(np.int16) - 120))
    np.testing.assert_array_equal(scan.pixels, STORED.astype(np.int16) - 120)


def test_a_modality_table_is_applied(make_dicom, tmp_path):
    dataset = make_dicom(STORED - 100)
    table = Dataset()
    table.LUTDescriptor = [48, 0, 16]
    table.add_new("LUTData", "US", [1000 + 3 * n for n in range(48)])
    dataset.ModalityLUTSequence = Sequence([table])
    scan = read_scan(_saved(dataset, tmp_path))
    np.testing.assert_array_equal(scan.pixels, 1000 + 3 * (STORED.astype(int) - 100))
    assert "The modality's lookup table is applied." in scan.notes


@pytest.mark.parametrize("intercept", [None, -1000])
def test_monochrome1_is_inverted_within_its_range(save_dicom, intercept):
    scan = read_scan(save_dicom(STORED, PhotometricInterpretation="MONOCHROME1", RescaleIntercept=intercept))
    np.testing.assert_array_equal(scan.pixels, STORED[::-1, ::-1].astype(int) + (intercept or 0))
    assert "MONOCHROME1, in which dark is dense: inverted." in scan.notes


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_becomes_the_darkest_value_and_does_not_stretch_the_range(save_dicom, photometric):
    stored = STORED.astype(np.int16)
    stored[0, :3] = -2000
    path = save_dicom(stored, PhotometricInterpretation=photometric, PixelPaddingValue=-2000, RescaleSlope=2)
    scan = read_scan(path)
    assert (scan.pixels[0, :3] == 2 * 103).all()
    assert (scan.pixels.min(), scan.pixels.max()) == (2 * 103, 2 * 147)
    assert "3 padding pixels are set to the smallest value, 206." in scan.notes


def test_a_padding_range_is_padding(save_dicom):
    stored = STORED.copy()
    stored[0, :3] = [0, 5, 10]
    scan = read_scan(save_dicom(stored, PixelPaddingValue=0, PixelPaddingRangeLimit=10))
    assert (scan.pixels[0, :3] == 103).all()


def test_detector_spacing_is_not_taken_for_anatomy(save_dicom):
    scan = read_scan(save_dicom(STORED, ImagerPixelSpacing=[0.15, 0.15], Modality="DX"))
    assert scan.spacing_mm is None
    assert scan.notes == (
        "The file states the spacing of the detector plane, not of the anatomy: lengths are unknown.",
        UNSTATED_SIDE,
    )


def test_a_pixel_spacing_that_is_the_detector_s_is_told(save_dicom):
    scan = read_scan(save_dicom(STORED, ImagerPixelSpacing=[0.15, 0.15], PixelSpacing=[0.15, 0.15], Modality="DX"))
    assert scan.spacing_mm == (0.15, 0.15)
    assert "detector plane, not of the anatomy" in scan.notes[0]


@pytest.mark.parametrize("spacing", [None, [0, 0.5], [-1, 1], [0.5]])
def test_a_spacing_that_is_none_is_unknown(save_dicom, spacing):
    scan = read_scan(save_dicom(STORED, PixelSpacing=spacing))
    assert scan.spacing_mm is None
    assert scan.notes == (UNKNOWN_SPACING,)


@pytest.mark.parametrize(
    ("orientation", "flip"),
    [
        (["L", "F"], np.s_[:, :]),
        (["R", "F"], np.s_[:, ::-1]),
        (["L", "H"], np.s_[::-1, :]),
        (["RA", "HP"], np.s_[::-1, ::-1]),
    ],
)
def test_a_radiograph_is_shown_with_the_patient_s_right_at_the_left(save_dicom, tmp_path, orientation, flip):
    scan = read_scan(save_dicom(STORED, Modality="DX", PatientOrientation=orientation, ViewPosition="PA"))
    np.testing.assert_array_equal(scan.pixels, STORED[flip])
    assert UNSTATED_SIDE not in scan.notes
    if scan.native is not None:
        np.testing.assert_array_equal(to_native(scan.pixels, scan.native), STORED.T)


def test_a_lateral_view_stays_as_it_is_and_an_odd_one_is_told(save_dicom):
    scan = read_scan(save_dicom(STORED, Modality="DX", PatientOrientation=["A", "F"]))
    np.testing.assert_array_equal(scan.pixels, STORED)
    assert "A lateral view." in scan.notes
    scan = read_scan(save_dicom(STORED, Modality="DX", PatientOrientation=["F", "L"]))
    assert "The rows lead to F and the columns to L: shown as stored." in scan.notes


@pytest.mark.parametrize(
    ("cosines", "flip"),
    [
        ([1, 0, 0, 0, 1, 0], np.s_[:, :]),
        ([-1, 0, 0, 0, -1, 0], np.s_[::-1, ::-1]),
        ([-1, 0, 0, 0, 1, 0], np.s_[:, ::-1]),
    ],
)
def test_a_slice_alone_is_turned_to_the_radiological_view(save_dicom, cosines, flip):
    place = {"ImagePositionPatient": [10, 20, 30], "ImageOrientationPatient": cosines, "PixelSpacing": [0.5, 0.25]}
    scan = read_scan(save_dicom(STORED, **place))
    np.testing.assert_array_equal(scan.pixels, STORED[flip])
    corner = scan.native.affine_reading_ras @ [0, *np.argwhere(scan.pixels == STORED[0, 0])[0], 1]
    np.testing.assert_allclose(corner[:3], [-10, -20, 30])
    assert scan.spacing_mm == (0.5, 0.25)


@pytest.mark.parametrize("is_descending", [False, True])
def test_a_table_for_display_decides_on_polarity_alone(make_dicom, tmp_path, is_descending):
    dataset, table = make_dicom(STORED), Dataset()
    table.LUTDescriptor = [4, 100, 16]
    table.add_new("LUTData", "US", [3, 2, 1, 0] if is_descending else [0, 1, 2, 3])
    dataset.VOILUTSequence = Sequence([table])
    scan = read_scan(_saved(dataset, tmp_path))
    np.testing.assert_array_equal(scan.pixels, STORED[::-1, ::-1] if is_descending else STORED)
    assert any("VOI LUT" in note for note in scan.notes)


def test_colour_is_read(save_dicom, rng):
    colours = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    scan = read_scan(save_dicom(colours))
    np.testing.assert_array_equal(scan.pixels, colours)
    assert scan.is_rgb


def test_ybr_becomes_rgb(save_dicom):
    ybr = np.full((6, 8, 3), [76, 85, 255], dtype=np.uint8)
    scan = read_scan(save_dicom(ybr, PhotometricInterpretation="YBR_FULL"))
    np.testing.assert_allclose(scan.pixels[0, 0].astype(int), [254, 0, 0], atol=2)


def _palette(dataset, entries):
    for name, scale in (("Red", 1), ("Green", 0), ("Blue", 2)):
        dataset.add_new(f"{name}PaletteColorLookupTableDescriptor", "US", [entries, 0, 16])
        table = (np.arange(entries) * 256 * scale).astype("<u2").tobytes()
        dataset.add_new(f"{name}PaletteColorLookupTableData", "OW", table)
    return dataset


def test_palette_becomes_rgb(make_dicom, tmp_path):
    stored = np.arange(48, dtype=np.uint8).reshape(6, 8)
    scan = read_scan(_saved(_palette(make_dicom(stored, PhotometricInterpretation="PALETTE COLOR"), 48), tmp_path))
    np.testing.assert_array_equal(scan.pixels, np.stack([stored, stored * 0, stored * 2], axis=-1))


def test_an_index_beyond_the_palette_is_refused(make_dicom, tmp_path):
    stored = np.arange(48, dtype=np.uint8).reshape(6, 8)
    path = _saved(_palette(make_dicom(stored, PhotometricInterpretation="PALETTE COLOR"), 40), tmp_path)
    with pytest.raises(StudyReadError, match="expected palette indices 0 to 39, got 0 to 47"):
        read_scan(path)


@pytest.mark.parametrize("photometric", ["CMYK", "HSV", "ARGB"])
def test_colours_that_are_no_rgb_are_refused(save_dicom, photometric):
    with pytest.raises(StudyReadError, match=f"expected grey or RGB, got '{photometric}'|cannot be decoded"):
        read_scan(save_dicom(np.zeros((6, 8, 3), np.uint8), PhotometricInterpretation=photometric))


def test_rle_is_decoded(make_dicom, tmp_path):
    dataset = make_dicom(STORED)
    dataset.compress(RLELossless)
    np.testing.assert_array_equal(read_scan(_saved(dataset, tmp_path)).pixels, STORED)


@pytest.mark.parametrize("offset", [0, -120], ids=["unsigned", "signed"])
def test_jpeg_2000_is_decoded(make_dicom, tmp_path, offset):
    dataset = make_dicom(STORED)
    coded = _coded(STORED, "JPEG2000", irreversible=False, no_jp2=True)
    path = _encapsulated(dataset, [coded], tmp_path, JPEG2000Lossless, RescaleIntercept=offset, RescaleSlope=1)
    np.testing.assert_array_equal(read_scan(path).pixels, STORED.astype(int) + offset)


def test_jpeg_is_decoded(make_dicom, tmp_path):
    smooth = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    coded = _coded(smooth, "JPEG", quality=95)
    path = _encapsulated(make_dicom(smooth), [coded], tmp_path, JPEGBaseline8Bit)
    np.testing.assert_allclose(read_scan(path).pixels.astype(int), smooth, atol=4)


def test_gdcm_is_asked_last():
    assert pixels_module._PLUGINS[-1] == "gdcm"


def _jpeg_lossless(dataset, syntax, tmp_path):
    """Return a file with the dataset's pixels, encoded by gdcm."""
    source, target = tmp_path / "source.dcm", tmp_path / "lossless.dcm"
    dataset.save_as(source, enforce_file_format=True)
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(source))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(str.__str__(syntax))))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(target))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    assert dcmread(target).file_meta.TransferSyntaxUID == syntax
    return target


@pytest.mark.parametrize("syntax", [JPEGLossless, JPEGLosslessSV1])
@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "examples_rgb_color.dcm"])
def test_jpeg_lossless_gives_every_voxel(tmp_path, syntax, name):
    dataset = dcmread(get_testdata_file(name, download=False))
    path = _jpeg_lossless(dataset, syntax, tmp_path)
    np.testing.assert_array_equal(read_scan(path).pixels, read_scan(tmp_path / "source.dcm").pixels)


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9])
def test_a_cut_jpeg_lossless_is_refused(tmp_path, cut):
    path = _jpeg_lossless(dcmread(get_testdata_file("CT_small.dcm", download=False)), JPEGLosslessSV1, tmp_path)
    dataset = dcmread(path)
    (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
    dataset.PixelData = encapsulate([frame[: int(len(frame) * cut)]])
    dataset.save_as(path)
    with pytest.raises(StudyReadError, match=r"lossless.dcm: "):
        read_scan(path)


@pytest.mark.parametrize(("syntax", "name"), [(MPEG2MPML, "MPEG2 Main Profile"), (JPEGLSLossless, "JPEG-LS Lossless")])
def test_a_compression_without_a_decoder_is_named(make_dicom, tmp_path, monkeypatch, syntax, name):
    monkeypatch.setattr(pixels_module, "_PLUGINS", ("pillow",))
    path = _encapsulated(make_dicom(STORED), [b"\xff\xd8 nothing"], tmp_path, syntax)
    with pytest.raises(StudyReadError, match=f"no decoder for its compression, {name}.*to Explicit VR"):
        read_scan(path)


def test_damaged_compressed_pixels_are_said(make_dicom, tmp_path):
    coded = bytearray(_coded(STORED, "JPEG2000", irreversible=False, no_jp2=True))
    coded[:40] = bytes(40)
    path = _encapsulated(make_dicom(STORED), [bytes(coded)], tmp_path, JPEG2000Lossless)
    with pytest.raises(StudyReadError, match=r"its compressed pixels \(JPEG 2000 .*\) are damaged, or of a variant"):
        read_scan(path)


def test_a_cut_off_file_names_both_lengths(save_dicom):
    path = save_dicom(STORED)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(StudyReadError, match=r"the file is incomplete: 76 of 96 bytes of pixels"):
        read_scan(path)


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95, 0.999])
@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_a_cut_off_compressed_file_is_incomplete(make_dicom, tmp_path, rng, syntax, share):
    stored = rng.integers(0, 4096, (64, 64), dtype=np.uint16)
    dataset = make_dicom(stored)
    if syntax == RLELossless:
        dataset.compress(RLELossless)
        path = _saved(dataset, tmp_path)
    else:
        path = _encapsulated(dataset, [_coded(stored, "JPEG2000", irreversible=False, no_jp2=True)], tmp_path, syntax)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(StudyReadError, match="the file is incomplete: its header describes an image"):
        read_scan(path)


def test_a_file_cut_off_in_its_header_is_incomplete(save_dicom):
    path = save_dicom(STORED)
    path.write_bytes(path.read_bytes()[:420])
    with pytest.raises(StudyReadError, match=r"the file is (incomplete|damaged)"):
        read_scan(path)


def test_missing_frames_are_counted(make_dicom, tmp_path):
    coded = _coded(STORED, "JPEG2000", irreversible=False, no_jp2=True)
    path = _encapsulated(make_dicom(STORED), [coded, coded], tmp_path, JPEG2000Lossless, NumberOfFrames=3)
    with pytest.raises(StudyReadError, match=r"incomplete: 2 of 3 frames|are damaged"):
        read_scan(path)


@pytest.mark.parametrize("elements", [{"Rows": 60000, "Columns": 60000}, {"NumberOfFrames": 10**9}])
def test_a_declared_size_beyond_the_file_is_refused_before_it_is_allocated(save_dicom, elements):
    with pytest.raises(StudyReadError, match=r"the file is incomplete: 96 of \d+ bytes of pixels"):
        read_scan(save_dicom(STORED, **elements))


def test_a_compressed_bomb_is_refused_before_it_is_unpacked(make_dicom, tmp_path):
    path = _encapsulated(make_dicom(STORED), [bytes(200)], tmp_path, RLELossless, Rows=60000, Columns=60000)
    with pytest.raises(StudyReadError, match=r"the header declares 7.2 GB of pixels, and the file holds 2\d\d bytes"):
        read_scan(path)


@pytest.mark.parametrize("keyword", ["Rows", "Columns"])
def test_a_size_of_zero_is_refused(save_dicom, keyword):
    with pytest.raises(StudyReadError, match=f"expected an image with pixels, got {keyword} = 0"):
        read_scan(save_dicom(STORED, **{keyword: 0}))


@pytest.mark.parametrize("keyword", ["Columns", "BitsAllocated", "SamplesPerPixel", "PhotometricInterpretation"])
def test_a_missing_element_is_named(save_dicom, keyword):
    with pytest.raises(StudyReadError, match=f"the header lacks {keyword}"):
        read_scan(save_dicom(STORED, **{keyword: None}))


def test_a_contradictory_element_is_named(save_dicom):
    with pytest.raises(StudyReadError, match="contradictory header: BitsAllocated is not one number"):
        read_scan(save_dicom(STORED, BitsAllocated=[16, 8]))


def test_a_missing_transfer_syntax_is_not_guessed(save_dicom):
    path = save_dicom(STORED)
    element = b"\x02\x00\x10\x00UI"
    path.write_bytes(path.read_bytes().replace(element, b"\x02\x00\x17\x00UI"))
    with pytest.raises(StudyReadError, match=r"does not state how the file is encoded \(its transfer syntax\)"):
        read_scan(path)


@pytest.mark.parametrize(
    ("sop_class", "message"),
    [
        (SegmentationStorage, "a segmentation, not a scan"),
        (RTDoseStorage, "a radiation dose, not a scan"),
        (MediaStorageDirectoryStorage, "a DICOMDIR, the index of a disc"),
    ],
)
def test_what_is_no_scan_is_named(save_dicom, sop_class, message):
    with pytest.raises(StudyReadError, match=f"scan.dcm: {message}"):
        read_scan(save_dicom(STORED, SOPClassUID=sop_class))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rtplan.dcm", r"a DICOM object without an image \(RT Plan Storage\)"),
        ("test-SR.dcm", r"a DICOM object without an image \(Comprehensive SR Storage\)"),
        ("waveform_ecg.dcm", r"a DICOM object without an image \(12-lead ECG Waveform Storage\)"),
        ("liver_1frame.dcm", "a segmentation, not a scan"),
        ("MR_truncated.dcm", "the file is incomplete: 8130 of 8192 bytes of pixels"),
        ("no_meta.dcm", "not an image"),
        ("meta_missing_tsyntax.dcm", "the header does not state how the file is encoded"),
    ],
)
def test_odd_files_of_pydicom_are_refused_in_words(name, message):
    with pytest.raises(StudyReadError, match=f"{name}: {message}"):
        read_scan(PYDICOM_FILES / name)


@pytest.mark.parametrize(
    "name",
    [
        "MR_small.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_RLE.dcm",
        "MR_small_jp2klossless.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
    ],
)
def test_every_encoding_of_one_image_gives_its_bytes(name):
    stored = np.frombuffer(pydicom.dcmread(PYDICOM_FILES / "MR_small.dcm").PixelData, "<i2").reshape(64, 64)
    np.testing.assert_array_equal(read_scan(PYDICOM_FILES / name).pixels, stored)


def test_ct_numbers_are_hounsfield_units():
    stored = np.frombuffer(pydicom.dcmread(PYDICOM_FILES / "CT_small.dcm").PixelData, "<i2").reshape(128, 128)
    np.testing.assert_array_equal(read_scan(PYDICOM_FILES / "CT_small.dcm").pixels, stored - 1024)


def test_no_message_or_note_speaks_of_the_patient(save_dicom):
    path = save_dicom(STORED, PixelPaddingValue=100)
    assert not any("Canary" in note for note in read_scan(path).notes)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(StudyReadError) as caught:
        read_scan(path)
    assert "Canary" not in str(caught.value)


def test_bytes_changed_at_random_give_an_image_or_a_sentence(save_dicom, rng):
    path = save_dicom(STORED, RescaleSlope=1, RescaleIntercept=-1024, PixelSpacing=[1, 1])
    content = path.read_bytes()
    for _ in range(150):
        changed = bytearray(content)
        for place in rng.integers(132, len(content), 4):
            changed[place] = rng.integers(256)
        path.write_bytes(changed)
        with contextlib.suppress(StudyReadError):
            assert np.isfinite(read_scan(path).pixels).all()


def test_a_damaged_class_is_not_quoted(make_dicom, tmp_path):
    """Its length may reach over what follows in the header."""
    dataset = make_dicom(STORED)
    del dataset.PixelData, dataset.Rows
    dataset.SOPClassUID = "1.2.3.4"
    path = _saved(dataset, tmp_path)
    path.write_bytes(path.read_bytes().replace(b"UI\x08\x001.2.3.4", b"UI\x08\x001.2\n3.4"))
    with pytest.raises(StudyReadError, match=r"a DICOM object without an image\.") as raised:
        read_scan(path)
    assert "\n" not in raised.value.message
