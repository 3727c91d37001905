"""A copy of a DICOM series without what names its patient, as far as headers go; anonymity is never promised.

dicognito replaces identifiers and moves dates; the rest of the basic profile of DICOM PS3.15 is done by leaving out
every private element and every free text that is not needed to read the image. Pixels are never touched.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from tmca_core.errors import ConfigError, StudyReadError, StudyWriteError
from tmca_core.io._dicom_out import PRODUCT, save_dicom, software_version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom import DataElement

_TEXTS = {"AE", "LO", "LT", "PN", "SH", "ST", "UC", "UN", "UR", "UT"}
_KEPT = {
    *("PatientName", "PatientID", "StudyID", "AccessionNumber", "SpecificCharacterSet"),  # replaced by dicognito
    *("Manufacturer", "ManufacturerModelName", "ConvolutionKernel", "RescaleType", "WindowCenterWidthExplanation"),
    *("CodeValue", "LongCodeValue", "CodeMeaning", "CodingSchemeDesignator", "CodingSchemeVersion", "LUTExplanation"),
    *("ContrastBolusAgent", "RadiopharmaceuticalInformation", "ReceiveCoilName", "SequenceName"),
}
_EMPTIED = {"ReferringPhysicianName", "PatientBirthDate", "PatientBirthTime", "PatientSex"}
_LEFT_OUT = {
    *("PatientAge", "PatientSize", "PatientWeight", "PregnancyStatus", "LastMenstrualDate", "SmokingStatus"),
    *("IconImageSequence", "RequestAttributesSequence", "ReferencedPatientSequence", "OriginalAttributesSequence"),
    *("DigitalSignaturesSequence", "EncryptedAttributesSequence", "PrivateInformation", "OtherPatientIDsSequence"),
    *("ReferencedStudySequence", "ReferencedPerformedProcedureStepSequence", "PersonIdentificationCodeSequence"),
}
_DRAWN_GROUPS = range(0x5000, 0x6100)  # curves and overlays, which may spell a name
_PROFILE = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
)
NO_PROMISE = (
    "Identifying header entries were replaced or left out. This is no promise of anonymity: pictures, faces and rare "
    "findings can still tell who it is."
)


@dataclass(frozen=True)
class DeidentifiedSeries:
    """A copy that was made.

    Attributes
    ----------
    folder : Path
        Where.
    files : tuple of Path
        Numbered, in the order of the source's file names.
    notes : tuple of str
        What to look at before the copy is given away.

    """

    folder: Path
    files: tuple[Path, ...]
    notes: tuple[str, ...]


def deidentify_series(source: Path | str, folder: Path | str) -> DeidentifiedSeries:
    """Copy the DICOM images of a file or folder without what names the patient, all of them or none.

    Images of one call keep belonging together: equal identifiers stay equal, and dates keep their distances.

    Parameters
    ----------
    source : Path or str
        A DICOM file, or a folder with images directly in it.
    folder : Path or str
        To be made; must not exist, or be empty.

    Raises
    ------
    ConfigError
        If dicognito is not installed.
    StudyReadError
        If there is no DICOM image.
    StudyWriteError
        If the folder holds files already, or cannot be written; nothing is then left of the copy.

    """
    source, folder = Path(source), Path(folder)
    anonymizer = _anonymizer()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StudyWriteError(f"{folder.name}: expected a new or an empty folder.", hint="Choose another folder.")
    paths = [source] if source.is_file() else sorted(path for path in source.glob("*") if path.is_file())
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=".tmca-", dir=folder.parent))
    except OSError as error:
        raise _cannot_write(folder, error) from error
    try:
        notes = tuple(dict.fromkeys(_copy_all(anonymizer, source, paths, stage)))
        if folder.exists():
            folder.rmdir()
        os.replace(stage, folder)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return DeidentifiedSeries(folder, tuple(sorted(folder.iterdir())), (*notes, NO_PROMISE))


def _anonymizer() -> Any:
    try:
        from dicognito.anonymizer import Anonymizer
    except ImportError as error:
        raise ConfigError(
            "De-identification needs dicognito, which is not installed.",
            hint='Install it with: pip install "napari-tmca[deidentify]"',
        ) from error
    anonymizer = Anonymizer()
    anonymizer.add_element_handler(_leave_out)
    return anonymizer


def _leave_out(dataset: Dataset, element: DataElement) -> bool:
    """Empty or remove an element that the basic profile does not keep; tell whether it was done."""
    if element.keyword in _EMPTIED:
        element.value = ""
        return True
    is_text = element.VR in _TEXTS and element.keyword not in _KEPT
    if is_text or element.keyword in _LEFT_OUT or element.tag.is_private or element.tag.group in _DRAWN_GROUPS:
        del dataset[element.tag]
        return True
    return False


def _copy_all(anonymizer: Any, source: Path, paths: list[Path], stage: Path) -> Iterator[str]:
    """Copy every image into the stage, and yield what to look at."""
    number = 0
    for path in paths:
        dataset = _image(path)
        if dataset is None:
            continue
        number += 1
        if dataset.get("BurnedInAnnotation") != "NO":
            says = (
                "says that text is burned into" if dataset.get("BurnedInAnnotation") == "YES" else "does not rule out"
            )
            what = "the pixels" if says.startswith("says") else "text burned into the pixels"
            yield f"The header {says} {what}: look at every picture for names before you give it away."
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values of the header
            _clean(anonymizer, dataset)
            save_dicom(stage / f"{number:05d}.dcm", dataset)
    if number == 0:
        raise StudyReadError(f"{source.name}: expected DICOM images, got none.", hint="Choose a DICOM file or folder.")
    if number < len(paths):
        yield f"{len(paths) - number} other files were left out."


def _image(path: Path) -> Dataset | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(path)
            return dataset if "Rows" in dataset and "PixelData" in dataset else None
    except (InvalidDicomError, OSError):
        return None
    except Exception as error:
        raise StudyReadError(
            f"{path.name}: the file is damaged: its header cannot be decoded.", hint="Copy or export it again."
        ) from error


def _clean(anonymizer: Any, dataset: Dataset) -> None:
    dataset.remove_private_tags()
    anonymizer.anonymize(dataset)
    dataset.PatientName = dataset.get("PatientID") or "removed"  # dicognito's invented names look like real ones
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.DeidentificationMethod = [f"{PRODUCT} {software_version()}"[:64], "dicognito"]
    dataset.DeidentificationMethodCodeSequence = [_code(*code) for code in _PROFILE]
    dataset.LongitudinalTemporalInformationModified = "MODIFIED"


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning[:64]
    return item


def _cannot_write(folder: Path, error: OSError) -> StudyWriteError:
    return StudyWriteError(
        f"{folder.name}: cannot be written ({error.strerror or type(error).__name__}).", hint="Choose another folder."
    )
