"""From a project to a model and back, as a user does it: correct, learn, use, segment, roll back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from tmca_core.model.checkpoint import models_folder, read_manifest
from tmca_core.model.store import model_in_use
from tmca_core.phantom import make_phantom
from tmca_core.predictor import Predictor
from tmca_core.project import Draft, Project, Status, describe_segmentation
from tmca_core.report import parse_report

QUICK = ("--set", "steps_per_epoch=2", "--set", "batch_size=4", "--set", "num_phantoms=2", "--set", "num_reference=2")
QUICK += ("--device", "cpu", "--set", "precision=float32")


@pytest.fixture(autouse=True)
def _own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def correct(folder, seeds, model):
    """Segment cases with a model, and save the phantom's own mask as the correction."""
    predictor = Predictor.load(model, device="cpu")
    with Project.open(folder) as project:
        for seed in seeds:
            with project.open_case(f"{seed + 1:05d}", "ann") as case:
                scan = case.read_scan()
                predictor.set_scan(scan)
                proposed = predictor.predict(parse_report(case.report()))
                mask = make_phantom(seed, shape=(48, 48)).mask.astype(np.uint8)
                network = describe_segmentation(proposed)
                draft = Draft(ai=proposed.mask.astype(np.uint8), network=network, corrected=mask)
                case.save(scan, draft)
                case.save(scan, Draft(status=Status.CORRECTED))


def test_correct_learn_use_segment_and_go_back(tmca, model, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for seed in range(7):
        phantom = make_phantom(seed, shape=(48, 48))
        Image.fromarray(np.asarray(phantom.scan.pixels)).save(images / f"chest{seed}.png")
        (images / f"chest{seed}.txt").write_text(phantom.report_text)
    study = tmp_path / "study"
    assert tmca("project", "init", study)[0] == 0
    assert "added 7" in tmca("project", "add", study, images)[1]
    tmca("models", "import", model)

    code, _, err = tmca("finetune", "--project", study, "--model", "tiny", *QUICK)
    assert code == 1
    assert "expected at least one corrected case, got none" in err

    correct(study, range(5), "tiny")
    assert "1 held out" in tmca("project", "hold-out", study, "00005")[1]
    code, said, err = tmca("finetune", "--project", study, "--model", "tiny", "--epochs", "1", *QUICK)
    assert code == 0, err
    assert "4 cases to learn from, 1 held out" in said
    assert said.split("side after\n")[1].split()[0] == "00005"
    training = read_manifest(models_folder() / "tiny-2").training
    assert training["source"] == "study"
    assert len(training["pictures"]["states"]) == 5
    assert "chest" not in json.dumps(training)

    assert tmca("models", "use", "tiny-2")[0] == 0
    correct(study, [5], "default")
    with Project.open(study) as project, project.open_case("00006") as case:
        told = json.loads((case.folder / f"{case.record.ai.name}.json").read_text())
        assert told["network"]["model_name"] == "tiny-2"

    code, said, err = tmca("finetune", "--project", study, "--epochs", "1", *QUICK)
    assert code == 0, err
    assert "note: 1 case of 6 changed or new since tiny-2 was learned." in said
    assert (models_folder() / "tiny-3" / "manifest.json").exists()
    assert model_in_use() == "tiny-2"
    assert "in use: tmca-compact" in tmca("models", "rollback")[1]


def test_the_next_cases_of_a_project_are_those_that_nobody_finished(tmca, model, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for seed in range(4):
        Image.fromarray(np.asarray(make_phantom(seed, shape=(48, 48)).scan.pixels)).save(images / f"c{seed}.png")
    study = tmp_path / "study"
    tmca("project", "init", study)
    tmca("project", "add", study, images)
    correct(study, [0], model)
    for order in ("gain", "in-order"):
        code, said, err = tmca("next", "--project", study, "--model", model, "--order", order, "--device", "cpu")
        assert code == 0, err
        assert {line.split()[0] for line in said.splitlines()[1:]} == {"00002", "00003", "00004"}


def test_one_source_is_asked_for(tmca, tmp_path):
    for arguments in ((), ("--data", tmp_path, "--project", tmp_path)):
        code, _, err = tmca("finetune", *arguments)
        assert code == 2
        assert "expected --data or --project" in err.lower()
