"""Frames and folders of slices become a volume that lies where the scanner put it, or are refused in words."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage

from tmca_core.errors import ChoiceError, GeometryError, SpacingError, StudyReadError
from tmca_core.io import FilesRead, read_mask, read_scan, read_scan_steps, write_mask

NUMBER, ROWS, COLUMNS = 5, 6, 8
VOLUME = np.arange(NUMBER * ROWS * COLUMNS, dtype=np.int16).reshape(NUMBER, ROWS, COLUMNS)
AXIAL = [1, 0, 0, 0, 1, 0]
CORONAL = [1, 0, 0, 0, 0, -1]
SAGITTAL = [0, 1, 0, 0, 0, -1]
OBLIQUE = [0.96, 0.28, 0, -0.28, 0.96, 0]


def _positions(orientation, step=2.5, number=NUMBER):
    normal = np.cross(orientation[:3], orientation[3:])
    return [[*(np.array([-30.0, -20.0, 100.0]) + n * step * normal)] for n in range(number)]


@pytest.fixture
def save_series(save_dicom):
    """Save slices in a shuffled order of file names, and return the folder."""

    def save(positions, orientation=AXIAL, stored=VOLUME, order=None, **elements):
        order = list(np.random.default_rng(1).permutation(len(positions))) if order is None else order
        for name, z in enumerate(order):
            geometry = {
                "ImagePositionPatient": [float(f"{v:.6f}") for v in positions[z]],
                "ImageOrientationPatient": orientation,
                "PixelSpacing": [0.75, 0.5],
                "SeriesInstanceUID": "1.2.3",
            }
            path = save_dicom(stored[z], name=f"series/{name:03}", **(geometry | elements))
        return path.parent

    return save


def _world_of(affine_ras, index):
    return (affine_ras @ [*index, 1])[:3]


@pytest.mark.parametrize(
    "orientation", [AXIAL, CORONAL, SAGITTAL, OBLIQUE], ids=["axial", "coronal", "sagittal", "oblique"]
)
@pytest.mark.parametrize("step", [2.5, -2.5], ids=["along", "against"])
def test_every_voxel_lies_where_the_scanner_put_it(save_series, orientation, step):
    scan = read_scan(save_series(_positions(orientation, step), orientation))
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    for z, y, x in [(0, 0, 0), (1, 2, 3), (4, 5, 7)]:
        lps = np.array(_positions(orientation, step)[z]) + x * 0.5 * row + y * 0.75 * column
        index = np.argwhere(scan.pixels == VOLUME[z, y, x])[0]
        np.testing.assert_allclose(_world_of(scan.affine_ras, index), lps * [-1, -1, 1], atol=1e-5)
    assert scan.pixels.dtype == np.int16


def test_an_axial_series_is_read_from_foot_to_head_as_it_is_shown(save_series):
    scan = read_scan(save_series(_positions(AXIAL)))
    np.testing.assert_array_equal(scan.pixels, VOLUME)
    assert scan.spacing_mm == pytest.approx((2.5, 0.75, 0.5))
    assert (scan.modality, scan.notes) == ("CT", ())


def test_a_mask_of_a_series_goes_to_nifti_and_back(save_series, tmp_path):
    scan = read_scan(save_series(_positions(OBLIQUE), OBLIQUE))
    write_mask(tmp_path / "mask.nii.gz", scan.pixels > 50, scan)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.nii.gz"), scan.pixels > 50)
    again = read_scan(tmp_path / "mask.nii.gz")
    np.testing.assert_allclose(again.affine_ras, scan.affine_ras, atol=1e-4)


def test_rescaling_is_that_of_each_slice_and_inversion_that_of_the_volume(save_series, save_dicom):
    folder = save_series(_positions(AXIAL), order=[0, 1, 2, 3], PhotometricInterpretation="MONOCHROME1")
    save_dicom(
        VOLUME[4],
        name="series/004",
        PhotometricInterpretation="MONOCHROME1",
        ImagePositionPatient=_positions(AXIAL)[4],
        ImageOrientationPatient=AXIAL,
        PixelSpacing=[0.75, 0.5],
        SeriesInstanceUID="1.2.3",
        RescaleSlope=2,
    )
    values = VOLUME.astype(int)
    values[4] *= 2
    np.testing.assert_array_equal(read_scan(folder).pixels, values.max() - values)


def test_other_files_in_the_folder_are_left_out_and_counted(save_series):
    folder = save_series(_positions(AXIAL))
    (folder / "README.txt").write_text("x")
    (folder / ".DS_Store").write_bytes(b"x")
    scan = read_scan(folder)
    assert scan.shape == VOLUME.shape
    assert scan.notes == ("2 other files in the folder are left out.",)


def test_one_slice_alone_is_an_image(save_series):
    scan = read_scan(save_series(_positions(AXIAL)[:1]))
    np.testing.assert_array_equal(scan.pixels, VOLUME[0])


def test_a_missing_slice_is_refused_with_its_place(save_series):
    with pytest.raises(GeometryError, match=r"uneven slices: 5 mm from .* \(slices 2 and 3\), 2.5 mm elsewhere"):
        read_scan(save_series(_positions(AXIAL), order=[0, 1, 3, 4]))


def test_uneven_slices_are_refused(save_series):
    positions = _positions(AXIAL)
    positions[2][2] += 0.4
    with pytest.raises(GeometryError, match="uneven slices"):
        read_scan(save_series(positions))


def test_two_slices_at_one_place_are_refused_by_name(save_series):
    with pytest.raises(GeometryError, match=r"series: 00\d and 00\d lie at the same position. Remove copies"):
        read_scan(save_series(_positions(AXIAL), order=[0, 1, 1, 2, 3]))


def test_a_gantry_tilt_is_refused_with_its_angle(save_series):
    positions = [[x, y + 0.5 * n, z] for n, (x, y, z) in enumerate(_positions(AXIAL))]
    with pytest.raises(GeometryError, match=r"sheared by a gantry tilt of 11.3 degrees"):
        read_scan(save_series(positions))


def _with_localiser(save_series, save_dicom):
    folder = save_series(_positions(AXIAL))
    geometry = {"ImagePositionPatient": [0, 0, 0], "ImageOrientationPatient": CORONAL, "PixelSpacing": [0.75, 0.5]}
    save_dicom(VOLUME[0], name="series/localiser", SeriesInstanceUID="1.2.3", **geometry)
    return folder


def test_a_localiser_among_the_slices_is_a_series_to_choose(save_series, save_dicom):
    folder = _with_localiser(save_series, save_dicom)
    with pytest.raises(ChoiceError, match=r"expected one series, got 2. They are 1: CT, 5 images of 8 x 6, axial; 2: "):
        read_scan(folder)
    np.testing.assert_array_equal(read_scan(folder, series=1).pixels, VOLUME)
    assert read_scan(folder, series="2").shape == (6, 8)


def test_several_series_are_listed_and_not_mixed(save_series, save_dicom):
    folder = save_series(_positions(AXIAL), SeriesNumber=7)
    save_dicom(VOLUME[0], name="series/other", SeriesInstanceUID="9.9.9", Modality="MR", SeriesDescription="Canary")
    with pytest.raises(ChoiceError, match=r"got 2. They are .*CT, 5 images of 8 x 6, axial, series 7") as caught:
        read_scan(folder)
    assert (caught.value.argument, len(caught.value.options)) == ("series", 2)
    assert caught.value.hint == "Choose one with series=1 to 2."
    assert "Canary" not in str(caught.value)
    scan = read_scan(folder, series="1.2.3")
    np.testing.assert_array_equal(scan.pixels, VOLUME)
    assert "One of 2 series is read." in scan.notes
    with pytest.raises(ChoiceError, match="there is no one series 3 among its 2"):
        read_scan(folder, series=3)


def test_slices_of_several_sizes_are_series_to_choose(save_series, save_dicom):
    folder = save_series(_positions(AXIAL)[:4], stored=VOLUME)
    geometry = {"ImagePositionPatient": _positions(AXIAL)[4], "ImageOrientationPatient": AXIAL}
    save_dicom(VOLUME[4, :4], name="series/004", SeriesInstanceUID="1.2.3", PixelSpacing=[0.75, 0.5], **geometry)
    with pytest.raises(ChoiceError, match=r"1: CT, 4 images of 8 x 6, axial; 2: CT, 1 image of 8 x 4"):
        read_scan(folder)


def test_echoes_at_one_place_are_series_to_choose(save_series, save_dicom):
    folder = save_series(_positions(AXIAL), EchoTime=10)
    for z, position in enumerate(_positions(AXIAL)):
        geometry = {"ImagePositionPatient": position, "ImageOrientationPatient": AXIAL, "PixelSpacing": [0.75, 0.5]}
        save_dicom(VOLUME[z] + 1, name=f"series/e{z}", SeriesInstanceUID="1.2.3", EchoTime=20, **geometry)
    with pytest.raises(ChoiceError, match=r"1: .*echo time 10.*; 2: .*echo time 20"):
        read_scan(folder)
    np.testing.assert_array_equal(read_scan(folder, series=2).pixels, VOLUME + 1)


def test_slices_in_a_folder_below_are_found(save_series):
    folder = save_series(_positions(AXIAL))
    assert read_scan(folder.parent).shape == VOLUME.shape


@pytest.mark.parametrize("missing", ["ImagePositionPatient", "ImageOrientationPatient"])
def test_slices_without_a_place_are_refused(save_series, missing):
    with pytest.raises(StudyReadError, match="expected a slice with position and orientation, got none"):
        read_scan(save_series(_positions(AXIAL), **{missing: None}))


def test_slices_without_a_spacing_ask_for_one(save_series):
    folder = save_series(_positions(OBLIQUE), OBLIQUE, PixelSpacing=None)
    with pytest.raises(SpacingError, match=r"series: its slices state no pixel spacing. Give it by hand in mm"):
        read_scan(folder)
    given, stated = read_scan(folder, spacing=(2.5, 0.75, 0.5)), read_scan(save_series(_positions(OBLIQUE), OBLIQUE))
    np.testing.assert_allclose(given.affine_ras, stated.affine_ras)
    np.testing.assert_array_equal(given.pixels, stated.pixels)
    assert "Spacing given by hand, 2.5 x 0.75 x 0.5 mm: the file states none." in given.notes


def test_of_slices_in_their_places_the_pixel_s_lengths_suffice(save_series):
    folder = save_series(_positions(AXIAL), PixelSpacing=None)
    assert read_scan(folder, spacing=(0.75, 0.5)).spacing_mm == pytest.approx((2.5, 0.75, 0.5))
    with pytest.raises(GeometryError, match=r"of 4 mm was given by hand, and by their positions it is 2.5 mm"):
        read_scan(folder, spacing=(4, 0.75, 0.5))


def test_a_spacing_given_by_hand_overrides_none(save_series):
    with pytest.raises(StudyReadError, match=r"the file states its own, 2.5 x 0.75 x 0.5 mm"):
        read_scan(save_series(_positions(AXIAL)), spacing=(2.5, 1, 1))


def test_a_damaged_slice_is_not_left_out(save_series):
    folder = save_series(_positions(AXIAL))
    (folder / "002").write_bytes((folder / "002").read_bytes()[:-30])
    with pytest.raises(StudyReadError, match=r"002: the file is incomplete: 66 of 96 bytes of pixels"):
        read_scan(folder)


def _item(**elements):
    item = Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return Sequence([item])


def _enhanced(dataset, positions, slopes=None):
    shared, frames = Dataset(), []
    shared.PlaneOrientationSequence = _item(ImageOrientationPatient=AXIAL)
    shared.PixelMeasuresSequence = _item(PixelSpacing=[0.75, 0.5])
    for number, position in enumerate(positions):
        frame = Dataset()
        frame.PlanePositionSequence = _item(ImagePositionPatient=position)
        if slopes:
            frame.PixelValueTransformationSequence = _item(RescaleSlope=slopes[number], RescaleIntercept=0)
        frames.append(frame)
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    dataset.PerFrameFunctionalGroupsSequence = Sequence(frames)
    return dataset


def test_frames_with_positions_are_ordered(make_dicom, tmp_path):
    order = [3, 0, 4, 1, 2]
    dataset = _enhanced(make_dicom(VOLUME[order]), [_positions(AXIAL)[z] for z in order])
    dataset.save_as(tmp_path / "scan.dcm", enforce_file_format=True)
    scan = read_scan(tmp_path / "scan.dcm")
    np.testing.assert_array_equal(scan.pixels, VOLUME)
    assert scan.spacing_mm == pytest.approx((2.5, 0.75, 0.5))


def test_each_frame_has_its_own_rescaling(make_dicom, tmp_path):
    dataset = _enhanced(make_dicom(VOLUME), _positions(AXIAL), slopes=[1, 2, 3, 4, 5])
    dataset.save_as(tmp_path / "scan.dcm", enforce_file_format=True)
    scan = read_scan(tmp_path / "scan.dcm")
    np.testing.assert_array_equal(scan.pixels, VOLUME.astype(int) * np.arange(1, 6)[:, None, None])
    assert "Each frame has its own rescaling." in scan.notes


def test_frames_without_positions_keep_their_order(save_dicom):
    scan = read_scan(save_dicom(VOLUME, PixelSpacing=[1, 1]))
    np.testing.assert_array_equal(scan.pixels, VOLUME)
    assert (scan.ndim, scan.spacing_mm, scan.affine_ras, scan.native) == (3, None, None, None)
    assert "The 5 frames state no positions: shown in stored order, lengths are unknown." in scan.notes


def test_colour_frames_are_a_volume_in_colour(save_dicom, rng):
    clip = rng.integers(0, 256, (NUMBER, ROWS, COLUMNS, 3), dtype=np.uint8)
    colour = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    scan = read_scan(save_dicom(clip, NumberOfFrames=NUMBER, Rows=ROWS, Columns=COLUMNS, **colour))
    np.testing.assert_array_equal(scan.pixels, clip)
    assert (scan.is_rgb, scan.shape) == (True, VOLUME.shape)


def _directory(folder, names):
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    index = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    index.DirectoryRecordSequence = Sequence()
    for name in names:
        record = Dataset()
        record.DirectoryRecordType = "IMAGE"
        record.ReferencedFileID = name
        index.DirectoryRecordSequence.append(record)
    index.save_as(folder / "DICOMDIR", enforce_file_format=True)
    return folder / "DICOMDIR"


def test_a_dicomdir_leads_to_its_slices_whatever_the_case(save_series):
    folder = save_series(_positions(AXIAL))
    index = _directory(folder.parent, [["SERIES", f"{n:03}"] for n in range(NUMBER)])
    for path in (index, folder.parent):
        np.testing.assert_array_equal(read_scan(path).pixels, VOLUME)


def test_a_dicomdir_does_not_lead_out_of_its_folder(save_series):
    folder = save_series(_positions(AXIAL))
    (folder / "disc").mkdir()
    index = _directory(folder / "disc", [["..", "000"], "/etc/passwd", "..\\001"])
    with pytest.raises(StudyReadError, match="refers to files outside the folder"):
        read_scan(index)
    index = _directory(folder, [[f"{n:03}"] for n in range(NUMBER)] + [["..", "x"]])
    assert "The DICOMDIR refers to files outside the folder: ignored." in read_scan(index).notes


def test_a_frame_is_read_as_an_image(make_dicom, tmp_path):
    dataset = _enhanced(make_dicom(VOLUME), _positions(AXIAL), slopes=[1, 2, 3, 4, 5])
    dataset.save_as(tmp_path / "scan.dcm", enforce_file_format=True)
    scan = read_scan(tmp_path / "scan.dcm", frame=4)
    np.testing.assert_array_equal(scan.pixels, VOLUME[3].astype(int) * 4)
    assert scan.spacing_mm == pytest.approx((0.75, 0.5))
    with pytest.raises(ChoiceError, match="expected a frame from 1 to 5, got 6"):
        read_scan(tmp_path / "scan.dcm", frame=6)


def test_a_series_is_read_in_steps_of_one_file_and_closing_cancels(save_series):
    folder = save_series(_positions(AXIAL))
    steps = list(read_scan_steps(folder))
    looking = [FilesRead("looking through files", n, NUMBER) for n in range(1, NUMBER + 1)]
    assert steps == [*looking, *(FilesRead("reading slices", n, NUMBER) for n in range(1, NUMBER + 1))]
    cancelled = read_scan_steps(folder)
    next(cancelled)
    cancelled.close()


@pytest.mark.parametrize("how", ["another slice", "gone"])
def test_a_slice_that_changes_while_the_series_is_read_is_noticed(save_series, how):
    folder = save_series(_positions(AXIAL))
    steps = read_scan_steps(folder)
    while next(steps).what != "reading slices":
        pass
    for path in folder.iterdir():
        if how == "gone":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes().replace(b"-30.0", b"-31.0"))
    with pytest.raises(StudyReadError, match="the file changed while it was read"):
        list(steps)


def test_frames_in_their_places_without_a_spacing_ask_for_one(make_dicom, tmp_path):
    dataset = _enhanced(make_dicom(VOLUME), _positions(AXIAL))
    for item in [*dataset.PerFrameFunctionalGroupsSequence, *dataset.get("SharedFunctionalGroupsSequence", ())]:
        if "PixelMeasuresSequence" in item:
            del item.PixelMeasuresSequence
    dataset.save_as(tmp_path / "scan.dcm", enforce_file_format=True)
    with pytest.raises(SpacingError, match=r"scan.dcm: its 5 frames state no pixel spacing"):
        read_scan(tmp_path / "scan.dcm")
    scan = read_scan(tmp_path / "scan.dcm", spacing=(0.75, 0.5))
    assert scan.spacing_mm == pytest.approx((2.5, 0.75, 0.5))
    assert "Spacing given by hand, 0.75 x 0.5 mm: the file states none." in scan.notes
