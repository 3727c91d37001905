"""What a clinician is promised: never silently worse, and a target that the base has never seen can be taught."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tmca_core.cli import main
from tmca_core.data.corrected import CorrectedCase, GivenCases
from tmca_core.model.build import build_tmca_tiny
from tmca_core.model.checkpoint import models_folder, save_model
from tmca_core.model.store import model_in_use
from tmca_core.phantom import RibFracture, make_phantom
from tmca_core.project import Draft, Project, Status
from tmca_core.recipes.finetune import FinetuneConfig, FinetuneFinished, finetune


def blank(folder, side):
    torch.manual_seed(0)
    model, architecture = build_tmca_tiny()
    for enhancement in model.decoder.enhancements:
        torch.nn.init.normal_(enhancement.gamma)
    small = architecture.preprocess.model_copy(update={"image_size": side})
    architecture = architecture.model_copy(update={"preprocess": small})
    save_model(model, architecture, folder / "blank", name="blank", version="1")
    return folder / "blank"


def learn(model, out, cases, **changes):
    values = {"mode": "full", "learning_rate": 3e-3, "num_epochs": 6, "num_phantoms": 0, "num_reference": 0}
    values |= {"device": "cpu", "threads": 1, "precision": "float32"}
    finished = list(
        finetune(FinetuneConfig(out=out, model=str(model), **(values | changes)), GivenCases(tuple(cases)))
    )[-1]
    assert isinstance(finished, FinetuneFinished)
    return finished


def as_case(phantom, **more):
    name = f"p{phantom.seed}"
    return CorrectedCase(name, name, phantom.scan, phantom.mask, phantom.report_text, **more)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A small network that knows phantoms."""
    folder = tmp_path_factory.mktemp("models")
    cases = [as_case(make_phantom(seed, shape=(64, 64))) for seed in range(100, 116)]
    return learn(blank(folder, 64), folder / "base", cases).folder


def test_learning_from_wrong_masks_is_said_plainly_and_the_old_model_stays(base, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    from PIL import Image

    images = tmp_path / "images"
    images.mkdir()
    made = [make_phantom(seed, shape=(64, 64)) for seed in range(8)]
    for phantom in made:
        Image.fromarray(np.asarray(phantom.scan.pixels)).save(images / f"chest{phantom.seed}.png")
        (images / f"chest{phantom.seed}.txt").write_text(phantom.report_text)
    with Project.create(tmp_path / "study") as project:
        list(project.add([images]))
        for phantom in made:
            # Two are right and judge; the others are outlined everywhere but where they should be.
            mask = phantom.mask if phantom.seed < 2 else ~phantom.mask
            with project.open_case(f"{phantom.seed + 1:05d}") as case:
                case.save(case.read_scan(), Draft(corrected=mask.astype(np.uint8), status=Status.CORRECTED))
        project.hold_out(["00001", "00002"], True)
    arguments = ["--project", tmp_path / "study", "--model", base, "--full", "--epochs", "3", "--use-if-better"]
    arguments += ["--learning-rate", "3e-3", "--device", "cpu", "--set", "precision=float32"]
    monkeypatch.setattr("sys.argv", ["tmca", "finetune", *map(str, arguments)])
    with pytest.raises(SystemExit, match=r"^0$"):
        main()
    said = capsys.readouterr().out
    assert "Not better: -" in said
    assert "worse on the reference set" in said
    assert "The old model stays." in said
    assert "It is not put in use." in said
    assert model_in_use() == "tmca-compact"
    assert (models_folder() / "base-2" / "manifest.json").exists(), "it stays listed, with its figures"


def test_a_target_that_the_base_never_saw_is_taught(tmp_path):
    def broken(seed):
        fracture = RibFracture("left" if seed % 2 else "right", 4 + seed % 5, 0.4 + 0.05 * (seed % 7))
        return make_phantom(seed, shape=(96, 96), findings=(), fractures=(fracture,))

    old = learn(
        blank(tmp_path, 96), tmp_path / "base", [as_case(make_phantom(s, shape=(96, 96))) for s in range(100, 108)],
        num_epochs=2,
    )  # fmt: skip
    cases = [as_case(broken(seed), target="rib fracture", is_held_out=seed >= 12) for seed in range(16)]
    result = learn(old.folder, tmp_path / "new", cases, num_epochs=14, patience=14).comparison
    assert result.dice_before < 0.1
    assert result.dice_after > 0.3
    assert result.is_better
