"""What every DICOM object written here has in common: who made it, a zeroed preamble, whole or not at all."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from importlib import metadata
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmca_core.atomic import atomic_write
from tmca_core.errors import StudyWriteError, TmcaError
from tmca_core.io._dicom_source import source_images
from tmca_core.io.write import check_shape, labels_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray
    from pydicom import Dataset

    from tmca_core.io._dicom_source import SourceImages
    from tmca_core.io.terms import Code
    from tmca_core.study import Provenance, Scan

MANUFACTURER, PRODUCT = "napari-tmca developers", "napari-tmca"
NOTICE = "Research use only. Not for diagnosis."
SERIES_NUMBERS = {"SEG": 9001, "RTSTRUCT": 9002, "SR": 9003, "SC": 9004}


def software_version() -> str:
    """Return the version of this software."""
    return metadata.version("napari-tmca")


def algorithm_type(provenance: Provenance | None, *, is_edited: bool) -> str:
    """Return MANUAL without a network, SEMIAUTOMATIC where a person changed its answer, else AUTOMATIC."""
    if provenance is None:
        return "MANUAL"
    return "SEMIAUTOMATIC" if is_edited else "AUTOMATIC"


def save_dicom(path: Path, dataset: Dataset) -> None:
    """Write a dataset with a preamble of zeroes, where an executable header could hide, complete or not at all.

    A file that it replaces is kept as ``NAME.previous``.

    The bytes are made in memory first: pydicom would put its own words over an error of the disk.
    """
    dataset.preamble = bytes(128)
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    with atomic_write(path, keeps_previous=True) as file:
        file.write(buffer.getbuffer())


@contextmanager
def made_from_source(name: str) -> Iterator[None]:
    """Turn whatever highdicom or pydicom say of a source's odd header into one sentence without its values."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values of the header
            yield
    except TmcaError:
        raise
    except Exception as error:
        raise StudyWriteError(
            f"{name}: the header of the scan's DICOM files does not allow this object ({type(error).__name__}).",
            hint="Save the mask as NIfTI (.nii.gz) instead.",
        ) from error


def coded(code: Code) -> Any:
    """Return a code as highdicom takes it."""
    from highdicom.sr import CodedConcept

    return CodedConcept(value=code.value, scheme_designator=code.scheme, meaning=code.meaning)


def check_suffix(path: Path, suffix: str = ".dcm") -> None:
    """Raise `StudyWriteError` unless the name ends as DICOM files do."""
    if path.suffix.lower() != suffix:
        raise StudyWriteError(
            f"{path.name}: expected a name ending in {suffix}.", hint=f"Choose a name ending in {suffix}."
        )


def checked_arguments(
    path: Path | str, mask: NDArray[np.generic], scan: Scan
) -> tuple[Path, NDArray[np.integer[Any]], SourceImages]:
    """Return the path, the mask as labels and the scan's files, if an object of the mask can refer to them.

    Raises
    ------
    GeometryError, StudyWriteError, ValueError
        As for `tmca_core.io.dicom_seg.write_dicom_seg`.

    """
    path = Path(path)
    check_suffix(path)
    check_shape(path, mask.shape, scan)
    return path, labels_of(mask), source_images(path.name, scan)
