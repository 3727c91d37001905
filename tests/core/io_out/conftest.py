"""DICOM series made by code, in any orientation, with a mask of known place."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

CANARY = "Canary^Name"
SHAPE = (5, 14, 11)  # slices, rows, columns
SPACING = (0.7, 0.9)  # rows, columns
_TURN = 0.3
_COS, _SIN = np.cos(_TURN), np.sin(_TURN)
ORIENTATIONS = {
    "axial": [1, 0, 0, 0, 1, 0],
    "sagittal": [0, 1, 0, 0, 0, -1],
    "coronal": [1, 0, 0, 0, 0, -1],
    "oblique": [_COS, _SIN, 0, -_SIN * _COS, _COS * _COS, _SIN],
    "axial-prone": [-1, 0, 0, 0, -1, 0],
    "axial-mirrored": [-1, 0, 0, 0, 1, 0],
}


def _save_series(folder, orientation="axial", gap=2.5, is_descending=False, **elements):
    """Save a CT series with shuffled file names and return its folder."""
    folder.mkdir(exist_ok=True)
    cosines = np.array(ORIENTATIONS[orientation], dtype=float)
    normal = np.cross(cosines[:3], cosines[3:]) * (-1 if is_descending else 1)
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    stored = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    for number, name in enumerate(np.random.default_rng(1).permutation(SHAPE[0])):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset = FileDataset("", {}, file_meta=meta, preamble=b"MZ" + bytes(126))
        values = {
            "SOPClassUID": CTImageStorage,
            "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
            "StudyInstanceUID": study,
            "SeriesInstanceUID": series,
            "FrameOfReferenceUID": frame,
            "Modality": "CT",
            "PatientName": CANARY,
            "PatientID": "Canary-17",
            "PatientBirthDate": "19500101",
            "PatientSex": "F",
            "StudyID": "1",
            "StudyDate": "20200102",
            "StudyTime": "101112",
            "AccessionNumber": "A1",
            "ReferringPhysicianName": "",
            "SeriesNumber": 2,
            "InstanceNumber": number + 1,
            "ImageOrientationPatient": [float(f"{c:.10f}") for c in cosines],
            "ImagePositionPatient": [float(f"{v:.8f}") for v in np.array([-30, 12, 55]) + normal * gap * number],
            "PixelSpacing": list(SPACING),
            "SliceThickness": gap,
            "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
            "Rows": SHAPE[1],
            "Columns": SHAPE[2],
            "BitsAllocated": 16,
            "BitsStored": 16,
            "HighBit": 15,
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "PixelRepresentation": 1,
            "RescaleIntercept": 0,
            "RescaleSlope": 1,
        }
        for keyword, value in (values | elements).items():
            if value is not None:
                setattr(dataset, keyword, value)
        dataset.PixelData = stored[number].tobytes()
        dataset.save_as(folder / f"{name}.dcm", enforce_file_format=True)
    return folder


def _lopsided(shape):
    """Return a mask that no turn or flip leaves as it is."""
    mask = np.zeros(shape, dtype=np.uint8)
    corner = tuple(slice(1, max(2, 2 * n // 3)) for n in shape)
    mask[corner] = 1
    mask[tuple(n // 2 for n in shape)] = 0
    mask[(*(0 for _ in shape[:-1]), slice(0, 4))] = 1
    return mask


@pytest.fixture
def save_series(tmp_path):
    """Save a CT series in one of ORIENTATIONS and return its folder."""
    return lambda name="series", **options: _save_series(tmp_path / name, **options)


@pytest.fixture
def lopsided():
    return _lopsided


@pytest.fixture
def errors_of_dciodvfy():
    """Return the errors that dicom3tools' verifier finds in a file."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is missing: apt-get install dicom3tools")

    def check(path):
        done = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
        return [line for line in done.stderr.splitlines() if line.startswith("Error")]

    return check
