"""Exported folders hold what nnU-Net and COCO ask for, on the scans' own grids."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from tmca_core.errors import GeometryError, StudyWriteError
from tmca_core.io import read_mask, read_scan
from tmca_core.io._contours import filled
from tmca_core.io.layouts_out import ExportCase, export_coco, export_nnunet
from tmca_core.study import Scan

LABELS = {"opacity": 1, "nodule": 2}


@pytest.fixture
def volume(save_series, lopsided):
    scan = read_scan(save_series(orientation="oblique"))
    return ExportCase("case_1", scan, lopsided(scan.shape) * 2, "Jane Canary: opacity.")


@pytest.fixture
def picture(lopsided):
    mask = np.zeros((20, 30), dtype=np.uint8)
    mask[2:9, 3:12] = 1
    mask[4:6, 5:8] = 0
    mask[15:18, 20:28] = 2
    return ExportCase("p1", Scan(np.arange(600, dtype=np.uint16).reshape(20, 30)), mask, "Jane Canary: opacity.")


def test_nnunet_has_images_labels_and_description(tmp_path, volume):
    files = export_nnunet(tmp_path / "Dataset501", [volume], LABELS, modality="CT")
    assert [path.relative_to(tmp_path / "Dataset501").as_posix() for path in files] == [
        "imagesTr/case_1_0000.nii.gz",
        "labelsTr/case_1.nii.gz",
        "dataset.json",
    ]
    image, label = nib.load(files[0]), nib.load(files[1])
    np.testing.assert_array_equal(image.affine, label.affine)
    again = read_scan(files[0])
    np.testing.assert_array_equal(again.pixels, volume.scan.pixels)
    np.testing.assert_allclose(again.affine_ras, volume.scan.affine_ras, atol=1e-5)
    np.testing.assert_array_equal(read_mask(files[1]), volume.mask > 0)
    assert set(np.unique(label.dataobj)) == {0, 2}
    assert json.loads(files[2].read_text()) == {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "opacity": 1, "nodule": 2},
        "numTraining": 1,
        "file_ending": ".nii.gz",
    }


def test_nnunet_takes_pictures_as_png(tmp_path, picture):
    files = export_nnunet(tmp_path, [picture], LABELS, modality="X-ray", has_reports=True)
    with Image.open(files[1]) as label:
        np.testing.assert_array_equal(np.asarray(label), picture.mask)
    assert files[2].read_text() == picture.report
    assert json.loads(files[3].read_text())["file_ending"] == ".png"


def test_coco_outlines_are_the_mask(tmp_path, picture):
    image, annotations = export_coco(tmp_path, [picture], LABELS)
    whole = json.loads(annotations.read_text())
    assert whole["images"] == [{"id": 1, "file_name": "p1.png", "height": 20, "width": 30}]
    assert [item["category_id"] for item in whole["annotations"]] == [1, 2]
    assert [item["area"] for item in whole["annotations"]] == [57, 24]
    assert whole["annotations"][1]["bbox"] == [20, 15, 8, 3]
    again = np.zeros((20, 30), dtype=np.uint8)
    for item in whole["annotations"]:
        points = np.array(item["segmentation"][0]).reshape(-1, 2)[:, ::-1] - 0.5
        again[filled(points, again.shape)] = item["category_id"]
    np.testing.assert_array_equal(again, picture.mask)
    with Image.open(image) as shown:
        assert shown.mode == "L"


@pytest.mark.parametrize("has_reports", [False, True])
def test_reports_leave_only_where_asked_for(tmp_path, picture, has_reports):
    export_coco(tmp_path / "coco", [picture], LABELS, has_reports=has_reports)
    export_nnunet(tmp_path / "nnunet", [picture], LABELS, modality="X-ray", has_reports=has_reports)
    found = {path.parent.name for path in tmp_path.rglob("*") if path.is_file() and b"Canary" in path.read_bytes()}
    assert found == ({"coco", "reports"} if has_reports else set())


def test_what_cannot_be_exported_is_said(tmp_path, picture, volume):
    with pytest.raises(StudyWriteError, match="COCO holds pictures, and this is a volume"):
        export_coco(tmp_path, [volume], LABELS)
    with pytest.raises(StudyWriteError, match="cases of one kind"):
        export_nnunet(tmp_path, [volume, picture], LABELS, modality="CT")
    with pytest.raises(StudyWriteError, match=r"'\.\./x': expected an identifier"):
        export_coco(tmp_path, [ExportCase("../x", picture.scan, picture.mask)], LABELS)
    with pytest.raises(StudyWriteError, match="that no other case has"):
        export_coco(tmp_path, [picture, ExportCase("P1", picture.scan, picture.mask)], LABELS)
    with pytest.raises(GeometryError, match="the scan's shape"):
        export_coco(tmp_path, [ExportCase("x", picture.scan, picture.mask.T)], LABELS)
    with pytest.raises(ValueError, match=r"labels without a name: \[2\]"):
        export_coco(tmp_path, [picture], {"opacity": 1})
    with pytest.raises(ValueError, match=r"expected labels 0\.\.1, got 2"):
        export_nnunet(tmp_path, [picture], {"opacity": 1}, modality="CT")
    with pytest.raises(ValueError, match="at least one case"):
        export_nnunet(tmp_path, [], LABELS, modality="CT")
    (tmp_path / "file").touch()
    with pytest.raises(StudyWriteError, match="a folder that can be written to"):
        export_coco(tmp_path / "file", [picture], LABELS)


def test_an_export_is_stopped_amid_a_file_and_leaves_no_part_of_it(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (24, 1024, 1024), dtype=np.uint8)
    asked = iter(range(4))

    def stop():
        if next(asked, None) is None:
            raise KeyboardInterrupt

    big = ExportCase("big", Scan(pixels, spacing_mm=(1.0, 1.0, 1.0)), np.zeros(pixels.shape, np.uint8))
    with pytest.raises(KeyboardInterrupt):
        export_nnunet(tmp_path, [big], LABELS, modality="CT", stop=stop)
    assert not list((tmp_path / "imagesTr").iterdir())
