"""What was chosen of an image when it was added holds whenever the case is opened, saved or exported."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
import tifffile

from tmca_core.data.corrected_project import ProjectSource
from tmca_core.errors import ProjectError
from tmca_core.io import read_scan
from tmca_core.project import CaseAdded, CaseSkipped, Draft, Project, Status, export_cases
from tmca_core.recipes.next_case import cases_to_see
from tmca_core.study import Reading

VOLUME = np.random.default_rng(0).integers(0, 200, (6, 30, 24), dtype=np.uint8)


@pytest.fixture
def two_affines(tmp_path):
    """A NIfTI whose qform runs to the other side of its sform, and begins 25 mm beside it."""
    affine, other = np.diag([-0.7, -0.9, 3.0, 1.0]), np.diag([0.7, -0.9, -3.0, 1.0])
    image = nib.Nifti1Image(VOLUME.T, affine)
    other[0, 3] = 25
    image.header.set_sform(affine, 2)
    image.header.set_qform(other, 1)
    nib.save(image, tmp_path / "scan.nii.gz")
    return tmp_path / "scan.nii.gz"


@pytest.fixture
def bare(tmp_path):
    """A volume whose file states no lengths."""
    tifffile.imwrite(tmp_path / "bare.tif", VOLUME, photometric="minisblack")
    return tmp_path / "bare.tif"


@pytest.fixture
def study(tmp_path):
    with Project.create(tmp_path / "study") as project:
        yield project


def annotate(project, case_id="00001"):
    """Save a mask in a case, and return its scan and the mask."""
    with project.open_case(case_id, "ann") as case:
        scan = case.read_scan()
        mask = np.zeros(scan.shape, np.uint8)
        mask[..., 2:5, 1:6] = 1
        case.save(scan, Draft(corrected=mask, status=Status.CORRECTED))
    return scan, mask


def assert_kept(project, mask):
    with Project.open(project.folder) as again, again.open_case("00001") as case:
        np.testing.assert_array_equal(case.mask("corrected"), mask)


def test_the_affine_that_was_chosen_holds_for_the_mask_and_its_export(study, two_affines, tmp_path):
    list(study.add([two_affines], Reading(affine="qform")))
    scan, mask = annotate(study)
    np.testing.assert_array_equal(scan.pixels, VOLUME[::-1, :, ::-1])
    assert_kept(study, mask)
    stored = nib.load(study.case_folder("00001") / study.case("00001").corrected.name)
    np.testing.assert_array_equal(np.asarray(stored.dataobj).T[::-1, :, ::-1], mask)
    export_cases(study, ["00001"], tmp_path / "out", "nnunet")
    for name, expected in (("imagesTr/00001_0000.nii.gz", scan.pixels), ("labelsTr/00001.nii.gz", mask)):
        exported = read_scan(tmp_path / "out" / name, affine="qform")
        np.testing.assert_array_equal(exported.pixels, expected)
        np.testing.assert_allclose(exported.affine_ras, scan.affine_ras)


def test_the_spacing_that_was_given_holds_for_the_record_the_mask_and_its_export(study, bare, tmp_path):
    list(study.add([bare], Reading(spacing=(4.0, 0.5, 0.6))))
    assert study.case("00001").spacing_mm == (4.0, 0.5, 0.6)
    scan, mask = annotate(study)
    assert scan.spacing_mm == (4.0, 0.5, 0.6)
    assert_kept(study, mask)
    export_cases(study, ["00001"], tmp_path / "out", "nnunet")
    for name in ("imagesTr/00001_0000.nii.gz", "labelsTr/00001.nii.gz"):
        assert read_scan(tmp_path / "out" / name).spacing_mm == pytest.approx((4.0, 0.5, 0.6))


def test_a_case_is_always_shrunk_as_it_was_at_first(study, bare, tmp_path):
    list(study.add([bare], Reading(shrink=3)))
    assert study.case("00001").shape == (6, 10, 8)
    scan, mask = annotate(study)
    assert scan.shape == (6, 10, 8)
    assert_kept(study, mask)
    export_cases(study, ["00001"], tmp_path / "out", "nnunet")
    assert read_scan(tmp_path / "out" / "imagesTr" / "00001_0000.nii.gz").shape == (6, 10, 8)


def test_the_same_file_read_otherwise_is_a_case_of_its_own(study, bare):
    (first,) = study.add([bare])
    (second,) = study.add([bare], Reading(shrink=2))
    (again,) = study.add([bare], Reading(shrink=2))
    assert isinstance(first, CaseAdded)
    assert isinstance(second, CaseAdded)
    assert isinstance(again, CaseSkipped)


def test_a_table_says_how_each_image_is_read(study, bare, two_affines, tmp_path):
    table = tmp_path / "cases.csv"
    table.write_text("image,spacing,affine,shrink\nbare.tif,4 0.5 0.6,,2\nscan.nii.gz,,qform,\nscan.nii.gz,,,\n")
    list(study.add([table]))
    assert [record.reading for record in study.cases()] == [
        Reading(spacing=(4.0, 0.5, 0.6), shrink=2),
        Reading(affine="qform"),
        Reading(),
    ]
    assert study.cases()[0].spacing_mm == (4.0, 1.0, 1.2)


@pytest.mark.parametrize("row", ["4 0,,", ",aform,", ",,0", ",,half"])
def test_a_table_that_asks_for_what_there_is_not_is_refused(study, bare, tmp_path, row):
    (tmp_path / "cases.csv").write_text(f"image,spacing,affine,shrink\nbare.tif,{row}\n")
    with pytest.raises(ProjectError, match=r"cases\.csv: (spacing: )?expected"):
        study.add([tmp_path / "cases.csv"])
    assert study.cases() == []


def test_cases_of_older_projects_are_read_as_they_are(study, bare):
    list(study.add([bare]))
    path = study.case_folder("00001") / "case.json"
    told = json.loads(path.read_text())
    assert told.pop("reading") == {"series": None, "frame": None, "affine": None, "spacing": None, "shrink": 1}
    path.write_text(json.dumps(told))
    with Project.open(study.folder) as project:
        assert project.cases()[0].reading == Reading()
        with project.open_case("00001") as case:
            assert case.read_scan().shape == VOLUME.shape


def test_the_case_to_correct_next_is_looked_at_as_it_was_chosen(study, bare):
    list(study.add([bare], reading=Reading(spacing=(4.0, 0.5, 0.5), shrink=2)))
    (case,) = cases_to_see(ProjectSource(study.folder))
    _, scan, _ = case.opened()
    assert scan.shape == (6, 15, 12)
    assert scan.spacing_mm == pytest.approx((4.0, 1.0, 1.0))
