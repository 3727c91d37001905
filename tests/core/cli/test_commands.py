"""What each command does when all is well."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from tmca_core.io import read_mask
from tmca_core.phantom import make_phantom


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


def test_a_scan_is_read_smaller_with_a_spacing_given_by_hand(tmca, model, chest, tmp_path):
    options = ["--shrink", "2", "--spacing", "0.4,0.5", "--no-report", "--model", model, "--out", tmp_path / "out"]
    code, out, err = tmca("predict", chest, *options)
    assert code == 0, err
    assert "40 x 32, spacing 0.8 x 1 mm" in out
    assert "note: Spacing given by hand, 0.4 x 0.5 mm: the file states none." in out
    assert read_mask(tmp_path / "out" / "mask.png").shape == (40, 32)
    notes = json.dumps(json.loads((tmp_path / "out" / "result.json").read_text()))
    assert "Spacing given by hand" in notes
    assert "Shrunk by 2" in notes


def test_the_affine_of_a_nifti_is_chosen(tmca, model, tmp_path):
    image = nib.Nifti1Image(np.arange(512, dtype=np.int16).reshape(8, 8, 8), np.eye(4))
    image.set_qform(np.diag([1.0, 1.0, 5.0, 1.0]), 1)
    image.set_sform(np.eye(4), 2)
    nib.save(image, tmp_path / "scan.nii.gz")
    common = ["predict", tmp_path / "scan.nii.gz", "--no-report", "--model", model, "--out", tmp_path / "out"]
    code, out, err = tmca(*common, "--affine", "qform")
    assert code == 0, err
    assert "spacing 5 x 1 x 1 mm" in out
    assert "qform and sform disagree: the qform is used, as asked." in (tmp_path / "out" / "result.json").read_text()


@pytest.mark.parametrize("how", [["--no-report"], ["--report", ""]], ids=["no report", "empty report"])
def test_without_a_report_the_image_only_mode_is_said(tmca, model, chest, tmp_path, how):
    code, out, err = tmca("predict", chest, *how, "--model", model, "--out", tmp_path / "out")
    assert code == 0, err
    assert "Image-only mode" in out


def test_scores_are_written_under_the_documented_keys(tmca, model, data, tmp_path):
    path = tmp_path / "scores.json"
    code, out, err = tmca("evaluate", "--data", data, "--split", "val", "--model", model, "--json", path)
    assert code == 0, err
    assert "dice_mean" in out or "Dice" in out
    scores = json.loads(path.read_text())
    assert set(scores) == {"val"}
    assert {"n", "dice_mean", "dice_pooled", "iou_mean", "iou_pooled", "side_accuracy"} <= set(scores["val"])
    assert scores["val"]["n"] == 3


@pytest.mark.parametrize("mode", ["none", "shuffled", "side-swapped", "reworded"])
def test_other_reports_can_be_given(tmca, model, data, mode):
    code, _, err = tmca("evaluate", "--data", data, "--split", "val", "--model", model, "--reports", mode)
    assert code == 0, err


def test_every_case_gets_a_row_and_the_table_can_be_markdown(tmca, model, data, tmp_path):
    table = tmp_path / "cases.csv"
    arguments = ("evaluate", "--data", data, "--split", "val", "--model", model, "--cases", table, "--markdown")
    code, out, err = tmca(*arguments)
    assert code == 0, err
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["c1", "c2", "c3"]
    assert all(0 <= float(row["dice"]) <= 1 and 0 <= float(row["confidence"]) <= 1 for row in rows)
    assert out.startswith("| split | n | Dice mean |")


def test_scores_are_told_without_leaks_too(tmca, model, data, tmp_path):
    path = tmp_path / "scores.json"
    code, out, err = tmca(
        "evaluate", "--data", data, "--split", "val", "--model", model, "--without-leaks", "--json", path
    )
    assert code == 0, err
    leaks = json.loads(path.read_text())["val"]["leaks"]
    assert f"cases with a near twin or their patient in another split: {', '.join(leaks) or 'none'}" in out


def test_a_phantom_is_written_with_mask_and_report(tmca, tmp_path):
    code, out, _ = tmca("phantom", "--seed", "4", "--out", tmp_path / "p")
    assert code == 0
    assert np.array_equal(read_mask(tmp_path / "p" / "mask.png"), make_phantom(4).mask)
    assert (tmp_path / "p" / "report.txt").read_text().strip() in out
    with Image.open(tmp_path / "p" / "phantom.png") as picture:
        assert np.array_equal(np.asarray(picture), make_phantom(4).scan.pixels)


def test_a_prediction_can_be_repeated_from_a_report_file(tmca, model, chest, tmp_path):
    (tmp_path / "r.txt").write_text("Opacity in the left lower zone.", encoding="utf-8")
    ways = {"a": ("--report", "Opacity in the left lower zone."), "b": ("--report-file", tmp_path / "r.txt")}
    for name, way in ways.items():
        assert tmca("predict", chest, *way, "--model", model, "--device", "cpu", "--out", tmp_path / name)[0] == 0
    assert (tmp_path / "a" / "probability.png").read_bytes() == (tmp_path / "b" / "probability.png").read_bytes()


def test_the_threshold_asked_for_is_the_one_used(tmca, model, chest, tmp_path):
    for threshold in ("0", "1"):
        out = tmp_path / threshold
        assert tmca("predict", chest, "--no-report", "--model", model, "--threshold", threshold, "--out", out)[0] == 0
    assert read_mask(tmp_path / "0" / "mask.png").all()
    assert not read_mask(tmp_path / "1" / "mask.png").any()


def test_reports_can_come_from_a_table(tmca, model, data, tmp_path):
    (tmp_path / "r.csv").write_text("id,text\nc1,Left opacity.\nc2,\nc3,Right opacity.\n", encoding="utf-8")
    arguments = ("evaluate", "--data", data, "--split", "val", "--model", model, "--json", tmp_path / "s.json")
    code, _, err = tmca(*arguments, "--reports", tmp_path / "r.csv")
    assert code == 0, err
    scores = json.loads((tmp_path / "s.json").read_text())
    assert scores["val"]["side_accuracy"] in (0.0, 0.5, 1.0)


def test_every_split_is_scored_unless_one_is_chosen(tmca, model, data, tmp_path):
    tmca("evaluate", "--data", data, "--model", model, "--limit", "1", "--json", tmp_path / "s.json")
    scores = json.loads((tmp_path / "s.json").read_text())
    assert {split: values["n"] for split, values in scores.items()} == {"train": 1, "val": 1}


def test_a_training_reports_its_epochs_and_leaves_weights_that_predict(tmca, data, chest, tmp_path):
    (tmp_path / "c.toml").write_text(f'[data]\nfolder = {json.dumps(str(data))}\n[run]\nout = "elsewhere"\n')
    sets = ["model.size=tiny", "schedule.stages=[{image_size=64, epochs=2}]", "schedule.batch_size=2", "run.name=mine"]
    options = [part for value in [*sets, "data.phantoms=3"] for part in ("--set", value)]
    arguments = ("train", "--config", tmp_path / "c.toml", "--out", tmp_path / "run", *options)
    code, out, err = tmca(*arguments)
    assert code == 0, err
    assert "1 case and 3 phantoms to train on, 3 to select on" in out
    assert "epoch 2 of 2 at 64 px" in out
    model = tmp_path / "run" / "mine"
    assert tmca("predict", chest, "--no-report", "--model", model, "--out", tmp_path / "out")[0] == 0

    code, out, err = tmca(*arguments, "--resume")
    assert code == 0, err
    assert "continued at step 4" in out


def test_models_are_listed_with_size_hash_and_figures(tmca):
    code, out, _ = tmca("models")
    assert code == 0
    assert "tmca-compact 0.3.0, 38." in out
    assert "sha256" in out
    assert "intact" in out
    assert "dice_mean" in out


def test_the_doctor_finds_this_installation_sound(tmca):
    code, out, _ = tmca("doctor")
    assert code == 0
    assert "model tmca-compact 0.3.0: intact" in out
    assert "devices: cpu" in out


def test_help_names_every_command_and_loads_no_torch():
    code = "import sys; from tmca_core.cli import main\ntry: main(['--help'])\nfinally: print('torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert all(command in said for command in ("predict", "evaluate", "train", "models", "doctor", "phantom"))
    assert said.strip().endswith("False")


def test_slices_of_interest_are_chosen_by_a_range(tmca, model, tmp_path):
    volume = np.random.default_rng(0).integers(0, 999, (20, 24, 6)).astype(np.int16)
    nib.save(nib.Nifti1Image(volume, np.diag([1.0, 1.0, 4.0, 1.0])), tmp_path / "scan.nii.gz")
    arguments = ("predict", tmp_path / "scan.nii.gz", "--no-report", "--out", tmp_path / "out", "--model", model)
    code, out, err = tmca(*arguments, "--slices", "2:3")
    assert (code, err) == (0, "")
    assert "Slices 2 to 3 of 6 were segmented; the others are left empty." in out
    probability = nib.load(tmp_path / "out" / "probability.nii.gz").get_fdata().max(axis=(0, 1))
    assert (probability > 1e-6).tolist() == [False, True, True, False, False, False]
    code, _, err = tmca(*arguments, "--slices", "5:9")
    assert code != 0
    assert "expected a range such as 10:40 within 1:6, got '5:9'" in err
