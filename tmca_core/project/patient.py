"""Which cases are of one patient: a pseudonym that they share, and that does not say who it is."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TYPE_CHECKING

from tmca_core.io.patient_id import read_patient_id

if TYPE_CHECKING:
    from pathlib import Path

_SUBJECT = re.compile(r"sub-[A-Za-z0-9]+")  # as BIDS names folders and files


def patient_of(image: Path, key: str, *, told: str = "", folder: str = "") -> str:
    """Return the pseudonym of the patient of an image.

    Made of the first of these that there is: what a table said; DICOM's PatientID; the subject in a path named as BIDS
    does; the folder that holds one patient's images; the file's name without its suffix.

    Parameters
    ----------
    image : Path
        A file, or the folder of a DICOM series.
    key : str
        Of the project: without it nobody finds the pseudonym by trying all numbers.
    told : str
        The patient as a table names him.
    folder : str
        Name of the folder that holds one patient's images, where there is such a folder.

    """
    told = told.strip()
    if told:
        return _pseudonym("told", told, key)
    number = read_patient_id(image)
    if number:
        return _pseudonym("dicom", number, key)
    subjects = _SUBJECT.findall("/".join(image.parts))
    if subjects:
        return _pseudonym("subject", subjects[-1], key)
    return _pseudonym("file", folder or image.name.partition(".")[0], key)


def _pseudonym(kind: str, value: str, key: str) -> str:
    message = f"{kind}\0{value}".encode("utf-8", "surrogateescape")
    return hmac.new(key.encode(), message, hashlib.sha256).hexdigest()[:16]
