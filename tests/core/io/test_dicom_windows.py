from __future__ import annotations

import pydicom
import pytest
from pydicom.data import get_testdata_file

from tmca_core.io.dicom_windows import read_windows


@pytest.fixture
def write(tmp_path):
    def written(name="a.dcm", **values):
        dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
        for key in ("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation"):
            if key in dataset:
                delattr(dataset, key)
        for key, value in values.items():
            setattr(dataset, key, value)
        path = tmp_path / name
        dataset.save_as(path)
        return path

    return written


def test_windows_come_with_their_explanations(write):
    path = write(WindowCenter=[40, -600], WindowWidth=[400, 1500], WindowCenterWidthExplanation=["MEDIASTINUM", "LUNG"])
    assert read_windows(path) == {"MEDIASTINUM": (-160.0, 239.0), "LUNG": (-1350.0, 149.0)}
    assert read_windows(path.parent) == read_windows(path)


def test_one_without_explanation_is_named_after_the_file(write):
    assert list(read_windows(write(WindowCenter=40, WindowWidth=400))) == ["From the file"]


def test_what_recommends_nothing_gives_nothing(write, tmp_path):
    assert read_windows(write()) == {}
    assert read_windows(write(WindowCenter=40, WindowWidth=0)) == {}
    assert read_windows(write(WindowCenter=40, WindowWidth=400, PhotometricInterpretation="MONOCHROME1")) == {}
    (tmp_path / "no.dcm").write_bytes(b"nothing of the kind")
    assert read_windows(tmp_path / "no.dcm") == {}
    assert read_windows(tmp_path / "missing.dcm") == {}
