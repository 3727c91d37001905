"""DICOM Segmentation objects of any program as masks on a scan's grid: every frame is put where it says it lies."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom
from pydicom.pixels.decoders.base import get_decoder

from tmca_core.errors import GeometryError, StudyReadError, TmcaError
from tmca_core.geometry import ras_from_lps
from tmca_core.io._dicom_source import functional_group, number_of_frames, on_native_slices, source_images

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset

    from tmca_core.study import Scan

    Frames = NDArray[np.generic]

SEG_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
_PLUGINS = ("pylibjpeg", "pyjpegls", "pydicom")  # by name: gdcm, where installed, can end the whole process
_NEAR = 0.05  # of a voxel
_ELSEWHERE = "Choose the scan that it was made for; it is not resampled here."


@dataclass(frozen=True, eq=False)
class Segment:
    """One segment of a DICOM segmentation, on the grid of a scan.

    Attributes
    ----------
    number : int
        As the file numbers it.
    label : str
        As the file names it.
    mask : NDArray[np.bool_], shape of the scan
        Of a fractional segmentation, where the value is at least one half.
    probability : NDArray[np.float32], shape of the scan, or None
        0..1, of a fractional segmentation.
    algorithm_type : str
        "AUTOMATIC", "SEMIAUTOMATIC" or "MANUAL"; "" where not stated.

    """

    number: int
    label: str
    mask: NDArray[np.bool_]
    probability: NDArray[np.float32] | None = None
    algorithm_type: str = ""


def read_dicom_seg(path: Path | str, scan: Scan) -> tuple[Segment, ...]:
    """Read a DICOM segmentation as masks on a scan's grid, without resampling.

    Parameters
    ----------
    path : Path or str
        Of any program; segments may overlap, and slices without a frame are empty.
    scan : Scan
        What it belongs to, from whatever format: frames are placed by their positions in the patient. Of a scan without
        positions, by the frames of its source that the segmentation refers to.

    Raises
    ------
    StudyReadError
        If the file is no segmentation, or damaged.
    GeometryError
        If its frames do not lie on the scan's voxels.

    """
    path = Path(path)
    dataset = _read(path)
    try:
        frames = _frames(dataset)
        indices = [_indices(path, dataset, frame, scan) for frame in range(len(frames))]
        described = [item for item in dataset.SegmentSequence if int(item.SegmentNumber) != 0]  # 0 is background
        return tuple(_segment(path, dataset, item, frames, indices, scan) for item in described)
    except TmcaError:
        raise
    except Exception as error:
        raise StudyReadError(
            f"{path.name}: the segmentation is damaged or contradicts itself.", hint="Export it again."
        ) from error


def _read(path: Path) -> Dataset:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values of the header
            dataset = pydicom.dcmread(path)
            is_segmentation = str(dataset.get("SOPClassUID")) in SEG_CLASSES
    except Exception as error:
        raise StudyReadError(f"{path.name}: cannot be read as DICOM.", hint="Choose a DICOM segmentation.") from error
    if not is_segmentation:
        raise StudyReadError(
            f"{path.name}: expected a DICOM segmentation, got another object.", hint="Choose a file of modality SEG."
        )
    return dataset


def _frames(dataset: Dataset) -> Frames:
    """Return the stored values, (F, rows, columns)."""
    decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
    options: dict[str, Any] = {"raw": True}
    if decoder.is_encapsulated:
        options["decoding_plugin"] = next(p for p in _PLUGINS if p in decoder.available_plugins)
    values, _ = decoder.as_array(dataset, **options)
    return np.asarray(values).reshape(number_of_frames(dataset), int(dataset.Rows), int(dataset.Columns))


def _indices(path: Path, dataset: Dataset, frame: int, scan: Scan) -> NDArray[np.intp]:
    """Return the index into the flat scan of every pixel of a frame, shape (rows, columns); -1 is outside."""
    if scan.ndim == 3 and scan.affine_ras is not None:
        return _indices_by_position(path, dataset, frame, scan)
    return _indices_by_reference(path, dataset, frame, scan)


def _indices_by_position(path: Path, dataset: Dataset, frame: int, scan: Scan) -> NDArray[np.intp]:
    place = functional_group(dataset, frame, "PlanePositionSequence")
    turn = functional_group(dataset, frame, "PlaneOrientationSequence")
    measures = functional_group(dataset, frame, "PixelMeasuresSequence")
    if place is None or turn is None or measures is None or scan.affine_ras is None:
        raise GeometryError(f"{path.name}: the segmentation states no positions for its frames.", hint=_ELSEWHERE)
    position, cosines, spacing = (
        np.array([float(v) for v in values])
        for values in (place.ImagePositionPatient, turn.ImageOrientationPatient, measures.PixelSpacing)
    )
    to_index = np.linalg.inv(ras_from_lps(scan.affine_ras))
    start = (to_index @ np.append(position, 1.0))[:3]
    steps = np.stack([cosines[3:] * spacing[0], cosines[:3] * spacing[1]])  # of a row, of a column
    steps = steps @ to_index[:3, :3].T
    lengths = np.array([dataset.Rows, dataset.Columns]) - 1
    error = max(np.abs(start - np.rint(start)).max(), (np.abs(steps - np.rint(steps)) * lengths[:, None]).max())
    if error > _NEAR or (np.abs(np.rint(steps)).sum(axis=1) != 1).any():
        raise GeometryError(
            f"{path.name}: frame {frame + 1} of the segmentation does not lie on the voxels of this scan.",
            hint=_ELSEWHERE,
        )
    rows, columns = np.ogrid[: int(dataset.Rows), : int(dataset.Columns)]
    index = [int(o) + int(r) * rows + int(c) * columns for o, r, c in zip(np.rint(start), *np.rint(steps), strict=True)]
    is_inside = np.logical_and.reduce([(axis >= 0) & (axis < n) for axis, n in zip(index, scan.shape, strict=True)])
    z, y, x = (np.clip(axis, 0, n - 1) for axis, n in zip(index, scan.shape, strict=True))
    return np.where(is_inside, (z * scan.shape[1] + y) * scan.shape[2] + x, -1)


def _indices_by_reference(path: Path, dataset: Dataset, frame: int, scan: Scan) -> NDArray[np.intp]:
    source = source_images(path.name, scan)
    derivation = functional_group(dataset, frame, "DerivationImageSequence")
    for reference in (derivation.get("SourceImageSequence") or ()) if derivation is not None else ():
        if reference.ReferencedSOPInstanceUID != source.first.SOPInstanceUID:
            continue
        numbers = np.atleast_1d(reference.get("ReferencedFrameNumber", 1))
        positions = np.arange(int(np.prod(scan.shape))).reshape(scan.shape)
        found: NDArray[np.intp] = on_native_slices(positions, scan)[source.slices[int(numbers[0]) - 1]]
        if found.shape == (dataset.Rows, dataset.Columns):
            return found
    raise GeometryError(f"{path.name}: the segmentation refers to another image than this one.", hint=_ELSEWHERE)


def _segment(
    path: Path, dataset: Dataset, item: Dataset, frames: Frames, indices: list[NDArray[np.intp]], scan: Scan
) -> Segment:
    number, kind = int(item.SegmentNumber), str(dataset.SegmentationType)
    values = np.zeros(int(np.prod(scan.shape)), dtype=frames.dtype)
    for frame, (stored, index) in enumerate(zip(frames, indices, strict=True)):
        if kind == "LABELMAP":
            stored = (stored == number).astype(frames.dtype)
        elif number != _segment_of(dataset, frame):
            continue
        is_inside = index >= 0
        if stored[~is_inside].any():
            raise GeometryError(f"{path.name}: the segmentation reaches beyond this scan.", hint=_ELSEWHERE)
        values[index[is_inside]] = stored[is_inside]
    values = values.reshape(scan.shape)
    probability = None
    if kind == "FRACTIONAL":
        probability = values.astype(np.float32) / np.float32(dataset.MaximumFractionalValue)
    return Segment(
        number=number,
        label=str(item.get("SegmentLabel") or ""),
        mask=values != 0 if probability is None else probability >= 0.5,
        probability=probability,
        algorithm_type=str(item.get("SegmentAlgorithmType") or ""),
    )


def _segment_of(dataset: Dataset, frame: int) -> int:
    group = functional_group(dataset, frame, "SegmentIdentificationSequence")
    return 1 if group is None else int(group.ReferencedSegmentNumber)
