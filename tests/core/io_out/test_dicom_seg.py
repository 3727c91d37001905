"""A DICOM segmentation lies on the frames of its scan, says who made it, and comes back voxel by voxel."""

from __future__ import annotations

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from tmca_core.errors import GeometryError, StudyReadError, StudyWriteError
from tmca_core.io import read_scan, write_mask
from tmca_core.io.dicom_seg import write_dicom_seg
from tmca_core.io.dicom_seg_read import read_dicom_seg
from tmca_core.study import Provenance, Scan

ORIENTATIONS = ("axial", "sagittal", "coronal", "oblique", "axial-prone", "axial-mirrored")
COMPUTED_RADIOGRAPHY = "1.2.840.10008.5.1.4.1.1.1"
PROVENANCE = Provenance("tmca-compact", "0.2.0", "ab" * 32, "cpu")


@pytest.fixture
def scan(save_series):
    return read_scan(save_series())


@pytest.mark.parametrize("is_descending", [False, True], ids=["up", "down"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_voxel_lies_on_the_frame_of_its_source(tmp_path, save_series, lopsided, orientation, is_descending):
    """highdicom and SimpleITK are asked, which know nothing of our axes."""
    folder = save_series(orientation=orientation, is_descending=is_descending)
    scan = read_scan(folder)
    mask = lopsided(scan.shape)
    write_dicom_seg(tmp_path / "seg.dcm", mask, scan)
    # The stored numbers of the scan's voxels are their own addresses: slice, row, column as saved.
    expected = np.zeros(scan.pixels.size, dtype=bool)
    expected[scan.pixels[mask > 0].astype(int)] = True
    sources = [pydicom.dcmread(path) for path in folder.iterdir()]
    sources.sort(key=lambda dataset: dataset.InstanceNumber)
    segmentation = hd.seg.segread(tmp_path / "seg.dcm")
    frames = segmentation.get_pixels_by_source_instance(
        [s.SOPInstanceUID for s in sources], segment_numbers=[1], assert_missing_frames_are_empty=True
    )
    np.testing.assert_array_equal(frames[..., 0].ravel() > 0, expected)
    (segment,) = read_dicom_seg(tmp_path / "seg.dcm", scan)
    np.testing.assert_array_equal(segment.mask, mask > 0)
    write_mask(tmp_path / "mask.nii", mask, scan)
    image = sitk.ReadImage(tmp_path / "mask.nii")
    for source, frame in zip(sources, frames[..., 0], strict=True):
        for row, column in zip(*np.nonzero(frame), strict=True):
            cosines = np.array(source.ImageOrientationPatient).reshape(2, 3)
            spacing = np.array(source.PixelSpacing)
            place = (
                np.array(source.ImagePositionPatient) + cosines[0] * spacing[1] * column + cosines[1] * spacing[0] * row
            )
            assert image.GetPixel(image.TransformPhysicalPointToIndex(place.astype(float).tolist())) == 1


@pytest.mark.parametrize("kind", ["binary", "fractional", "labelmap"])
@pytest.mark.parametrize("has_empty_frames", [False, True])
def test_the_verifier_finds_no_error(tmp_path, scan, lopsided, errors_of_dciodvfy, kind, has_empty_frames):
    mask = lopsided(scan.shape)
    write_dicom_seg(
        tmp_path / "seg.dcm",
        mask,
        scan,
        kind=kind,
        probability=mask * 0.75,
        names={1: "opacity"},
        provenance=PROVENANCE,
        has_empty_frames=has_empty_frames,
    )
    errors = errors_of_dciodvfy(tmp_path / "seg.dcm")
    if kind == "labelmap":  # a kind of 2024, which dicom3tools of 2022 does not know
        pytest.skip(f"verifier older than LABELMAP: {errors}") if errors else None
    assert not errors


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_labels_with_gaps_become_segments_with_their_names(tmp_path, scan, lopsided, kind):
    labels = lopsided(scan.shape) * 2
    labels[-1, -1] = 7
    write_dicom_seg(tmp_path / "seg.dcm", labels, scan, kind=kind, names={2: "polyp", 7: "Old scar"})
    first, second = read_dicom_seg(tmp_path / "seg.dcm", scan)
    assert (first.label, second.label) == ("Polyp", "Old scar")
    assert (first.number, second.number) == ((2, 7) if kind == "labelmap" else (1, 2))
    np.testing.assert_array_equal(first.mask, labels == 2)
    np.testing.assert_array_equal(second.mask, labels == 7)


def test_a_probability_comes_back_within_its_eight_bits(tmp_path, scan):
    probability = np.random.default_rng(0).random(scan.shape, dtype=np.float32)
    write_dicom_seg(tmp_path / "seg.dcm", probability > 0.5, scan, kind="fractional", probability=probability)
    (segment,) = read_dicom_seg(tmp_path / "seg.dcm", scan)
    np.testing.assert_allclose(segment.probability, probability, atol=0.5 / 255 + 1e-6)


@pytest.mark.parametrize(
    ("provenance", "is_edited", "expected"),
    [(PROVENANCE, False, "AUTOMATIC"), (PROVENANCE, True, "SEMIAUTOMATIC"), (None, False, "MANUAL")],
)
def test_it_says_who_made_it_and_from_what(tmp_path, scan, lopsided, provenance, is_edited, expected):
    options = {"names": {1: "consolidation"}, "provenance": provenance, "is_edited": is_edited}
    write_dicom_seg(tmp_path / "seg.dcm", lopsided(scan.shape), scan, **options)
    dataset = pydicom.dcmread(tmp_path / "seg.dcm")
    (item,) = dataset.SegmentSequence
    assert item.SegmentAlgorithmType == expected
    assert item.SegmentedPropertyTypeCodeSequence[0].CodeValue == "9656002"
    assert dataset.preamble == bytes(128)
    source = next(scan.source.iterdir())
    assert dataset.FrameOfReferenceUID == pydicom.dcmread(source).FrameOfReferenceUID
    if provenance is not None:
        algorithm = item.SegmentationAlgorithmIdentificationSequence[0]
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("tmca-compact", "0.2.0")
        assert "ab" * 32 in algorithm.AlgorithmParameters


def test_every_file_has_identifiers_of_its_own(tmp_path, scan, lopsided):
    for name in ("a.dcm", "b.dcm"):
        write_dicom_seg(tmp_path / name, lopsided(scan.shape), scan)
    first, second = (pydicom.dcmread(tmp_path / name) for name in ("a.dcm", "b.dcm"))
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.SeriesInstanceUID != second.SeriesInstanceUID
    assert first.StudyInstanceUID == second.StudyInstanceUID


def test_an_empty_mask_is_said_and_comes_back_empty(tmp_path, scan):
    notes = write_dicom_seg(tmp_path / "seg.dcm", np.zeros(scan.shape, dtype=bool), scan)
    assert any("empty, on purpose" in note for note in notes)
    (segment,) = read_dicom_seg(tmp_path / "seg.dcm", scan)
    assert not segment.mask.any()
    assert pydicom.dcmread(tmp_path / "seg.dcm").NumberOfFrames == scan.shape[0]


def test_a_single_slice_and_a_projection_without_positions_come_back(tmp_path, save_series, lopsided):
    nowhere = {"ImagePositionPatient": None, "ImageOrientationPatient": None, "SOPClassUID": COMPUTED_RADIOGRAPHY}
    for name, elements in (("slice", {}), ("projection", nowhere)):
        path = next(save_series(name, **elements).iterdir())
        scan = read_scan(path)
        mask = lopsided(scan.shape)
        write_dicom_seg(tmp_path / f"{name}.dcm", mask, scan)
        (segment,) = read_dicom_seg(tmp_path / f"{name}.dcm", scan)
        np.testing.assert_array_equal(segment.mask, mask > 0)


def test_a_segmentation_lies_right_on_the_same_scan_as_nifti(tmp_path, scan, lopsided):
    mask = lopsided(scan.shape)
    write_dicom_seg(tmp_path / "seg.dcm", mask, scan)
    write_mask(tmp_path / "scan.nii.gz", np.ones(scan.shape, dtype=np.uint8), scan)
    (segment,) = read_dicom_seg(tmp_path / "seg.dcm", read_scan(tmp_path / "scan.nii.gz"))
    np.testing.assert_array_equal(segment.mask, mask > 0)


@pytest.mark.parametrize("keyword", ["FrameOfReferenceUID", "SOPInstanceUID"])
def test_an_incomplete_source_is_refused_by_the_name_of_its_element(tmp_path, save_series, lopsided, keyword):
    folder = save_series()
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        setattr(dataset, keyword, "")
        if keyword == "SOPInstanceUID":
            dataset.file_meta.MediaStorageSOPInstanceUID = ""
        dataset.save_as(path)
    scan = read_scan(folder)
    with pytest.raises(StudyWriteError, match=f"lack {keyword}.*NIfTI"):
        write_dicom_seg(tmp_path / "seg.dcm", lopsided(scan.shape), scan)
    assert not (tmp_path / "seg.dcm").exists()


def test_series_without_identifiers_get_the_same_ones_every_time_and_it_is_told(tmp_path, save_series, lopsided):
    scan = read_scan(save_series(StudyInstanceUID=None, SeriesInstanceUID=None))
    notes = [write_dicom_seg(tmp_path / name, lopsided(scan.shape), scan) for name in ("a.dcm", "b.dcm")]
    assert any("no StudyInstanceUID" in note for note in notes[0])
    uids = {pydicom.dcmread(tmp_path / name).StudyInstanceUID for name in ("a.dcm", "b.dcm")}
    assert len(uids) == 1


def test_what_cannot_be_referred_to_is_said(tmp_path, save_series, scan, lopsided):
    mask = lopsided(scan.shape)
    with pytest.raises(StudyWriteError, match=r"this scan has none\. Save the mask as NIfTI"):
        write_dicom_seg(tmp_path / "seg.dcm", mask, Scan(np.zeros(scan.shape)))
    with pytest.raises(StudyWriteError, match=r"expected a name ending in \.dcm"):
        write_dicom_seg(tmp_path / "seg.nii", mask, scan)
    with pytest.raises(GeometryError, match="expected values of the scan's shape"):
        write_dicom_seg(tmp_path / "seg.dcm", mask[1:], scan)
    for path in save_series("other", gap=3.0).iterdir():
        path.rename(scan.source / path.name)
    with pytest.raises(StudyWriteError, match="do not lie on the scan's slices"):
        write_dicom_seg(tmp_path / "seg.dcm", mask, scan)


def test_a_segmentation_of_another_scan_is_refused(tmp_path, save_series, scan, lopsided):
    write_dicom_seg(tmp_path / "seg.dcm", lopsided(scan.shape), scan)
    other = read_scan(save_series("other", orientation="oblique"))
    with pytest.raises(GeometryError, match="does not lie on the voxels of this scan"):
        read_dicom_seg(tmp_path / "seg.dcm", other)
    with pytest.raises(StudyReadError, match="expected a DICOM segmentation, got another object"):
        read_dicom_seg(next(scan.source.iterdir()), scan)
    (tmp_path / "text.dcm").write_text("no DICOM")
    with pytest.raises(StudyReadError, match="cannot be read as DICOM"):
        read_dicom_seg(tmp_path / "text.dcm", scan)


def test_segments_that_overlap_are_read_one_by_one(tmp_path, scan, lopsided):
    """Made by highdicom, as another program would."""
    first = lopsided(scan.shape) > 0
    second = np.roll(first, 1, axis=1)
    assert (first & second).any()
    sources = sorted(map(pydicom.dcmread, scan.source.iterdir()), key=lambda d: d.ImagePositionPatient[2])
    code = hd.sr.CodedConcept("52988006", "SCT", "Lesion")
    hd.seg.Segmentation(
        sources,
        np.stack([first, second], axis=-1).astype(np.uint8),
        "BINARY",
        [hd.seg.SegmentDescription(n, f"part {n}", code, code, "MANUAL") for n in (1, 2)],
        hd.UID(),
        1,
        hd.UID(),
        1,
        "other",
        "other",
        "1",
        "1",
    ).save_as(tmp_path / "seg.dcm")
    read = read_dicom_seg(tmp_path / "seg.dcm", scan)
    np.testing.assert_array_equal(read[0].mask, first)
    np.testing.assert_array_equal(read[1].mask, second)
