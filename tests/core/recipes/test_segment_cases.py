from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import torch

from tmca_core.errors import StudyWriteError
from tmca_core.model.build import build_tmca_tiny
from tmca_core.model.checkpoint import save_model
from tmca_core.phantom import make_phantom
from tmca_core.predictor import Predictor
from tmca_core.project import Draft, OpenCase, Project, Status, describe_segmentation
from tmca_core.recipes.segment_cases import CaseLeft, CaseSegmented, segment_case, segment_cases, summarise
from tmca_core.report import Choice, Choices, overrule, parse_report, uses_of


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_model(*build_tmca_tiny(), folder, name="tiny", version="1")
    return Predictor.load(folder, "cpu")


@pytest.fixture
def project(tmp_path, write_images):
    images = write_images(make_phantom(seed, shape=(48, 40)) for seed in range(4))
    with Project.create(tmp_path / "study") as project:
        list(project.add([images]))
        yield project


def outcomes(project, predictor, **options):
    ids = [record.id for record in project.cases()]
    return [event.outcome for event in segment_cases(project, ids, predictor, "ann", **options)]


def test_every_new_case_is_stored_as_one_segmented_by_hand(project, predictor):
    with project.open_case("00002", "ann") as case:
        text = case.report()
        first = parse_report(text).sentences[0]
        digest = hashlib.sha256(text.encode()).hexdigest()
        case.save(case.read_scan(), Draft(choices=Choices(digest, (Choice(first.start, first.end, False),))))
    assert all(isinstance(outcome, CaseSegmented) for outcome in outcomes(project, predictor))
    assert project.counts() == {Status.SEGMENTED: 4}
    for record in project.cases():
        with project.open_case(record.id, "ann") as case:
            scan, text, choices = case.read_scan(), case.report(), case.record.choices
            stored = case.mask("ai")
        predictor.set_scan(scan)
        segmentation = predictor.predict(overrule(parse_report(text), uses_of(text, choices)))
        assert np.array_equal(stored, segmentation.mask)
        told = json.loads((project.case_folder(record.id) / f"{record.ai.name}.json").read_text())
        assert told["network"] == json.loads(json.dumps(describe_segmentation(segmentation)))
        assert (told["kind"], told["annotator"], record.annotator) == ("ai", "ann", "ann")
        assert record.corrected is None
        assert record.active_s == 0.0 or record.id == "00002"
    second = json.loads((project.case_folder("00002") / f"{project.case('00002').ai.name}.json").read_text())
    assert not second["network"]["sentences"][0]["is_used"]


def test_a_case_that_is_a_persons_is_left_alone_and_said(project, predictor):
    with project.open_case("00001", "ann") as case:
        scan = case.read_scan()
        case.save(scan, Draft(corrected=np.ones(scan.shape, np.uint8), status=Status.CORRECTED))
    with project.open_case("00002", "ann") as case:
        case.save(case.read_scan(), Draft(status=Status.FLAGGED, comment="Blurred."))
    with OpenCase(project.folder, "00003", "ann", lambda _: None) as case:
        case.journal.write_mask(np.zeros((48, 40), np.uint8))
        drawn = np.zeros((48, 40), np.uint8)
        drawn[3:9] = 1
        case.journal.write_mask(drawn)
    with project.open_case("00004", "bob"):
        found = outcomes(project, predictor, only_new=False)
    assert all(isinstance(outcome, CaseLeft) and not outcome.is_fault for outcome in found)
    assert [outcome.reason.split(" ")[:3] for outcome in found] == [
        ["It", "has", "a"], ["It", "is", "flagged."], ["It", "has", "unsaved"], ["This", "case", "is"],
    ]  # fmt: skip
    assert all(project.case(record.id).ai is None for record in project.cases())
    assert len(project.unsaved()) == 1
    text = summarise(found)
    assert text.startswith("Segmented 0 cases; 4 left alone: chest0.png: It has a corrected mask. ")
    assert text.endswith("And 1 more.")


def test_what_cannot_be_read_is_named_and_stops_nothing(project, predictor):
    project.case("00001").image.unlink()
    project.case("00003").image.write_bytes(b"something else")
    found = outcomes(project, predictor)
    assert [isinstance(outcome, CaseSegmented) for outcome in found] == [False, True, False, True]
    text = summarise(found)
    assert text.startswith("Segmented 2 cases; 2 could not be read: chest0.png: the image chest0.png is not where")
    assert "chest2.png is another image now" in text


def test_masks_of_before_are_made_anew_only_where_that_is_wanted(project, predictor):
    outcomes(project, predictor)
    again = outcomes(project, predictor)
    assert {outcome.reason for outcome in again} == {"It has a mask already."}
    assert all(isinstance(outcome, CaseSegmented) for outcome in outcomes(project, predictor, only_new=False))
    assert project.case("00001").revision == 2


def test_giving_up_leaves_the_case_as_it_was_and_free(project, predictor):
    steps = segment_case(project.folder, "00001", predictor, "ann")
    next(steps)
    steps.close()
    assert project.case("00001").ai is None
    with project.open_case("00001", "bob") as case:
        assert not case.is_read_only


def test_a_disk_that_takes_nothing_ends_it(project, predictor, monkeypatch):
    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tmca_core.project.case.write_labels", refuse)
    with pytest.raises(StudyWriteError, match="00001 was not saved"):
        outcomes(project, predictor)
