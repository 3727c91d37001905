"""Bad input on the command line: one clear sentence and what to do, no traceback, and nothing of the user's lost."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from tmca_core import cli
from tmca_core.recipes.training_state import STATE

RAMP = np.arange(48 * 40, dtype=np.uint16).reshape(48, 40) * 30


def assert_plain_error(code: int, err: str, said: str, expected_code: int = 1) -> None:
    assert code == expected_code, err
    assert said in err
    assert err.count("error: ") == 1
    assert err.count("hint: ") == 1
    assert "Traceback" not in err


@pytest.fixture
def predict(tmca, model, tmp_path):
    """`tmca predict` on the tiny network; returns exit code, stdout, stderr. Results go to ``tmp_path / "out"``."""

    def run(scan, *options, model=model):
        return tmca("predict", scan, *(options or ("--no-report",)), "--model", model, "--out", tmp_path / "out")

    return run


# the scan


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.png", None, "none.png: no such file"),
        ("text.png", b"this is text", "text.png: "),
        ("empty.png", b"", "empty.png: "),
        ("cut.png", "cut", "cut.png: "),
    ],
    ids=["missing", "no image", "no bytes", "cut off"],
)
def test_a_file_that_is_no_scan(predict, chest, tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(chest.read_bytes()[:-200] if content == "cut" else content)
    code, _, err = predict(tmp_path / name)
    assert_plain_error(code, err, said)
    assert not (tmp_path / "out").exists()


def save_volume(path: Path, values: np.ndarray) -> Path:
    nib.Nifti1Image(values, np.diag([0.8, 0.8, 3.0, 1.0])).to_filename(path)
    return path


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.full((20, 24, 3), np.nan, dtype=np.float32), "expected finite values, got only NaN"),
        (np.zeros((20, 24, 3, 5), dtype=np.int16), "expected"),
        (np.ones((20, 24, 3), dtype=np.complex64), "expected real numbers, got complex64 values"),
    ],
    ids=["only NaN", "4-D", "complex"],
)
def test_a_volume_that_cannot_be_segmented(predict, tmp_path, values, said):
    code, _, err = predict(save_volume(tmp_path / "v.nii.gz", values))
    assert_plain_error(code, err, said)
    assert "v.nii.gz" in err


def test_a_volume_in_place_of_a_picture_gives_a_volume(predict, tmp_path):
    values = np.random.default_rng(0).normal(size=(40, 48, 3)).astype(np.float32)
    code, out, err = predict(save_volume(tmp_path / "v.nii.gz", values))
    assert code == 0, err
    assert "3 x 48 x 40, spacing 3 x 0.8 x 0.8 mm" in out
    assert "voxels" in out
    assert nib.load(tmp_path / "out" / "mask.nii.gz").shape == (40, 48, 3)
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["volume_mm3"] == pytest.approx(result["num_pixels"] * 0.8 * 0.8 * 3)
    assert result["area_mm2"] is None


def test_single_nan_values_are_replaced_and_said(predict, tmp_path):
    values = np.random.default_rng(0).normal(size=(40, 48, 3)).astype(np.float32)
    values[3, 4, 1] = np.nan
    values[5, 6, 2] = np.inf
    code, out, err = predict(save_volume(tmp_path / "v.nii.gz", values))
    assert code == 0, err
    assert "2 of 5760 values are NaN or infinite: replaced by the smallest value" in out


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (Image.fromarray(np.full((48, 40), 7, np.uint8)), "The image is constant"),
        (Image.fromarray(np.zeros((48, 40, 4), np.uint8) + np.arange(4, dtype=np.uint8)), "alpha channel is dropped"),
        (Image.fromarray(RAMP), "48 x 40, spacing unknown"),
        (Image.fromarray(RAMP > 20_000), "48 x 40, spacing unknown"),
        (Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 40, 3), dtype=np.uint8)), "48 x 40 RGB"),
    ],
    ids=["constant", "RGBA", "16-bit", "1-bit", "RGB"],
)
def test_unusual_pictures_are_segmented_and_decisions_said(predict, tmp_path, picture, said):
    picture.save(tmp_path / "p.png")
    code, out, err = predict(tmp_path / "p.png")
    assert code == 0, err
    assert said in out
    with Image.open(tmp_path / "out" / "mask.png") as mask:
        assert mask.size == (40, 48)


# the report


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Image-only mode"),
        (" \n\t ", "Image-only mode"),
        ("Consolidation", "Very short report, one word"),
        ("Opacity in the \x1b[31mleft\x07 lung.", "Control characters in the report were ignored"),
        ("Opacité à gauche, 肺炎, العربية 🫁.", "used"),
    ],
    ids=["empty", "blanks", "one word", "control characters", "other scripts"],
)
def test_unusual_reports_are_used_and_decisions_said(predict, chest, tmp_path, text, said):
    (tmp_path / "r.txt").write_text(text, encoding="utf-8")
    code, out, err = predict(chest, "--report-file", tmp_path / "r.txt")
    assert code == 0, err
    assert said in out
    assert "\x1b" not in out


def test_ten_thousand_words_are_used_by_the_bundled_network(predict, chest, tmp_path):
    (tmp_path / "r.txt").write_text("Opacity in the left lower zone. " * 1700, encoding="utf-8")
    code, out, err = predict(chest, "--report-file", tmp_path / "r.txt", model="tmca-compact")
    assert code == 0, err
    assert "Long report, 10,200 words" in out
    assert "1,700 sentences, of which 1,700 are used" in out
    assert len(out.splitlines()) < 50


def test_a_report_file_that_is_not_there(predict, chest, tmp_path):
    code, _, err = predict(chest, "--report-file", tmp_path / "none.txt")
    assert_plain_error(code, err, "none.txt")


@pytest.mark.parametrize(
    "options", [("--report", "Opacity.", "--no-report"), ("--threshold", "0.4")], ids=["two", "none"]
)
def test_exactly_one_report_must_be_chosen(predict, chest, options):
    code, _, err = predict(chest, *options)
    assert code == 2
    assert "expected exactly one of --report TEXT, --report-file FILE and --no-report" in " ".join(err.split())


@pytest.mark.parametrize("options", [("--threshold", "1.5"), ("--device", "tpu")], ids=" ".join)
def test_values_out_of_range_are_refused(predict, chest, options):
    code, _, err = predict(chest, "--no-report", *options)
    assert code == 2
    assert options[0] in err


# the model


def test_an_unknown_model_lists_the_installed_ones(predict, chest):
    code, _, err = predict(chest, model="nonsense")
    assert_plain_error(code, err, "Model 'nonsense': expected an installed model or a folder, and found neither")
    assert "tmca-compact" in err


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-100], lambda b: b[:500] + bytes([b[500] ^ 1]) + b[501:]], ids=["cut off", "flipped bit"]
)
def test_damaged_weights_are_refused(predict, model, chest, tmp_path, damage):
    folder = Path(shutil.copytree(model, tmp_path / "damaged"))
    weights = folder / "model.safetensors"
    weights.write_bytes(damage(weights.read_bytes()))
    code, _, err = predict(chest, model=folder)
    assert_plain_error(code, err, "model.safetensors: the file is damaged or was changed: expected sha256")


class Canary:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_offered_as_a_model_is_refused_and_not_executed(predict, chest, tmp_path):
    (tmp_path / "model.pt").write_bytes(pickle.dumps(Canary(tmp_path / "canary")))
    code, _, err = predict(chest, model=tmp_path / "model.pt")
    assert_plain_error(code, err, "model.pt: refused, a .pt file can run code when it is loaded; nothing in it was")
    assert not (tmp_path / "canary").exists()


# the results


def test_no_permission_to_write(predict, chest, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    code, _, err = predict(chest)
    assert_plain_error(code, err, "expected a folder that can be written to, got 'Permission denied'")


def test_a_full_disk_leaves_the_earlier_results(predict, chest, tmp_path, monkeypatch):
    assert predict(chest)[0] == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, _, err = predict(chest, "--report", "Opacity in the left lung.")
    assert_plain_error(code, err, "no space left on the disk")
    assert ".tmca-" not in err
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_a_phantom_cannot_be_written_over_a_file(tmca, tmp_path):
    (tmp_path / "file").touch()
    code, _, err = tmca("phantom", "--out", tmp_path / "file" / "p")
    assert_plain_error(code, err, "expected a folder that can be written to")


# the data folder


def test_missing_masks_and_reports_are_named_all_at_once(tmca, model, data, tmp_path):
    broken = Path(shutil.copytree(data, tmp_path / "broken"))
    (broken / "masks" / "c1.png").unlink()
    (broken / "masks" / "c3.png").unlink()
    (broken / "reports" / "c2.txt").unlink()
    code, _, err = tmca("evaluate", "--data", broken, "--model", model)
    assert_plain_error(code, err, "missing: 2 masks (masks/c1.png, masks/c3.png); 1 report (reports/c2.txt)")


def test_unreadable_images_are_named_all_at_once(tmca, model, data, tmp_path):
    broken = Path(shutil.copytree(data, tmp_path / "broken"))
    for case_id in ("c1", "c3"):
        (broken / "images" / f"{case_id}.png").write_bytes(b"no picture")
    code, out, err = tmca("evaluate", "--data", broken, "--split", "val", "--model", model)
    assert_plain_error(code, err, "expected every case to be readable, 2 cases failed: c1, c3")
    assert "Dice" not in out

    code, out, err = tmca("evaluate", "--data", broken, "--split", "val", "--model", model, "--leave-out-unreadable")
    assert code == 0, err
    assert "left out of val: c1, c3" in out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--data", "nowhere"), "nowhere: expected a data folder, got nothing there"),
        (("--layout", "lvitt"), "Layout 'lvitt': expected auto, qata, cases.csv"),
        (("--split", "test"), "expected a split named 'test', the folder has train, val"),
        (("--json", "no/such/folder/s.json"), "expected an existing folder to write into, got none"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_a_wrong_choice_says_what_was_expected(tmca, model, data, options, said):
    code, _, err = tmca("evaluate", "--data", data, "--model", model, *options)
    assert_plain_error(code, err, said)


def test_a_table_of_reports_that_lacks_cases_names_them(tmca, model, data, tmp_path):
    (tmp_path / "r.csv").write_text("id,text\nc1,Left opacity.\n", encoding="utf-8")
    arguments = ("evaluate", "--data", data, "--split", "val", "--model", model, "--reports", tmp_path / "r.csv")
    code, _, err = tmca(*arguments)
    assert_plain_error(code, err, "expected a text for each of 3 cases, 2 have none: c2, c3")


def test_an_unknown_way_to_choose_reports_lists_the_known_ones(tmca, model, data):
    code, _, err = tmca("evaluate", "--data", data, "--model", model, "--reports", "swapped")
    assert code == 2
    assert "expected given, none, shuffled, side-swapped, reworded or an existing FILE.csv, got 'swapped'" in " ".join(
        err.split()
    )


# the configuration


def test_an_unknown_key_of_a_configuration_lists_the_valid_ones(tmca, tmp_path):
    (tmp_path / "c.toml").write_text('[data]\nfolder = "x"\n[run]\nout = "y"\nseeed = 1\n')
    code, _, err = tmca("train", "--config", tmp_path / "c.toml")
    assert_plain_error(code, err, "unknown key 'run.seeed'", expected_code=2)
    assert "seed" in err.split("Valid keys")[1]


def test_a_training_is_not_continued_without_being_asked(tmca, data, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    (out / STATE).write_bytes(b"the state of an earlier training")
    (tmp_path / "c.toml").write_text(f'[data]\nfolder = {json.dumps(str(data))}\n[run]\nout = "elsewhere"\n')
    code, _, err = tmca("train", "--config", tmp_path / "c.toml", "--out", out)
    assert_plain_error(code, err, "a training is in this folder already", expected_code=2)
    assert "--resume" in err
    assert (out / STATE).read_bytes() == b"the state of an earlier training"


# the program itself


@pytest.fixture
def defect(monkeypatch):
    """A defect of the program, in the middle of a command."""

    def fail(*_):
        raise RuntimeError("a thing that cannot be")

    monkeypatch.setattr("tmca_core.phantom.make_phantom", fail)


def test_a_defect_is_one_line_and_how_to_get_more(tmca, defect, tmp_path):
    code, _, err = tmca("phantom", "--out", tmp_path / "p")
    assert_plain_error(code, err, "Unexpected RuntimeError: a thing that cannot be")
    assert "`tmca --debug phantom ...`" in err


def test_debug_shows_where_a_defect_is(tmca, defect, tmp_path):
    code, _, err = tmca("--debug", "phantom", "--out", tmp_path / "p")
    assert code == 1
    assert "Traceback" in err
    assert "a thing that cannot be" in err


def test_ctrl_c_ends_without_a_traceback(tmca, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("tmca_core.phantom.make_phantom", interrupt)
    code, _, err = tmca("phantom", "--out", tmp_path / "p")
    assert code not in (0, 2)
    assert "Traceback" not in err


def test_main_is_the_program(monkeypatch, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("tmca ")
