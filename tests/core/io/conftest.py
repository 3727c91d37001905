"""Small files of every format, made by code."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def save_nifti(tmp_path):
    """Save an array with an affine, and qform and sform codes, and return the path."""

    def save(array, affine=None, name="scan.nii.gz", codes=(1, 2), image_class=nib.Nifti1Image):
        affine = np.diag([-0.7, -0.9, 3.0, 1.0]) if affine is None else affine
        image = image_class(array, affine)
        image.header.set_qform(affine, codes[0])
        image.header.set_sform(affine, codes[1])
        nib.save(image, tmp_path / name)
        return tmp_path / name

    return save


@pytest.fixture
def make_dicom():
    """Build a dataset around stored (Y, X), (F, Y, X) or (Y, X, 3); keywords set elements, None leaves one out."""

    def make(stored, **elements):
        is_rgb = stored.ndim == 3 and stored.shape[-1] == 3
        frames, (rows, columns) = (None, stored.shape[:2]) if is_rgb else (stored.shape[:-2], stored.shape[-2:])
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
        bits = stored.dtype.itemsize * 8
        values = {
            "SOPClassUID": CTImageStorage,
            "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
            "Modality": "CT",
            "PatientName": "Canary^Name",
            "Rows": rows,
            "Columns": columns,
            "BitsAllocated": bits,
            "BitsStored": bits,
            "HighBit": bits - 1,
            "SamplesPerPixel": 3 if is_rgb else 1,
            "PhotometricInterpretation": "RGB" if is_rgb else "MONOCHROME2",
            "PixelRepresentation": int(stored.dtype.kind == "i"),
        }
        values |= {"PlanarConfiguration": 0} if is_rgb else {}
        values |= {"NumberOfFrames": frames[0]} if frames else {}
        for keyword, value in (values | elements).items():
            if value is not None:
                setattr(dataset, keyword, value)
        if "PixelData" not in elements:
            data = stored.tobytes()
            dataset.add_new("PixelData", "OW" if bits > 8 else "OB", data + bytes(len(data) % 2))
        return dataset

    return make


@pytest.fixture
def save_dicom(tmp_path, make_dicom):
    """Build a dataset as ``make_dicom`` does, save it, and return the path."""

    def save(stored, name="scan.dcm", **elements):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        make_dicom(stored, **elements).save_as(path, enforce_file_format=True)
        return path

    return save
