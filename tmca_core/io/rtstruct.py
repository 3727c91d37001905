"""DICOM RT Structure Sets: a mask as contours in the patient's millimetres, slice by slice, and back.

Like every object of a study it copies the patient's name and number from its scan. Contours are drawn by skimage and
written with pydicom; rt-utils would bring OpenCV for the same.
"""

from __future__ import annotations

import datetime
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from tmca_core.errors import GeometryError, StudyReadError, StudyWriteError, TmcaError
from tmca_core.geometry import ras_from_lps
from tmca_core.io._contours import filled, outlines
from tmca_core.io._dicom_out import (
    MANUFACTURER,
    NOTICE,
    PRODUCT,
    SERIES_NUMBERS,
    Maker,
    made_from_source,
    mask_of_source,
    save_dicom,
    software_version,
)
from tmca_core.io._dicom_source import functional_group
from tmca_core.io.dicom_seg_read import Segment
from tmca_core.io.terms import Code, names_of_labels, term_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from tmca_core.io._dicom_source import SourceImages
    from tmca_core.study import Provenance, Scan

_STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"  # what a structure set refers to a study by, although retired
_COPIED = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyTime"),
    *("StudyID", "StudyDescription", "AccessionNumber", "ReferringPhysicianName", "SpecificCharacterSet"),
)
_COLOURS = ((230, 158, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))
_PLANAR = {"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"}
_OFF_PLANE = 0.3  # of a slice, by which a contour may lie beside it


class _Plane(NamedTuple):
    """One frame of the source: what refers to it, and (row, column, 1) to LPS millimetres."""

    reference: Dataset
    to_lps: NDArray[np.float64]  # (3, 3)


def write_rtstruct(
    path: Path | str,
    mask: NDArray[np.generic],
    scan: Scan,
    *,
    names: Mapping[int, str] | None = None,
    provenance: Provenance | None = None,
    is_edited: bool = False,
) -> tuple[str, ...]:
    """Write a mask as an RT Structure Set with one region of interest per label.

    Parameters
    ----------
    path, mask, scan, names, provenance, is_edited
        As for `tmca_core.io.dicom_seg.write_dicom_seg`. The scan's slices need positions in the patient.

    Returns
    -------
    tuple of str
        What the user should know, in sentences.

    Raises
    ------
    GeometryError, StudyWriteError, ValueError
        As for `write_dicom_seg`; also if the scan has no positions.

    """
    path = Path(path)
    checked = mask_of_source(path, mask, scan)
    source, present = checked.source, checked.present or (1,)
    check_positions(path, source)
    with made_from_source(path.name):
        maker = Maker(provenance, is_edited)
        dataset = _structure_set(source, maker)
        frames, planes = source.frames_of(checked.labels, scan), list(_planes(source))
        named = names_of_labels(list(present), dict(names or {}))
        for number, label in enumerate(present, 1):
            contours = [
                c for frame, plane in zip(frames, planes, strict=True) for c in _contours(frame == label, plane)
            ]
            _add_region(dataset, number, named[label], contours, maker)
    save_dicom(path, dataset)
    return checked.notes(if_empty="its region of interest has no contour.")


def read_rtstruct(path: Path | str, scan: Scan) -> tuple[Segment, ...]:
    """Read an RT Structure Set as masks on a scan's grid: pixels whose centre lies in a contour.

    Parameters
    ----------
    path : Path or str
        Of any program. Contours of one region on one slice that lie in each other make holes; points and open lines are
        left out.
    scan : Scan
        A volume with an affine, from whatever format.

    Raises
    ------
    StudyReadError
        If the file is no structure set, or damaged.
    GeometryError
        If the scan has no place in space, or the contours do not lie on its slices.

    """
    path = Path(path)
    dataset = _read(path)
    if scan.ndim != 3 or scan.affine_ras is None:
        raise GeometryError(
            f"{path.name}: contours need a volume with a place in space.", hint="Open the series that they belong to."
        )
    to_index = np.asarray(np.linalg.inv(ras_from_lps(scan.affine_ras)), dtype=np.float64)
    try:
        names = {int(item.ROINumber): str(item.get("ROIName") or "") for item in dataset.StructureSetROISequence}
        types = {int(i.ROINumber): str(i.get("ROIGenerationAlgorithm") or "") for i in dataset.StructureSetROISequence}
        contours = {int(item.ReferencedROINumber): item for item in dataset.get("ROIContourSequence") or ()}
        return tuple(
            Segment(number, name, _mask(path, contours.get(number), to_index, scan), algorithm_type=types[number])
            for number, name in names.items()
        )
    except TmcaError:
        raise
    except Exception as error:
        raise StudyReadError(
            f"{path.name}: the structure set is damaged or contradicts itself.", hint="Export it again."
        ) from error


def check_positions(path: Path, source: SourceImages) -> None:
    """Raise `StudyWriteError` if the source has no place in the patient's space, where contours lie."""
    if not source.has_positions:
        raise StudyWriteError(
            f"{path.name}: contours lie in the patient's space, and this image states no position in it.",
            hint="Save it as a DICOM segmentation or as PNG instead.",
        )


def _planes(source: SourceImages) -> Iterator[_Plane]:
    """Yield where each frame of the source lies, as its own header says."""
    for frame in range(len(source.slices)):
        header = source.first if source.is_multi_frame else source.headers[frame]
        number = frame if source.is_multi_frame else 0
        place = functional_group(header, number, "PlanePositionSequence") or header
        turn = functional_group(header, number, "PlaneOrientationSequence") or header
        measures = functional_group(header, number, "PixelMeasuresSequence") or header
        cosines = np.array([float(v) for v in turn.ImageOrientationPatient]).reshape(2, 3)
        rows, columns = (float(v) for v in measures.PixelSpacing)
        position = np.array([float(v) for v in place.ImagePositionPatient])
        reference = Dataset()
        reference.ReferencedSOPClassUID = header.SOPClassUID
        reference.ReferencedSOPInstanceUID = header.SOPInstanceUID
        if source.is_multi_frame:
            reference.ReferencedFrameNumber = frame + 1
        yield _Plane(reference, np.stack([cosines[1] * rows, cosines[0] * columns, position], axis=1))


def _contours(mask: NDArray[np.bool_], plane: _Plane) -> Iterator[Dataset]:
    for points, _ in outlines(mask):
        lps = np.column_stack([points, np.ones(len(points))]) @ plane.to_lps.T
        contour = Dataset()
        contour.ContourImageSequence = [plane.reference]
        contour.ContourGeometricType = "CLOSED_PLANAR"
        contour.NumberOfContourPoints = len(points)
        contour.ContourData = [f"{value:.4f}" for value in lps.ravel()]
        yield contour


def _structure_set(source: SourceImages, maker: Maker) -> Dataset:
    """Return a structure set without regions."""
    first, now = source.first, datetime.datetime.now()
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = RTStructureSetStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    for keyword in _COPIED:
        if keyword in first:
            dataset[keyword] = first[keyword]
    dataset.SOPClassUID = RTStructureSetStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
    dataset.Modality = "RTSTRUCT"
    dataset.SeriesInstanceUID = generate_uid()
    dataset.SeriesNumber = SERIES_NUMBERS["RTSTRUCT"]
    dataset.SeriesDescription = f"Contours. {NOTICE}"
    dataset.OperatorsName = ""
    dataset.InstanceNumber = 1
    dataset.Manufacturer, dataset.ManufacturerModelName = MANUFACTURER, PRODUCT
    dataset.SoftwareVersions = software_version()
    dataset.FrameOfReferenceUID = first.FrameOfReferenceUID
    dataset.PositionReferenceIndicator = first.get("PositionReferenceIndicator") or ""
    dataset.StructureSetLabel = "TMCA"
    dataset.StructureSetDescription = NOTICE
    if maker.network is not None:
        dataset.StructureSetDescription += " {} {}, weights sha256 {}.".format(*maker.network)
    dataset.StructureSetDate = dataset.InstanceCreationDate = now.strftime("%Y%m%d")
    dataset.StructureSetTime = dataset.InstanceCreationTime = now.strftime("%H%M%S")
    dataset.ApprovalStatus = "UNAPPROVED"
    dataset.ReferencedFrameOfReferenceSequence = [_references(source)]
    dataset.StructureSetROISequence = []
    dataset.ROIContourSequence = []
    dataset.RTROIObservationsSequence = []
    return dataset


def _references(source: SourceImages) -> Dataset:
    images = Dataset()
    images.SeriesInstanceUID = source.first.SeriesInstanceUID
    images.ContourImageSequence = []
    for header in source.headers:
        image = Dataset()
        image.ReferencedSOPClassUID = header.SOPClassUID
        image.ReferencedSOPInstanceUID = header.SOPInstanceUID
        images.ContourImageSequence.append(image)
    study = Dataset()
    study.ReferencedSOPClassUID = _STUDY_CLASS
    study.ReferencedSOPInstanceUID = source.first.StudyInstanceUID
    study.RTReferencedSeriesSequence = [images]
    frame = Dataset()
    frame.FrameOfReferenceUID = source.first.FrameOfReferenceUID
    frame.RTReferencedStudySequence = [study]
    return frame


def _add_region(dataset: Dataset, number: int, name: str, contours: list[Dataset], maker: Maker) -> None:
    term = term_of(name)
    region = Dataset()
    region.ROINumber = number
    region.ReferencedFrameOfReferenceUID = dataset.FrameOfReferenceUID
    region.ROIName = term.label
    region.ROIGenerationAlgorithm = maker.algorithm_type
    if maker.network is not None:
        region.ROIGenerationDescription = " ".join(maker.network[:2])[:64]
    dataset.StructureSetROISequence.append(region)
    drawn = Dataset()
    drawn.ROIDisplayColor = list(_COLOURS[(number - 1) % len(_COLOURS)])
    drawn.ReferencedROINumber = number
    if contours:
        drawn.ContourSequence = contours
    dataset.ROIContourSequence.append(drawn)
    observation = Dataset()
    observation.ObservationNumber = number
    observation.ReferencedROINumber = number
    observation.RTROIIdentificationCodeSequence = [_code_item(term.kind)]
    observation.RTROIInterpretedType = ""
    observation.ROIInterpreter = ""
    dataset.RTROIObservationsSequence.append(observation)


def _code_item(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code
    return item


def _read(path: Path) -> Dataset:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values of the header
            dataset = pydicom.dcmread(path)
            is_structure_set = dataset.get("SOPClassUID") == RTStructureSetStorage
    except Exception as error:
        raise StudyReadError(f"{path.name}: cannot be read as DICOM.", hint="Choose a structure set.") from error
    if not is_structure_set:
        raise StudyReadError(
            f"{path.name}: expected an RT Structure Set, got another object.",
            hint="Choose a file of modality RTSTRUCT.",
        )
    return dataset


def _mask(path: Path, contours: Dataset | None, to_index: NDArray[np.float64], scan: Scan) -> NDArray[np.bool_]:
    mask = np.zeros(scan.shape, dtype=bool)
    for contour in (contours.get("ContourSequence") or ()) if contours is not None else ():
        if contour.ContourGeometricType not in _PLANAR:
            continue
        points = np.array([float(v) for v in contour.ContourData]).reshape(-1, 3)
        index = (np.column_stack([points, np.ones(len(points))]) @ to_index.T)[:, :3]
        across = int(np.argmin(np.ptp(index, axis=0)))
        place = round(float(index[:, across].mean()))
        if np.abs(index[:, across] - place).max() > _OFF_PLANE or not 0 <= place < scan.shape[across]:
            raise GeometryError(
                f"{path.name}: a contour does not lie on a slice of this scan.",
                hint="Choose the scan that it was drawn on; it is not resampled here.",
            )
        along = [axis for axis in range(3) if axis != across]
        layer = np.moveaxis(mask, across, 0)[place]
        layer ^= filled(index[:, along], (scan.shape[along[0]], scan.shape[along[1]]))
    return mask
