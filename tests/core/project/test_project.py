from __future__ import annotations

import csv
import json
import os
import shutil

import nibabel
import numpy as np
import pytest
from PIL import Image

from tmca_core.errors import GeometryError, ProjectError, StudyWriteError
from tmca_core.io import write_mask
from tmca_core.project import (
    CaseAdded,
    CaseSkipped,
    Draft,
    Event,
    Project,
    Status,
    active_seconds,
    export_csv,
    methods_text,
    read_events,
)
from tmca_core.project.index import INDEX_NAME
from tmca_core.project.lock import LOCK_NAME

NETWORK = {"model_name": "tiny", "model_version": "1", "model_sha256": "ab" * 32, "threshold": 0.5}


def square(shape, low, high, label=1):
    mask = np.zeros(shape, dtype=np.uint8)
    mask[low:high, low:high] = label
    return mask


def annotate(project, case_id="00001", who="ann", **more):
    with project.open_case(case_id, who) as case:
        scan = case.read_scan()
        ai, mine = square(scan.shape, 5, 15), square(scan.shape, 5, 17)
        draft = Draft(ai=ai, network=NETWORK, corrected=mine, status=Status.CORRECTED, **more)
        case.save(scan, draft)
    return ai, mine


def test_a_folder_becomes_cases_with_reports_and_no_copy_of_an_image(project, images):
    records = project.cases()
    assert [record.id for record in records] == ["00001", "00002", "00003"]
    assert [record.image for record in records] == sorted(images.glob("*.png"))
    assert all(record.status == Status.NEW and record.shape == (48, 40) for record in records)
    assert project.report("00001") == (images / "chest0.txt").read_text(encoding="utf-8")
    assert records[2].report_sha256 == ""
    kept = {path.name for path in (project.folder / "cases" / "00001").iterdir()}
    assert kept == {"case.json", "report.txt", "thumbnail.png"}


def test_what_is_there_already_is_skipped_and_what_cannot_be_read_stops_nothing(project, images):
    (images / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    events = list(project.add([images]))
    assert all(isinstance(event, CaseSkipped) for event in events)
    assert [event.reason for event in events if event.image.name == "chest0.png"] == ["It is in the project already."]
    assert "broken.png" in next(event.reason for event in events if event.image.name == "broken.png")
    assert len(project.cases()) == 3


def test_a_table_gives_images_reports_and_masks(tmp_path, images):
    Image.fromarray(square((48, 40), 3, 9) * 255).save(images / "drawn.png")
    table = tmp_path / "cases.csv"
    table.write_text(
        "image,report,mask\n"
        "images/chest0.png,images/chest1.txt,images/drawn.png\n"
        'images/chest1.png,"Opacity, left.",\n'
        "images/gone.png,,\n",
        encoding="utf-8",
    )
    project = Project.create(tmp_path / "from_table")
    events = list(project.add([table]))
    assert [type(event) for event in events] == [CaseAdded, CaseAdded, CaseSkipped]
    first, second = project.cases()
    assert project.report(second.id) == "Opacity, left."
    assert project.report(first.id) == (images / "chest1.txt").read_text()
    assert first.status == Status.CORRECTED
    with project.open_case(first.id) as case:
        assert np.array_equal(case.mask("corrected"), square((48, 40), 3, 9))


def test_a_table_without_images_is_refused(tmp_path, project):
    (tmp_path / "t.csv").write_text("picture,text\na,b\n")
    with pytest.raises(ProjectError, match="expected the columns image, report, mask"):
        list(project.add([tmp_path / "t.csv"]))


def test_both_masks_are_stored_with_where_they_come_from(project):
    ai, mine = annotate(project, quality=4, comment="ok")
    again = Project.open(project.folder)
    record = again.case("00001")
    assert (record.status, record.annotator, record.quality, record.comment) == (Status.CORRECTED, "ann", 4, "ok")
    with again.open_case("00001") as case:
        assert np.array_equal(case.mask("ai"), ai)
        assert np.array_equal(case.mask("corrected"), mine)
    told = json.loads((project.case_folder("00001") / f"{record.corrected.name}.json").read_text())
    assert told["num_added"] == 12 * 12 - 10 * 10
    assert told["num_removed"] == 0
    assert told["network"]["model_name"] == "tiny"
    assert told["dice_ai"] == pytest.approx(2 * 100 / (100 + 144)) == record.dice_ai
    assert again.compare("00001")["dice_ai"] == pytest.approx(record.dice_ai)
    assert record.name not in json.dumps(told)


def test_a_second_save_keeps_the_mask_of_before(project):
    _, first = annotate(project)
    with project.open_case("00001", "ben") as case:
        scan = case.read_scan()
        case.save(scan, Draft(corrected=square(scan.shape, 0, 3, label=2), report="Other text."))
        assert np.array_equal(case.mask("previous"), first)
        assert case.mask("corrected").max() == 2
        assert case.record.annotator == "ben"
    kept = {path.name for path in project.case_folder("00001").glob("corrected-*.png")}
    assert kept == {"corrected-0001.png", "corrected-0002.png"}
    assert (project.case_folder("00001") / "report.old.txt").exists()


def test_a_volume_keeps_labels_and_grid(tmp_path):
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    affine[0, 1] = 0.3
    values = np.random.default_rng(0).integers(0, 99, (6, 7, 8)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(values, affine), tmp_path / "v.nii.gz")
    project = Project.create(tmp_path / "volumes")
    (event,) = project.add([tmp_path / "v.nii.gz"])
    with project.open_case(event.record.id) as case:
        scan = case.read_scan()
        mask = np.random.default_rng(1).integers(0, 300, scan.shape)
        case.save(scan, Draft(corrected=mask))
        assert np.array_equal(case.mask("corrected"), mask)
        stored = nibabel.load(case.folder / case.record.corrected.name)
    assert np.allclose(stored.affine, affine)
    assert stored.shape == (6, 7, 8)


def test_a_mask_of_another_shape_is_refused(project):
    with project.open_case("00001") as case, pytest.raises(GeometryError, match="expected a mask of the scan's shape"):
        case.save(case.read_scan(), Draft(corrected=np.zeros((3, 3), dtype=np.uint8)))


def test_a_changed_mask_file_is_noticed(project):
    annotate(project)
    record = project.case("00001")
    with project.open_case("00001") as case:
        write_mask(case.folder / record.corrected.name, square((48, 40), 0, 2), case.read_scan())
        with pytest.raises(ProjectError, match="expected the mask that was saved"):
            case.mask("corrected")


def test_another_image_in_the_place_of_a_case_s_is_noticed(project, images):
    shutil.copyfile(images / "chest1.png", images / "chest0.png")
    with project.open_case("00001") as case, pytest.raises(ProjectError, match="another image now"):
        case.read_scan()
    (images / "chest0.png").unlink()
    with project.open_case("00001") as case, pytest.raises(ProjectError, match="not where it was"):
        case.read_scan()


def test_images_may_lie_in_a_read_only_folder(images, tmp_path):
    images.chmod(0o555)
    try:
        project = Project.create(tmp_path / "p")
        list(project.add([images]))
        annotate(project)
        before = sorted(path.name for path in images.iterdir())
        assert before == ["chest0.png", "chest0.txt", "chest1.png", "chest1.txt", "chest2.png"]
    finally:
        images.chmod(0o755)


def test_a_project_moves_with_its_images(project, images, tmp_path):
    annotate(project)
    project.close()
    (tmp_path / "elsewhere").mkdir()
    for folder in (images, project.folder):
        shutil.move(folder, tmp_path / "elsewhere" / folder.name)
    moved = Project.open(tmp_path / "elsewhere" / project.folder.name)
    with moved.open_case("00001") as case:
        assert case.read_scan().shape == (48, 40)


def test_the_index_is_made_anew_from_the_cases(project):
    annotate(project)
    before = project.cases()
    project.close()
    for content in (None, b"no database"):
        path = project.folder / INDEX_NAME
        path.unlink() if content is None else path.write_bytes(content)
        again = Project.open(project.folder)
        assert again.cases() == before
        assert again.rebuild() == 3
        again.close()


def test_a_damaged_case_is_named_and_the_others_are_listed(project):
    (project.case_folder("00002") / "case.json").write_text("{")
    assert project.rebuild() == 2
    assert [record.id for record in project.cases()] == ["00001", "00003"]
    assert "00002" in project.unreadable[0]


def test_what_another_process_saved_is_seen_after_refresh(project):
    annotate(Project.open(project.folder))
    assert project.cases()[0].status == Status.CORRECTED
    path = project.case_folder("00001") / "case.json"
    path.write_text(path.read_text().replace('"comment": ""', '"comment": "written by hand"'))
    assert project.refresh() == 1
    assert project.cases()[0].comment == "written by hand"


def test_cases_are_filtered_and_sorted(project):
    annotate(project, "00002", comment="50% sure")
    assert [record.id for record in project.cases(status=Status.CORRECTED)] == ["00002"]
    assert [record.id for record in project.cases(text="50% s")] == ["00002"]
    assert [record.id for record in project.cases(text="chest2")] == ["00003"]
    assert [record.id for record in project.cases(sort="name", descending=True)] == ["00003", "00002", "00001"]
    assert project.counts() == {Status.NEW: 2, Status.CORRECTED: 1}


def test_the_second_who_opens_a_case_may_look_and_not_write(project):
    with project.open_case("00001", "ann") as first, Project.open(project.folder).open_case("00001", "ben") as second:
        assert second.is_read_only
        assert "open by ann in another window" in second.why_read_only
        scan = second.read_scan()
        with pytest.raises(ProjectError, match="is read-only"):
            second.save(scan, Draft(corrected=square(scan.shape, 0, 3)))
        first.save(scan, Draft(corrected=square(scan.shape, 0, 4)))
    with project.open_case("00001", "ben") as third:
        assert not third.is_read_only


def write_lock(project, **values):
    holder = {"pid": 1, "host": "elsewhere", "who": "ann", "since": "", "token": "t", "started": ""} | values
    path = project.case_folder("00001") / LOCK_NAME
    path.write_text(json.dumps(holder))
    return path


def test_the_lock_of_another_host_counts_until_it_is_not_renewed(project):
    path = write_lock(project)
    with project.open_case("00001") as case:
        assert case.held_by.host == "elsewhere"
    os.utime(path, (path.stat().st_mtime - 400,) * 2)
    with project.open_case("00001") as case:
        assert not case.is_read_only


def test_a_lock_with_our_process_id_that_is_not_ours_is_stale(project):
    import socket

    write_lock(project, pid=os.getpid(), host=socket.gethostname())
    with project.open_case("00001") as case:
        assert not case.is_read_only


def test_a_torn_lock_is_stale(project):
    path = project.case_folder("00001") / LOCK_NAME
    path.write_text("{")
    os.utime(path, (0, 0))
    with project.open_case("00001") as case:
        assert not case.is_read_only


def test_who_lost_the_lock_overwrites_nothing(project):
    with project.open_case("00001", "ann") as case:
        write_lock(project)
        scan = case.read_scan()
        with pytest.raises(ProjectError, match="taken over or saved elsewhere"):
            case.save(scan, Draft(corrected=square(scan.shape, 0, 4)))
    assert project.case("00001").corrected is None
    assert (project.case_folder("00001") / LOCK_NAME).exists()


def test_a_failed_save_says_why_and_leaves_what_was_saved(project, monkeypatch):
    _, mine = annotate(project)
    with project.open_case("00001") as case:
        scan = case.read_scan()
        case.journal.write_mask(square(scan.shape, 0, 9))

        def full(*_):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", full)
            with pytest.raises(StudyWriteError, match="no space left"):
                case.save(scan, Draft(corrected=square(scan.shape, 0, 9)))
        assert case.record.revision == 1
        assert np.array_equal(case.mask("corrected"), mine)
        assert (case.folder / "journal.tmca").exists()
        case.save(scan, Draft(corrected=square(scan.shape, 0, 9)))
        assert not (case.folder / "journal.tmca").exists()


def test_the_second_reader_needs_neither_model_nor_image(project, images):
    annotate(project)
    shutil.rmtree(images)
    record = project.give_back("00001", "rev", "The apex is missing.")
    assert (record.status, record.reviewer, record.annotator) == (Status.FLAGGED, "rev", "ann")
    assert project.approve("00001", "rev", "").status == Status.APPROVED
    assert project.cases()[0].status == Status.APPROVED
    assert project.case("00001").corrected is not None
    with pytest.raises(ProjectError, match="returned with a comment"):
        project.give_back("00001", "rev", " ")
    with pytest.raises(ProjectError, match="no mask to approve"):
        project.approve("00002", "rev")


def test_active_time_leaves_gaps_out_and_raw_events_stay(project):
    events = [Event(t, kind) for t, kind in ((0, "open"), (50, "active"), (111, "active"), (120, "close"))]
    assert active_seconds(events) == 59.0
    assert active_seconds([*events, Event(125, "open"), Event(126, "save"), Event(90, "active")]) == 60.0
    with project.open_case("00001", "ann") as case:
        case.log([Event(1e9, "active", "ann"), Event(1e9 + 7, "active", "ann")])
        with (case.folder / "events.jsonl").open("a") as stream:
            stream.write('{"time": 12')
    read = read_events(project.case_folder("00001"))
    assert [event.kind for event in read] == ["open", "active", "active"]
    assert read[0].who == "ann"


def test_a_study_is_exported_and_described(project, tmp_path):
    annotate(project, comment='says "no"')
    project.approve("00001", "rev")
    assert export_csv(project, tmp_path / "study.csv") == 3
    with (tmp_path / "study.csv").open(newline="", encoding="utf-8") as stream:
        first, *others = csv.DictReader(stream)
    assert (first["image"], first["status"], first["model_name"]) == ("chest0.png", "approved", "tiny")
    assert (first["num_voxels_ai"], first["num_added"], first["comment"]) == ("100", "44", 'says "no"')
    assert others[0]["dice_ai"] == ""
    text = methods_text(project)
    assert "3 scans" in text
    assert "tiny version 1, sha256 abababababab" in text
    assert "0.820 on average" in text
    assert "1 second reader" in text
    assert "chest0" not in text


@pytest.mark.parametrize("case_id", ["../../x", "", "x", "²"])
def test_a_case_is_named_by_its_number_only(project, case_id):
    with pytest.raises(ProjectError, match="Expected the number of a case"):
        project.open_case(case_id)
    with pytest.raises(ProjectError, match="There is no case 00099"):
        project.open_case("00099")


def test_only_an_empty_folder_becomes_a_project_and_only_a_project_is_opened(tmp_path, project):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(ProjectError, match="is not empty"):
        Project.create(tmp_path / "full")
    with pytest.raises(ProjectError, match="is a project already"):
        Project.create(project.folder)
    with pytest.raises(ProjectError, match="expected the folder of a project"):
        Project.open(tmp_path / "full")
