from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from tmca_core.cli import main
from tmca_core.io import read_mask
from tmca_core.model.build import build_tmca_tiny
from tmca_core.model.checkpoint import save_model
from tmca_core.phantom import make_phantom


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_model(*build_tmca_tiny(), folder, name="tiny", version="1")
    return str(folder)


@pytest.fixture
def tmca(capsys, monkeypatch):
    """Run the command line as a user does; returns exit code, stdout, stderr."""

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["tmca", *map(str, arguments)])
        try:
            code = main()
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return code or 0, captured.out, captured.err

    return run


@pytest.fixture
def chest(tmp_path):
    path = tmp_path / "chest.png"
    Image.fromarray(np.asarray(make_phantom(2, shape=(80, 64)).scan.pixels)).save(path)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for name in ("images", "masks", "reports"):
        (folder / name).mkdir()
    for seed in range(4):
        phantom = make_phantom(seed, shape=(48, 48))
        Image.fromarray(np.asarray(phantom.scan.pixels)).save(folder / "images" / f"c{seed}.png")
        Image.fromarray(phantom.mask.astype(np.uint8) * 255).save(folder / "masks" / f"c{seed}.png")
        (folder / "reports" / f"c{seed}.txt").write_text("unilateral pulmonary infection, one area, lower left lung.")
    (folder / "split.json").write_text(json.dumps({"train": ["c0"], "val": ["c1", "c2", "c3"]}))
    return folder


def test_a_prediction_writes_every_file(tmca, model, chest, tmp_path):
    out = tmp_path / "out"
    code, _, err = tmca("predict", chest, "--report", "Opacity left. No effusion.", "--model", model, "--out", out)
    assert code == 0, err
    names = {"mask.png", "probability.png", "overlay.png", "result.json"}
    assert names | {f"attention_level{level}.png" for level in (1, 2, 3, 4)} == {path.name for path in out.iterdir()}
    assert read_mask(out / "mask.png").shape == (80, 64)
    result = json.loads((out / "result.json").read_text())
    assert result["area_fraction"] == pytest.approx(read_mask(out / "mask.png").mean())
    assert [sentence["start"] for sentence in result["sentences"]] == [0, 14]


@pytest.mark.parametrize("how", [["--no-report"], ["--report", ""]], ids=["no report", "empty report"])
def test_without_a_report_the_image_only_mode_is_said(tmca, model, chest, tmp_path, how):
    code, out, err = tmca("predict", chest, *how, "--model", model, "--out", tmp_path / "out")
    assert code == 0, err
    assert "Image-only mode" in out


@pytest.mark.parametrize(
    ("scan", "content", "match"),
    [
        ("none.png", None, "no such file"),
        ("text.png", b"this is text", "text.png"),
        ("empty.png", b"", "empty.png"),
    ],
)
def test_what_is_no_scan_is_error_and_hint(tmca, model, tmp_path, scan, content, match):
    if content is not None:
        (tmp_path / scan).write_bytes(content)
    code, _, err = tmca("predict", tmp_path / scan, "--no-report", "--model", model, "--out", tmp_path / "out")
    assert code != 0
    assert match in err
    assert "error:" in err
    assert "hint:" in err
    assert "Traceback" not in err
    assert not (tmp_path / "out" / "mask.png").exists()


@pytest.mark.parametrize(("name", "match"), [("nonsense", "found neither"), ("model.pt", "can run code")])
def test_what_is_no_model_is_error_and_hint(tmca, chest, tmp_path, name, match):
    code, _, err = tmca("predict", chest, "--no-report", "--model", name, "--out", tmp_path / "out")
    assert code != 0
    assert match in err


def test_scores_are_written_under_the_documented_keys(tmca, model, data, tmp_path):
    path = tmp_path / "scores.json"
    code, out, err = tmca("evaluate", "--data", data, "--split", "val", "--model", model, "--json", path)
    assert code == 0, err
    assert "dice_mean" in out or "Dice" in out
    scores = json.loads(path.read_text())
    assert set(scores) == {"val"}
    assert {"n", "dice_mean", "dice_pooled", "iou_mean", "iou_pooled", "side_accuracy"} <= set(scores["val"])
    assert scores["val"]["n"] == 3


@pytest.mark.parametrize("mode", ["none", "shuffled", "side-swapped"])
def test_other_reports_can_be_given(tmca, model, data, mode):
    code, _, err = tmca("evaluate", "--data", data, "--split", "val", "--model", model, "--reports", mode)
    assert code == 0, err


def test_missing_masks_are_named_all_at_once(tmca, model, data, tmp_path):
    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(data, broken)
    (broken / "masks" / "c1.png").unlink()
    (broken / "reports" / "c2.txt").unlink()
    code, _, err = tmca("evaluate", "--data", broken, "--model", model)
    assert code != 0
    assert "c1" in err
    assert "c2" in err


def test_an_unknown_key_of_a_configuration_lists_the_valid_ones(tmca, tmp_path):
    (tmp_path / "c.toml").write_text('[data]\nfolder = "x"\n[run]\nout = "y"\nseeed = 1\n')
    code, _, err = tmca("train", "--config", tmp_path / "c.toml")
    assert code != 0
    assert "unknown key 'run.seeed'" in err
    assert "seed" in err.split("Valid keys")[1]


def test_a_phantom_is_written_with_mask_and_report(tmca, tmp_path):
    code, out, _ = tmca("phantom", "--seed", "4", "--out", tmp_path / "p")
    assert code == 0
    assert np.array_equal(read_mask(tmp_path / "p" / "mask.png"), make_phantom(4).mask)
    assert (tmp_path / "p" / "report.txt").read_text().strip() in out


def test_models_and_doctor_and_help_answer(tmca):
    assert "tmca-compact" in tmca("models")[1]
    assert "torch" in tmca("doctor")[1]
    assert "predict" in tmca("--help")[1]
