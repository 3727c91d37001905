"""Which patient a DICOM file is of. Read to tell patients apart, never to be shown or kept as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tmca_core.errors import TmcaError
from tmca_core.io._dicom_header import read_dataset

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_SUFFIXES = ("", ".dcm", ".dicom", ".ima")
_MOST_FILES = 5  # looked at in a folder, should the first ones be something else


def read_patient_id(path: Path) -> str:
    """Return what tells the patient of a DICOM file, or of a folder of them, from others; "" where nothing does.

    The PatientID with its issuer, or else the study's UID: pictures of one study are of one patient.
    """
    for file in _files(path):
        try:
            header = read_dataset(file, is_header_only=True)
        except TmcaError:
            continue
        number = str(header.get("PatientID") or "").strip()
        if number:
            return f"{header.get('IssuerOfPatientID') or ''}/{number}"
        return str(header.get("StudyInstanceUID") or "")
    return ""


def _files(path: Path) -> Iterable[Path]:
    try:
        files = sorted(child for child in path.iterdir() if child.is_file()) if path.is_dir() else [path]
    except OSError:
        return ()
    return [file for file in files if file.suffix.lower() in _SUFFIXES and not file.name.startswith(".")][:_MOST_FILES]
