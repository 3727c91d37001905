"""The DICOM instances a scan was read from: found again by their positions, for objects that refer to them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, generate_uid

from tmca_core.errors import StudyWriteError
from tmca_core.geometry import ras_from_lps, to_native

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from pydicom import Dataset

    from tmca_core.geometry import NativeGrid
    from tmca_core.study import Scan

_DIRECTORY_CLASS = "1.2.840.10008.1.3.10"
_NEAR = 0.05  # of a voxel, within which an instance lies where the scan's affine says
_SEXES = {"M", "F", "O"}
_EMPTY_ALLOWED = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime", "ReferringPhysicianName"),
)
_OTHER_FORMAT = "Save the mask as NIfTI (.nii.gz) instead, or choose the DICOM files as they came from the scanner."


@dataclass(frozen=True, eq=False)
class SourceImages:
    """The instances behind a scan.

    Attributes
    ----------
    headers : tuple of Dataset
        One per slice, in the order of the native grid's third axis; or exactly one that holds all frames.
    slices : tuple of int
        For every frame of the source, in the source's own order, its index along the native grid's third axis.
    notes : tuple of str
        What had to be filled in.

    """

    headers: tuple[Dataset, ...]
    slices: tuple[int, ...]
    notes: tuple[str, ...] = ()

    @property
    def first(self) -> Dataset:
        """The header that says to whom and to which study all belongs."""
        return self.headers[0]

    @property
    def is_multi_frame(self) -> bool:
        """Whether one instance holds all frames."""
        return len(self.headers) == 1 and len(self.slices) > 1

    @property
    def has_positions(self) -> bool:
        """Whether the instances lie in the patient's space."""
        return "FrameOfReferenceUID" in self.first

    def frames_of(self, values: NDArray[np.generic], scan: Scan) -> NDArray[np.generic]:
        """Return values on the scan's grid as frames (F, rows, columns) that fit the source's frames one by one."""
        return on_native_slices(values, scan)[list(self.slices)]


def source_images(name: str, scan: Scan) -> SourceImages:
    """Find the instances that a scan was read from.

    Parameters
    ----------
    name : str
        Of the file to be written, for messages.
    scan : Scan
        As `tmca_core.io.read_scan` read it from DICOM; its files must still be there.

    Raises
    ------
    StudyWriteError
        If the scan did not come from DICOM, its instances are gone or do not lie where they did, or they lack an
        element without which nothing can refer to them. It names the element.

    """
    if scan.source is None or not scan.source.exists():
        raise StudyWriteError(
            f"{name}: a DICOM object refers to the DICOM files of its scan, and this scan has none.",
            hint="Save the mask as NIfTI (.nii.gz) or PNG instead.",
        )
    headers = list(_image_headers(scan.source))
    if not headers:
        raise StudyWriteError(
            f"{name}: a DICOM object refers to the DICOM files of its scan, and {scan.source.name} is none.",
            hint="Save the mask as NIfTI (.nii.gz) or PNG instead.",
        )
    grid = scan.native
    if grid is not None and grid.affine_ras is not None:
        found, slices = _by_position(name, headers, grid)
    else:
        found, slices = _by_number(name, headers, scan)
    return SourceImages(tuple(found), slices, _complete(name, found))


def on_native_slices(values: NDArray[np.generic], scan: Scan) -> NDArray[np.generic]:
    """Return values on the scan's grid as (slices, rows, columns) of the file's own grid."""
    if scan.native is None:
        return values if values.ndim == 3 else values[np.newaxis]
    native = to_native(values, scan.native)
    columns, rows, *slices = native.shape
    return native.reshape(columns, rows, *(slices or [1])).transpose(2, 1, 0)


def functional_group(header: Dataset, frame: int, keyword: str) -> Dataset | None:
    """Return the item that holds for a frame of an enhanced image, its own or the shared one."""
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or ()
    shared = header.get("SharedFunctionalGroupsSequence") or ()
    for groups in ([per_frame[frame]] if frame < len(per_frame) else [], list(shared)[:1]):
        for group in groups:
            if items := group.get(keyword):
                return items[0]
    return None


def number_of_frames(header: Dataset) -> int:
    """Return the number of frames of an instance, 1 where none is stated."""
    return int(header.get("NumberOfFrames") or 1)


def _image_headers(source: Path) -> Iterator[Dataset]:
    """Yield the header of every image in a file, or directly in a folder, else anywhere below it."""
    if source.is_file():
        header = _header(source)
        if header is not None and _sop_class(header) != _DIRECTORY_CLASS:
            if "Rows" in header:
                yield header
            return
        if header is None:
            return
        source = source.parent
    headers = _headers(path for path in sorted(source.iterdir()) if path.is_file())
    yield from headers or _headers(path for path in sorted(source.rglob("*")) if path.is_file())


def _headers(paths: Iterable[Path]) -> list[Dataset]:
    return [header for path in paths if (header := _header(path)) is not None and "Rows" in header]


def _header(path: Path) -> Dataset | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values of the header
            return pydicom.dcmread(path, stop_before_pixels=True)
    except (InvalidDicomError, OSError, ValueError, KeyError, AttributeError, EOFError):
        return None


def _by_position(name: str, headers: Sequence[Dataset], grid: NativeGrid) -> tuple[list[Dataset], tuple[int, ...]]:
    """Return the instances that lie on the grid, and the slice of each of their frames."""
    count = grid.shape[2] if len(grid.shape) == 3 else 1
    whole: list[tuple[list[Dataset], tuple[int, ...]]] = []
    series: dict[str, dict[int, list[Dataset]]] = {}
    for header in headers:
        if (int(header.Columns), int(header.Rows)) != grid.shape[:2]:
            continue
        slices = [_slice_of(header, frame, grid) for frame in range(number_of_frames(header))]
        if len(slices) > 1 and sorted(s for s in slices if s is not None) == list(range(count)):
            whole.append(([header], tuple(s for s in slices if s is not None)))
        elif len(slices) == 1 and slices[0] is not None:
            series.setdefault(str(header.get("SeriesInstanceUID")), {}).setdefault(slices[0], []).append(header)
    for by_slice in series.values():
        if len(by_slice) == count and all(len(found) == 1 for found in by_slice.values()):
            whole.append(([by_slice[k][0] for k in range(count)], tuple(range(count))))
    if len(whole) != 1:
        what = "several series lie there" if whole else "the files there do not lie on the scan's slices one by one"
        raise StudyWriteError(
            f"{name}: cannot tell which DICOM files the scan came from: {what}.",
            hint="Put the series into a folder of its own and open that, or save as NIfTI (.nii.gz).",
        )
    return whole[0]


def _slice_of(header: Dataset, frame: int, grid: NativeGrid) -> int | None:
    """Return the slice of the grid in whose place a frame lies, or None where it lies elsewhere."""
    place = functional_group(header, frame, "PlanePositionSequence") or header
    turn = functional_group(header, frame, "PlaneOrientationSequence") or header
    try:
        position = np.array([float(v) for v in place.ImagePositionPatient] + [1.0])
        cosines = np.array([float(v) for v in turn.ImageOrientationPatient]).reshape(2, 3)
    except (AttributeError, TypeError, ValueError):
        return None
    if grid.affine_ras is None:
        return None
    affine_lps = ras_from_lps(grid.affine_ras)  # its own inverse
    steps = affine_lps[:3, :2] / np.linalg.norm(affine_lps[:3, :2], axis=0)
    i, j, k, _ = np.linalg.solve(affine_lps, position)
    lies_there = max(abs(i), abs(j), abs(k - round(k))) < _NEAR and np.abs(steps.T - cosines).max() < _NEAR
    last = grid.shape[2] - 1 if len(grid.shape) == 3 else 0
    return round(k) if lies_there and 0 <= round(k) <= last else None


def _by_number(name: str, headers: Sequence[Dataset], scan: Scan) -> tuple[list[Dataset], tuple[int, ...]]:
    """Return the only instance, for a scan without a place in space."""
    count = 1 if scan.ndim == 2 else scan.shape[0]
    if len(headers) != 1 or number_of_frames(headers[0]) != count:
        raise StudyWriteError(
            f"{name}: cannot tell which DICOM files the scan came from: its slices have no positions.",
            hint="Open one DICOM file, or save as NIfTI (.nii.gz) or PNG.",
        )
    return list(headers), tuple(range(count))


def _complete(name: str, headers: Sequence[Dataset]) -> tuple[str, ...]:
    """Give the headers every identifier that a reference needs, and return notes on those filled in."""
    notes: dict[str, None] = {}
    for header in headers:
        _identify(name, header)
        has_position = functional_group(header, 0, "PlanePositionSequence") or "ImagePositionPatient" in header
        if has_position and not header.get("FrameOfReferenceUID"):
            raise _lacking(name, "FrameOfReferenceUID")
        if not has_position and "FrameOfReferenceUID" in header:
            del header.FrameOfReferenceUID  # a space in which the image states no place
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID"):
            if header.get(keyword):
                continue
            if not header.get("FrameOfReferenceUID"):
                raise _lacking(name, keyword)
            # Stripped by a de-identification: one value per series, the same whenever the series is used.
            setattr(header, keyword, generate_uid(entropy_srcs=[keyword, str(header.FrameOfReferenceUID)]))
            notes[f"The scan's files state no {keyword}: one was derived from their frame of reference."] = None
        for keyword in _EMPTY_ALLOWED:
            if keyword not in header:
                setattr(header, keyword, "")
        if str(header.PatientSex or "") not in _SEXES:
            header.PatientSex = ""
    return tuple(notes)


def _identify(name: str, header: Dataset) -> None:
    """Take class and instance from the file's meta header where the dataset itself leaves them empty."""
    for keyword, meta in (
        ("SOPClassUID", "MediaStorageSOPClassUID"),
        ("SOPInstanceUID", "MediaStorageSOPInstanceUID"),
    ):
        value = header.get(keyword) or header.file_meta.get(meta)
        if not value:
            raise _lacking(name, keyword)
        setattr(header, keyword, UID(str(value)))


def _sop_class(header: Dataset) -> str:
    return str(header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID") or "")


def _lacking(name: str, keyword: str) -> StudyWriteError:
    return StudyWriteError(
        f"{name}: the scan's DICOM files lack {keyword}, without which nothing can refer to them.", hint=_OTHER_FORMAT
    )
