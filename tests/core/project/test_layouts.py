from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from tmca_core.errors import ProjectError, StudyWriteError
from tmca_core.project import Draft, ExportStoppedError, Status, export_cases


@pytest.fixture
def drawn(project):
    """The project, with a corrected mask of two classes and a network's mask; the third case has none."""
    with project.open_case("00001", "ann") as case:
        scan = case.read_scan()
        ai, mine = np.zeros(scan.shape, np.uint8), np.zeros(scan.shape, np.uint8)
        ai[3:9, 3:9], mine[3:9, 3:9], mine[20:30, 5:15] = 1, 1, 2
        case.save(scan, Draft(ai=ai, corrected=mine, status=Status.CORRECTED))
    with project.open_case("00002", "ann") as case:
        case.save(scan, Draft(ai=ai, status=Status.SEGMENTED))
    project.name_classes({2: "Oedema"})
    return project, ai, mine


IDS = ("00001", "00002", "00003")


def test_the_mask_that_counts_goes_to_nnunet_with_the_names_of_the_project(drawn, tmp_path):
    project, ai, mine = drawn
    seen = []
    done = export_cases(project, IDS, tmp_path / "out", "nnunet", on_case=lambda *at: seen.append(at))
    assert (done.num_cases, seen) == (2, [(1, 2), (2, 2)])
    assert done.skipped == ["chest2.png: It has no mask."]
    told = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert told["labels"] == {"background": 0, "target": 1, "Oedema": 2}
    for case_id, mask in (("00001", mine), ("00002", ai)):
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / "labelsTr" / f"{case_id}.png")), mask)
    assert not (tmp_path / "out" / "reports").exists()


@pytest.mark.parametrize("has_reports", [False, True])
def test_coco_holds_reports_only_where_they_are_asked_for(drawn, tmp_path, has_reports):
    project = drawn[0]
    export_cases(project, IDS, tmp_path / "out", "coco", has_reports=has_reports)
    told = json.loads((tmp_path / "out" / "annotations.json").read_text())
    assert [category["name"] for category in told["categories"]] == ["target", "Oedema"]
    assert [image.get("report") for image in told["images"]] == [
        project.report(case_id) if has_reports else None for case_id in IDS[:2]
    ]


def test_what_cannot_be_read_is_left_out_and_told(drawn, images, tmp_path):
    project = drawn[0]
    (images / "chest0.png").unlink()
    done = export_cases(project, IDS, tmp_path / "out", "coco")
    assert done.num_cases == 1
    assert any(reason.startswith("chest0.png: Case 00001: the image") for reason in done.skipped)


def test_a_folder_with_something_in_it_is_refused_and_so_is_nothing(drawn, tmp_path):
    project = drawn[0]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(StudyWriteError, match="expected an empty folder"):
        export_cases(project, IDS, tmp_path / "full", "coco")
    with pytest.raises(ProjectError, match=r"No case can be exported\. chest2\.png: It has no mask"):
        export_cases(project, ["00003"], tmp_path / "out", "coco")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("is_there", [False, True], ids=["new folder", "empty folder"])
@pytest.mark.parametrize("layout", ["nnunet", "coco"])
def test_an_export_that_is_stopped_anywhere_leaves_nothing(drawn, tmp_path, layout, is_there):
    out, was_stopped, last = tmp_path / "out", True, -1
    if is_there:
        out.mkdir()
    while was_stopped:
        last += 1
        asked = iter(range(last))
        try:
            export_cases(drawn[0], IDS, out, layout, is_over=lambda asked=asked: next(asked, None) is None)
            was_stopped = False
        except ExportStoppedError:
            assert out.exists() == is_there
            assert not is_there or not list(out.iterdir())
    assert last >= 6, "it was asked before and amid every case"
    names = {"nnunet": {"dataset.json", "imagesTr", "labelsTr"}, "coco": {"annotations.json", "images"}}
    assert {path.name for path in out.iterdir()} == names[layout]


def test_an_export_that_fails_leaves_nothing(drawn, tmp_path):
    tifffile.imwrite(tmp_path / "volume.tif", np.zeros((3, 9, 9), np.uint8), photometric="minisblack")
    list(drawn[0].add([tmp_path / "volume.tif"]))
    with drawn[0].open_case("00004", "ann") as case:
        case.save(case.read_scan(), Draft(corrected=np.ones((3, 9, 9), np.uint8)))
    with pytest.raises(StudyWriteError, match="COCO holds pictures"):
        export_cases(drawn[0], [*IDS, "00004"], tmp_path / "out", "coco")
    assert not (tmp_path / "out").exists()


def test_names_of_classes_are_kept_in_the_file_of_the_project(project):
    assert project.class_names == {}
    project.name_classes({3: "Scar", 2: "Oedema"})
    told = json.loads((project.folder / "project.json").read_text())
    assert told["class_names"] == {"2": "Oedema", "3": "Scar"}
    assert told["key"] == project.key
    project.name_classes({})
    assert project.class_names == {}
