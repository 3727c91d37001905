"""A model is calibrated on cases it was not trained on, and carries the result."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from tmca_core.cli import main
from tmca_core.data import open_dataset
from tmca_core.errors import DatasetError
from tmca_core.model.build import build_tmca_tiny
from tmca_core.model.checkpoint import load_model, read_manifest, save_model
from tmca_core.phantom import make_phantom
from tmca_core.predictor import Predictor
from tmca_core.recipes.calibrate import Calibrated, CaseRead, calibrate


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for name in ("images", "masks", "reports"):
        (folder / name).mkdir()
    ids = [f"phantom{seed}" for seed in range(8)]
    for seed, case in enumerate(ids):
        phantom = make_phantom(seed, shape=(64, 64))
        Image.fromarray(np.asarray(phantom.scan.pixels, np.uint8)).save(folder / "images" / f"{case}.png")
        Image.fromarray(phantom.mask.astype(np.uint8) * 255).save(folder / "masks" / f"{case}.png")
        (folder / "reports" / f"{case}.txt").write_text(phantom.report_text)
    (folder / "split.json").write_text(json.dumps({"train": ids[:1], "val": ids[1:]}))
    return folder


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    save_model(*build_tmca_tiny(), tmp_path / "tiny", name="tiny", version="1")
    return tmp_path / "tiny"


def test_calibration_is_fitted_and_measured(data, model):
    predictor = Predictor.load(model, device="cpu")
    events = list(calibrate(predictor, open_dataset(data).split("val")))
    assert [event.done for event in events if isinstance(event, CaseRead)] == list(range(1, 8))
    done = events[-1]
    assert isinstance(done, Calibrated)
    assert len(done.calibration.agreement.weights) == 8
    assert done.figures.n == 7
    assert 0 <= done.figures.ece_after <= 1
    assert set(done.figures.dice_at_coverage) == {"100%", "90%", "80%", "50%"}
    assert predictor.info.calibration.agreement is None  # the predictor is as it was


def test_the_command_stores_it_with_the_weights(data, model, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["calibrate", "--data", str(data), "--model", str(model)])
    assert exit_.value.code == 0
    printed = capsys.readouterr().out
    assert "AUROC" in printed
    info = read_manifest(model)
    assert info.calibration.agreement is not None
    assert info.figures[f"calibration_{data.name}_val"]["n"] == 7
    load_model(model)  # the weights are still vouched for


def test_a_dry_run_stores_nothing(data, model):
    before = (model / "manifest.json").read_bytes()
    with pytest.raises(SystemExit):
        main(["calibrate", "--data", str(data), "--model", str(model), "--dry-run"])
    assert (model / "manifest.json").read_bytes() == before


def test_too_few_cases_are_refused(data, model):
    cases = open_dataset(data).split("val")[:2]
    with pytest.raises(DatasetError, match="expected at least 4 cases"):
        list(calibrate(Predictor.load(model, device="cpu"), cases))
