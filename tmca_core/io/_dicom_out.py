"""What every DICOM object written here has in common: its source, who made it, whole or not at all."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from tmca_core.atomic import atomic_write
from tmca_core.errors import StudyWriteError, TmcaError
from tmca_core.io._dicom_source import source_images
from tmca_core.io.write import check_shape, labels_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from pydicom import Dataset

    from tmca_core.io._dicom_source import SourceImages
    from tmca_core.io.terms import Code
    from tmca_core.study import Provenance, Scan

MANUFACTURER, PRODUCT = "napari-tmca developers", "napari-tmca"
NOTICE = "Research use only. Not for diagnosis."
SERIES_NUMBERS = {"SEG": 9001, "RTSTRUCT": 9002, "SR": 9003, "SC": 9004}


@dataclass(frozen=True)
class Maker:
    """Who made a mask.

    Attributes
    ----------
    provenance : Provenance or None
        Of the network; ``None`` for a mask that was drawn by hand.
    is_edited : bool
        Whether a person changed the network's mask.

    """

    provenance: Provenance | None
    is_edited: bool

    @property
    def algorithm_type(self) -> str:
        """MANUAL without a network, SEMIAUTOMATIC where a person changed its answer, else AUTOMATIC."""
        if self.provenance is None:
            return "MANUAL"
        return "SEMIAUTOMATIC" if self.is_edited else "AUTOMATIC"

    @property
    def network(self) -> tuple[str, str, str] | None:
        """Name, version and sha256 of the network's weights, each "unknown" where it is not; ``None`` without one."""
        if self.provenance is None:
            return None
        known = self.provenance
        return known.model_name or PRODUCT, known.model_version or "unknown", known.model_sha256 or "unknown"


@dataclass(frozen=True, eq=False)
class MaskOfSource:
    """A mask that was found to lie on the instances of its scan.

    Attributes
    ----------
    labels : NDArray of unsigned int, shape of the scan
        Zero is background.
    present : tuple of int
        The labels in it, ascending; empty for an empty mask.
    source : SourceImages
        The instances.

    """

    labels: NDArray[np.integer[Any]]
    present: tuple[int, ...]
    source: SourceImages

    def notes(self, *more: str, if_empty: str) -> tuple[str, ...]:
        """Return what the user should know: of the source, more, and of an empty mask."""
        return (*self.source.notes, *more, *(() if self.present else (f"The mask is empty, on purpose: {if_empty}",)))


def mask_of_source(path: Path, mask: NDArray[np.generic], scan: Scan) -> MaskOfSource:
    """Check a mask and the name to write it under, and find the instances of its scan.

    Raises
    ------
    GeometryError
        If the mask has another shape than the scan.
    StudyWriteError
        If the name does not end in ``.dcm``, or the scan's instances cannot be referred to.
    ValueError
        If the mask holds other values than labels.

    """
    check_suffix(path)
    check_shape(path, mask.shape, scan)
    labels = labels_of(mask)
    present = tuple(int(label) for label in np.unique(labels) if label)
    return MaskOfSource(labels, present, source_images(path.name, scan))


def object_options(kind: str) -> dict[str, Any]:
    """Return the arguments that highdicom takes for every object: new identifiers, and who made it."""
    import highdicom as hd

    return {
        "series_instance_uid": hd.UID(),
        "series_number": SERIES_NUMBERS[kind],
        "sop_instance_uid": hd.UID(),
        "instance_number": 1,
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": PRODUCT,
        "software_versions": software_version(),
    }


def software_version() -> str:
    """Return the version of this software."""
    return metadata.version("napari-tmca")


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
