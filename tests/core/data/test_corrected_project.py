"""What learning takes from an annotation project: which cases, whose, what is held out, and what changed meanwhile."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tmca_core.data.corrected import CorrectedCase, History, UnusableCase, choose_held_out, take_cases
from tmca_core.data.corrected_project import ProjectSource, list_cases
from tmca_core.errors import DatasetError
from tmca_core.phantom import make_phantom
from tmca_core.project import Draft, Project, Status
from tmca_core.project.lock import acquire

NUM_CASES = 6


@pytest.fixture
def folder(tmp_path):
    """A project of six phantoms: four finished (one of them only approved), one begun, one new."""
    images = tmp_path / "images"
    images.mkdir()
    for seed in range(NUM_CASES):
        phantom = make_phantom(seed, shape=(48, 48))
        Image.fromarray(np.asarray(phantom.scan.pixels)).save(images / f"chest{seed}.png")
        (images / f"chest{seed}.txt").write_text(phantom.report_text)
    with Project.create(tmp_path / "study") as project:
        list(project.add([images]))
        for seed in range(5):
            finish(project, f"{seed + 1:05d}", make_phantom(seed, shape=(48, 48)).mask, is_approval=seed == 3)
        with project.open_case("00005") as case:
            case.save(case.read_scan(), Draft(status=Status.SEGMENTED))
    return tmp_path / "study"


def finish(project, case_id, mask, *, is_approval=False, **more):
    with project.open_case(case_id, "ann") as case:
        proposed = np.zeros(mask.shape, np.uint8)
        proposed[:4, :4] = 1
        draft = Draft(ai=proposed if not is_approval else mask.astype(np.uint8), network={}, **more)
        if not is_approval:
            draft = replace(draft, corrected=mask.astype(np.uint8), status=Status.CORRECTED)
        case.save(case.read_scan(), draft)
    if is_approval:
        project.approve(case_id, "rev")


def test_finished_cases_come_with_masks_reports_and_what_was_painted(folder):
    cases = list(ProjectSource(folder).read())
    assert [case.id for case in cases] == ["00001", "00002", "00003", "00004"]
    phantom = make_phantom(0, shape=(48, 48))
    assert np.array_equal(cases[0].mask, phantom.mask)
    assert cases[0].text == phantom.report_text
    assert cases[0].painted[:4, :4].all(), "what was erased was painted, too"
    assert np.array_equal(cases[0].painted[4:], phantom.mask[4:])
    assert cases[3].painted is None, "a mask that was approved as it is was not painted"
    assert len({case.patient for case in cases}) == 4
    assert all(len(case.patient) == 16 for case in cases)
    assert "chest" not in cases[0].patient


def test_a_mask_that_nobody_finished_does_not_train(folder, tmp_path):
    with Project.open(folder) as project:
        for case_id in ("00001", "00002", "00003", "00004"):
            with project.open_case(case_id) as case:
                case.save(case.read_scan(), Draft(status=Status.SEGMENTED))
    with pytest.raises(DatasetError, match="expected at least one corrected case, got none"):
        take_cases(ProjectSource(folder))


def test_rejected_sentences_are_kept_and_come_along(folder):
    with Project.open(folder) as project:
        finish(project, "00001", make_phantom(0, shape=(48, 48)).mask, rejected=("Opacity at the left apex.",))
    with Project.open(folder) as project:
        assert project.case("00001").rejected == ("Opacity at the left apex.",)
    assert next(iter(ProjectSource(folder).read())).rejected == ("Opacity at the left apex.",)


def test_marks_are_obeyed_and_may_be_taken_back(folder):
    with Project.open(folder) as project:
        project.hold_out(["00002"], True)
        project.hold_out(["00001"], False)
        assert project.held_out == {"00001": False, "00002": True}
        listed = {case.record.id: case for case in list_cases(project, History())}
    taken = take_cases(ProjectSource(folder))
    assert [case.id for case in taken.held_out] == ["00002"]
    assert {name for name, case in listed.items() if case.is_held_out} == {"00002"}
    with Project.open(folder) as project:
        project.hold_out(["00002"], None)
        assert project.held_out == {"00001": False}


def test_what_is_listed_is_what_is_taken(folder):
    with Project.open(folder) as project:
        listed = [case.record.id for case in list_cases(project, History()) if case.is_held_out]
    assert [case.id for case in take_cases(ProjectSource(folder)).held_out] == listed
    assert len(listed) == 1


def test_held_out_stays_so_and_what_was_learned_from_does_not_judge(folder):
    first = take_cases(ProjectSource(folder))
    history = History(
        "m",
        learned=frozenset(case.pictures[0] for case in first.train),
        judged=frozenset(case.pictures[0] for case in first.held_out),
        states=frozenset(case.state for case in (*first.train, *first.held_out)),
    )
    with Project.open(folder) as project:
        finish(project, "00005", make_phantom(4, shape=(48, 48)).mask)
        finish(project, "00006", make_phantom(5, shape=(48, 48)).mask)
        new = [case.record.id for case in list_cases(project, history) if case.is_new]
    assert new == ["00005", "00006"]
    second = take_cases(ProjectSource(folder), history=history, seed=7)
    assert first.held_out[0].id in {case.id for case in second.held_out}
    assert not {case.id for case in first.train} & {case.id for case in second.held_out}
    assert "2 cases of 6 changed or new since m was learned." in second.notes
    with Project.open(folder) as project:
        project.hold_out([first.train[0].id], True)
    assert any(
        "m has learned from 1 held-out case" in note
        for note in take_cases(ProjectSource(folder), history=history).notes
    )


def test_a_project_of_an_older_version_learns_its_patients(folder):
    old = folder / "cases" / "00001" / "case.json"
    values = json.loads(old.read_text())
    known = values.pop("patient")
    values.pop("rejected")
    old.write_text(json.dumps(values))
    settings = json.loads((folder / "project.json").read_text())
    key = settings.pop("key")
    (folder / "project.json").write_text(json.dumps(settings))
    with Project.open(folder) as project:
        assert project.case("00001").patient == ""
        assert project.key == settings["created"] != key
        held = acquire(project.case_folder("00001"), "somebody")
        assert project.know_patients() == 0, "a case that is open is left alone"
        held.release()
        assert project.know_patients() == 1
        noted = project.case("00001")
        assert noted.patient
        assert noted.patient != known
        assert noted.revision == values["revision"], "nobody's open case is disturbed"
    assert len({case.patient for case in ProjectSource(folder).read()}) == 4


def test_an_image_that_is_gone_is_said_and_ends_nothing(folder, tmp_path):
    (tmp_path / "images" / "chest1.png").unlink()
    found = list(ProjectSource(folder).read())
    assert isinstance(found[1], UnusableCase)
    assert "is not where it was" in found[1].reason
    assert sum(isinstance(case, CorrectedCase) for case in found) == 3


def test_an_open_case_is_read_as_last_saved_and_not_taken(folder):
    with Project.open(folder) as project, project.open_case("00001", "ann") as case:
        assert next(iter(ProjectSource(folder).read())).id == "00001"
        case.save(case.read_scan(), Draft(comment="goes on"))
        assert project.case("00001").comment == "goes on"


def test_patients_of_tables_dicom_and_folders(tmp_path):
    from pydicom import dcmread
    from pydicom.data import get_testdata_file

    made = {}
    for name in ("anna", "bert", "carl"):
        (tmp_path / "people" / name).mkdir(parents=True)
        for seed in range(2):
            made[name, seed] = make_phantom(10 * len(made) + seed, shape=(48, 48)).scan.pixels
            Image.fromarray(np.asarray(made[name, seed])).save(tmp_path / "people" / name / f"{seed}.png")
    slice_file = dcmread(get_testdata_file("CT_small.dcm"))
    for number in range(2):
        slice_file.PixelData = slice_file.PixelData[:-2] + bytes([number, 0])
        slice_file.save_as(tmp_path / f"ct{number}.dcm")
    shutil.copy(tmp_path / "people" / "anna" / "0.png", tmp_path / "t0.png")
    Image.fromarray(np.asarray(made["anna", 0])[::-1]).save(tmp_path / "t1.png")
    Image.fromarray(np.asarray(made["anna", 0])[:, ::-1]).save(tmp_path / "t0.png")
    (tmp_path / "table.csv").write_text("image,patient\nt0.png,Jane Roe\nt1.png,Jane Roe\n")
    with Project.create(tmp_path / "study") as project:
        list(project.add([tmp_path / "people", tmp_path / "table.csv", tmp_path / "ct0.dcm", tmp_path / "ct1.dcm"]))
        patients = {record.name if record.name[0] in "ct" else record.id: record.patient for record in project.cases()}
        content = (project.folder / "cases" / project.cases()[-1].id / "case.json").read_text()
    of_people = [patient for name, patient in patients.items() if name.isdecimal()]
    assert [of_people.count(patient) for patient in of_people] == [2] * 6
    assert patients["t0.png"] == patients["t1.png"]
    assert patients["ct0.dcm"] == patients["ct1.dcm"]
    assert len(set(patients.values())) == 5
    assert str(slice_file.PatientID) not in content
    assert "Jane Roe" not in "".join(patients.values())


def test_without_history_or_marks_at_least_one_patient_is_learned_from(folder):
    from tmca_core.data.corrected import Item

    items = [Item(f"p{i}", (f"{i}",), True, None) for i in range(2)]
    assert len(choose_held_out(items, History(), 0)) == 1
    assert choose_held_out(items[:1], History(), 0) == set()
    assert choose_held_out(items[:1], History(learned=frozenset({"x"})), 0) == set()
