"""A secondary capture is a valid picture with a notice that cannot be switched off."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from tmca_core.errors import GeometryError
from tmca_core.io import read_scan
from tmca_core.io.dicom_capture import write_dicom_capture


@pytest.mark.parametrize("is_volume", [True, False])
def test_the_notice_is_burned_in_and_said(tmp_path, save_series, lopsided, errors_of_dciodvfy, is_volume):
    folder = save_series()
    scan = read_scan(folder if is_volume else next(folder.iterdir()))
    heat = np.linspace(0, 1, scan.pixels.size, dtype=np.float32).reshape(scan.shape)
    write_dicom_capture(tmp_path / "heat.dcm", scan, lopsided(scan.shape), heat)
    dataset = pydicom.dcmread(tmp_path / "heat.dcm")
    assert dataset.BurnedInAnnotation == "YES"
    assert "Not for diagnosis" in dataset.DerivationDescription
    picture = dataset.pixel_array
    band = picture[-(picture.shape[1] // 20) :]
    assert (band == 255).any()
    assert (band[:, -1] == 0).all()
    assert (dataset.PatientOrientation or None) == (["L", "P"] if is_volume else None)
    assert dataset.preamble == bytes(128)
    assert not errors_of_dciodvfy(tmp_path / "heat.dcm")


def test_another_shape_is_refused(tmp_path, save_series, lopsided):
    scan = read_scan(save_series())
    with pytest.raises(GeometryError, match="expected values of the scan's shape"):
        write_dicom_capture(tmp_path / "heat.dcm", scan, lopsided(scan.shape), np.zeros((2, 2), dtype=np.float32))
