"""What a DICOM header says about its image, checked before any pixel is decoded. Never a word about the patient."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from tmca_core.errors import StudyReadError
from tmca_core.io._files import incomplete, size_text

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom import Dataset

    Spacing = tuple[float, float]

_DIRECTORY = "1.2.840.10008.1.3.10"
_NOT_SCANS = {
    _DIRECTORY: ("a DICOMDIR, the index of a disc", "Choose the folder that holds the slices."),
    "1.2.840.10008.5.1.4.1.1.66.4": ("a segmentation, not a scan", "Choose the scan that it belongs to."),
    "1.2.840.10008.5.1.4.1.1.66.7": ("a segmentation, not a scan", "Choose the scan that it belongs to."),
    "1.2.840.10008.5.1.4.1.1.481.2": ("a radiation dose, not a scan", "Choose the scan that it belongs to."),
}
_PIXEL_ELEMENTS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_REQUIRED = ("Rows", "Columns", "BitsAllocated", "SamplesPerPixel", "PhotometricInterpretation")
_PROJECTIONS = {"CR", "DX", "MG", "RG", "RF", "XA", "IO", "PX"}
_LARGE = 1 << 30  # unpacked size from which a compressed file must be plausible
_LARGEST_RATIO = 1000


def read_dataset(path: Path, *, is_header_only: bool = False) -> Dataset:
    """Return the dataset of a DICOM file with a preamble and a transfer syntax.

    Raises
    ------
    StudyReadError
        If the file is no such file.

    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values of the header
            dataset = pydicom.dcmread(path, stop_before_pixels=is_header_only)
    except InvalidDicomError as error:
        raise StudyReadError(f"{path.name}: not a DICOM file.", hint="Choose an image file.") from error
    except Exception as error:
        raise undecodable(path.name) from error
    if not dataset.file_meta.get("TransferSyntaxUID"):
        raise StudyReadError(
            f"{path.name}: the header does not state how the file is encoded (its transfer syntax).",
            hint="Export it again; it is not guessed here.",
        )
    return dataset


def undecodable(name: str) -> StudyReadError:
    """Return the error for content that pydicom gave up on; its own words may quote the header and stay the cause."""
    return StudyReadError(
        f"{name}: the file is damaged: its header or pixels cannot be decoded.", hint="Copy or export it again."
    )


def is_directory(dataset: Dataset) -> bool:
    """Tell whether a dataset is a DICOMDIR, the index of a disc."""
    return _sop_class(dataset) == _DIRECTORY


def holds_an_image(dataset: Dataset) -> bool:
    """Tell from a header read without its pixels whether an image belongs to it."""
    return "Rows" in dataset and _sop_class(dataset) not in _NOT_SCANS


def check_image(name: str, dataset: Dataset) -> None:
    """Check that the dataset is an image with a consistent header and all its bytes.

    Raises
    ------
    StudyReadError
        That says what it is instead, or what is missing.

    """
    sop_class = _sop_class(dataset)
    if sop_class in _NOT_SCANS:
        what, hint = _NOT_SCANS[sop_class]
        raise StudyReadError(f"{name}: {what}.", hint=hint)
    element = next((e for e in _PIXEL_ELEMENTS if e in dataset), None)
    if element is None:
        raise _no_pixels(name, dataset, sop_class)
    for keyword in _REQUIRED:
        if keyword not in dataset:
            raise StudyReadError(f"{name}: the header lacks {keyword}.", hint="Export it again.")
    for keyword in _REQUIRED[:-1]:
        _positive_integer(name, dataset, keyword)
    _check_length(name, dataset, element)


def frame_count(name: str, dataset: Dataset) -> int:
    """Return the number of frames, 1 where none is stated."""
    return _positive_integer(name, dataset, "NumberOfFrames") if dataset.get("NumberOfFrames") else 1


def unpacked_size(dataset: Dataset) -> int:
    """Return the bytes of an image's pixels as its header declares them, 0 where it does not."""
    try:
        numbers = [int(dataset[keyword].value) for keyword in _REQUIRED[:-1]]
        return math.prod(numbers) * max(1, int(dataset.get("NumberOfFrames") or 1)) // 8
    except (KeyError, TypeError, ValueError):
        return 0


def transfer_syntax(dataset: Dataset) -> UID:
    """Return how the file is encoded."""
    return UID(dataset.file_meta.TransferSyntaxUID)


def pixel_spacing_mm(dataset: Dataset, measures: Dataset | None = None) -> tuple[Spacing | None, tuple[str, ...]]:
    """Return the (y, x) spacing in the patient, or ``None`` where none is stated, and notes.

    ``measures`` is the pixel measures item of an enhanced image, which has its spacing there. The spacing at the
    detector (ImagerPixelSpacing) is larger than that in the patient by an unknown magnification, and is never used.
    """
    spacing = _two_lengths(dataset, "PixelSpacing")
    if spacing is None and measures is not None:
        spacing = _two_lengths(measures, "PixelSpacing")
    detector = _two_lengths(dataset, "ImagerPixelSpacing")
    if spacing is None and detector is None:
        return None, ("The file states no pixel spacing: lengths are unknown.",)
    if spacing is None:
        return None, ("The file states the spacing of the detector plane, not of the anatomy: lengths are unknown.",)
    if spacing is not None and measures is None and dataset.get("PixelSpacingCalibrationType"):
        how = str(dataset.PixelSpacingCalibrationType).lower()
        return spacing, (f"The pixel spacing was calibrated ({how}): lengths hold in that plane.",)
    if spacing == detector and dataset.get("Modality") in _PROJECTIONS:
        return spacing, ("The pixel spacing is that of the detector plane, not of the anatomy: lengths are too large.",)
    return spacing, ()


def _sop_class(dataset: Dataset) -> str:
    return str(dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID") or "")


def _no_pixels(name: str, dataset: Dataset, sop_class: str) -> StudyReadError:
    """Tell a file cut off before its pixels from one that never had any."""
    kind = uid_name(sop_class)
    if "Rows" in dataset or kind.endswith("Image Storage"):
        return StudyReadError(
            f"{name}: the file is incomplete: its header describes an image, and the pixels are missing.",
            hint="Copy or export it again.",
        )
    what = f"a DICOM object without an image ({kind})" if kind else "a DICOM object without an image"
    return StudyReadError(f"{name}: {what}.", hint="Choose an image of the study.")


def uid_name(uid: str) -> str:
    """Return what a UID stands for, itself if unknown, "" for what is none: a damaged header's bytes are not quoted."""
    return UID(uid).name if UID(uid).is_valid else ""


def _positive_integer(name: str, dataset: Dataset, keyword: str) -> int:
    try:
        value = int(dataset[keyword].value)
    except (TypeError, ValueError) as error:
        raise StudyReadError(
            f"{name}: contradictory header: {keyword} is not one number.", hint="Export it again."
        ) from error
    if value <= 0:
        raise StudyReadError(
            f"{name}: expected an image with pixels, got {keyword} = {value}.", hint="Export it again."
        )
    return value


def _check_length(name: str, dataset: Dataset, element: str) -> None:
    """Compare the declared size of the pixels with the bytes present, before anything is allocated for them."""
    values = [_positive_integer(name, dataset, keyword) for keyword in _REQUIRED[:-1]]
    declared = (math.prod(values) * frame_count(name, dataset) + 7) // 8
    if dataset.PhotometricInterpretation == "YBR_FULL_422":
        declared = declared * 2 // 3
    present = len(dataset[element].value or b"")
    if not transfer_syntax(dataset).is_encapsulated:
        if present < declared:
            raise incomplete(name, present, declared, "bytes of pixels")
    elif declared > _LARGE and declared > _LARGEST_RATIO * present:
        raise StudyReadError(
            f"{name}: the header declares {size_text(declared)} of pixels, and the file holds {size_text(present)}.",
            hint="The header is damaged: copy or export the file again.",
        )


def _two_lengths(dataset: Dataset, keyword: str) -> Spacing | None:
    """Return two positive lengths in mm, or None if the element is absent, empty, or anything else."""
    try:
        y, x = (float(value) for value in dataset[keyword].value)
    except (KeyError, TypeError, ValueError):
        return None
    return (y, x) if 0 < y < math.inf and 0 < x < math.inf else None
