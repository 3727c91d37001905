"""A prediction is written in every format asked for, and refused before computing where the scan does not allow it."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from PIL import Image

from tmca_core.errors import ConfigError, StudyWriteError
from tmca_core.io import read_scan
from tmca_core.io.dicom_seg_read import read_dicom_seg
from tmca_core.io.formats import FILE_NAMES, MaskFormat, name_of_target, parse_formats
from tmca_core.io.rtstruct import read_rtstruct
from tmca_core.recipes.predict import predict_to_folder
from tmca_core.report import parse_report
from tmca_core.study import Provenance, Segmentation


class Segmenter:
    """Outlines what is above 200."""

    has_run = False

    def set_scan(self, scan):
        self.scan = scan

    def predict_steps(self, report, threshold=None, *, slices=None):
        self.has_run = True
        yield "slice done"
        logits = np.where(self.scan.pixels > 200, 8.0, -8.0).astype(np.float32)
        maps = tuple(np.full((*self.scan.shape[:-2], n, n), 0.5, np.float32) for n in (8, 4, 2, 1))
        return Segmentation(logits, 0.5, maps, (), report, Provenance("rule", "1.0", "ab" * 32, "cpu"))


VOLUME_FORMATS = ("nifti", "nrrd", "seg", "rtstruct", "sr", "capture")


def test_formats_are_parsed_repeated_and_with_commas():
    assert parse_formats(["seg,nifti", "SR", "seg"]) == (MaskFormat.SEG, MaskFormat.NIFTI, MaskFormat.SR)
    assert parse_formats([]) == ()
    with pytest.raises(ConfigError, match=r"expected one of nifti, png, .*, got 'gif'"):
        parse_formats(["gif"])


def test_a_series_gives_every_format_of_a_volume(tmp_path, save_series):
    scan = read_scan(save_series(orientation="sagittal"))
    formats = [MaskFormat(name) for name in VOLUME_FORMATS]
    report = parse_report("Opacity in the left lower zone.")
    *_, done = predict_to_folder(Segmenter(), scan, report, tmp_path / "out", formats=formats)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {FILE_NAMES[f] for f in formats} <= names
    mask = scan.pixels > 200
    (segment,) = read_dicom_seg(tmp_path / "out" / "mask_seg.dcm", scan)
    np.testing.assert_array_equal(segment.mask, mask)
    assert (segment.label, segment.algorithm_type) == ("Opacity", "AUTOMATIC")
    np.testing.assert_array_equal(read_rtstruct(tmp_path / "out" / "mask_rtstruct.dcm", scan)[0].mask, mask)
    assert done.result["files"]["mask_seg.dcm"] == {"format": "seg", "notes": []}


@pytest.mark.parametrize("name", ["png", "tiff"])
def test_a_volume_is_no_picture(tmp_path, save_series, name):
    segmenter = Segmenter()
    with pytest.raises(StudyWriteError, match="this scan is a volume of 5 slices"):
        list(predict_to_folder(segmenter, read_scan(save_series()), None, tmp_path / "out", formats=[MaskFormat(name)]))
    assert not segmenter.has_run


@pytest.mark.parametrize("name", ["nifti", "seg", "rtstruct", "sr", "capture"])
def test_a_png_has_no_place_and_no_instances(tmp_path, name):
    Image.fromarray(np.arange(99, dtype=np.uint8).reshape(9, 11)).save(tmp_path / "scan.png")
    segmenter = Segmenter()
    scan = read_scan(tmp_path / "scan.png")
    with pytest.raises(StudyWriteError, match=r"a place in space|refers to the DICOM files of its scan"):
        list(predict_to_folder(segmenter, scan, None, tmp_path / "out", formats=[MaskFormat(name)]))
    assert not segmenter.has_run
    assert not (tmp_path / "out").exists()


def test_a_mask_edited_since_is_kept_when_the_scan_is_segmented_again(tmp_path, save_series):
    scan = read_scan(save_series())
    for edit in (b"edited by hand", None):
        list(predict_to_folder(Segmenter(), scan, None, tmp_path / "out", formats=[MaskFormat.NRRD]))
        if edit is not None:
            (tmp_path / "out" / "mask.nii.gz").write_bytes(edit)
    assert (tmp_path / "out" / "mask.nii.gz.previous").read_bytes() == b"edited by hand"
    assert len(list((tmp_path / "out").glob("*.previous"))) == 1


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Opacity in the left lower zone.", "opacity"),
        ("A nodule in the right upper zone. Opacity on the left.", "lesion"),
        ("No opacity.", "lesion"),
    ],
)
def test_the_target_has_the_name_that_the_report_gives_it(text, name):
    assert name_of_target(parse_report(text)) == name
    assert name_of_target(None) == "lesion"


def test_the_name_is_copied_only_where_the_standard_asks_for_it(tmp_path, save_series):
    scan = read_scan(save_series("canary_series"))
    formats = [MaskFormat(name) for name in VOLUME_FORMATS]
    report = parse_report("Canary has an opacity in the left lower zone.")
    list(predict_to_folder(Segmenter(), scan, report, tmp_path / "out", formats=formats))
    for path in (tmp_path / "out").iterdir():
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        elif path.suffix == ".nrrd":
            content, _, voxels = content.partition(b"\n\n")
            content += gzip.decompress(voxels)
        assert (b"canary" in content.lower()) == (path.suffix == ".dcm"), path.name
        assert b"opacity in the left" not in content.lower()
