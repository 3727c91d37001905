"""Learning from the command line: what is printed, what is put in use, what obeys a word in the control file."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from tmca_core.phantom import make_phantom

QUICK = ("--set", "steps_per_epoch=2", "--set", "batch_size=4", "--set", "num_phantoms=2", "--set", "num_reference=2")
QUICK += ("--device", "cpu", "--set", "precision=float32")


@pytest.fixture(autouse=True)
def _own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def corrected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corrected")
    rows = ["id,image,mask,text,split,patient,approved"]
    for seed in range(6):
        phantom = make_phantom(seed, shape=(48, 48))
        Image.fromarray(np.asarray(phantom.scan.pixels)).save(folder / f"i{seed}.png")
        Image.fromarray(phantom.mask.astype(np.uint8) * 255).save(folder / f"m{seed}.png")
        rows.append(
            f'c{seed},i{seed}.png,m{seed}.png,"{phantom.report_text}",train,p{seed},{"no" if seed == 5 else ""}'
        )
    (folder / "cases.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_a_table_and_one_sentence_come_out_and_the_old_model_stays(tmca, model, corrected, tmp_path):
    out = tmp_path / "new"
    code, said, err = tmca("finetune", "--data", corrected, "--model", model, "--out", out, "--epochs", "2", *QUICK)
    assert code == 0, err
    assert "4 cases to learn from, 1 held out, 2 replayed" in said
    assert "1 case left out: c5: a machine made the mask and no human has approved it" in said
    assert said.split("held-out case")[1].split()[:3] == ["before", "after", "gain"]
    assert "reference set" in said
    assert "Not better" in said or "Better on" in said
    assert "(in use)" in next(line for line in tmca("models")[1].splitlines() if line.startswith("tmca-compact "))
    code, said, err = tmca("models", "use", out)
    assert code == 0, err
    assert "in use: new" in said
    assert "in use: tmca-compact" in tmca("models", "rollback")[1]
    code, _, err = tmca("models", "rollback")
    assert code == 1
    assert "nothing to go back to" in err


def test_versions_are_listed_with_their_lineage(tmca, model, corrected):
    tmca("models", "import", model)
    code, _, err = tmca("finetune", "--data", corrected, "--model", "tiny", "--epochs", "1", *QUICK)
    assert code == 0, err
    code, said, _ = tmca("models", "list")
    assert code == 0
    assert "tiny-2" in said
    assert "learned on tiny (" in said
    assert tmca("models", "export", "tiny-2", "--out", str(corrected / "x.safetensors"))[0] == 0


def test_faults_are_two_sentences(tmca, model, corrected, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, err = tmca("finetune", "--data", tmp_path / "empty", "--model", model, "--out", tmp_path / "o")
    assert code == 1
    assert err.startswith("error: ")
    assert "hint: " in err
    code, _, err = tmca("finetune", "--data", corrected, "--model", model, "--out", tmp_path / "o", "--set", "rnk=3")
    assert code == 2
    assert "rnk" in err
    assert "rank" in err


@pytest.mark.parametrize("word", ["stop", "cancel"])
def test_a_training_obeys_a_word_in_its_control_file(model, corrected, tmp_path, word):
    out = tmp_path / "new"
    arguments = ["--data", corrected, "--model", model, "--out", out, "--epochs", "500", *QUICK]
    arguments += ["--set", "patience=500", "--events-json"]
    command = [sys.executable, "-m", "tmca_core.cli", "finetune", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "EpochChecked" and event["epoch"] == 1:
            (out / "run" / "control").write_text(word)
            asked = time.monotonic()
    assert process.wait() == 0
    process.stdout.close()
    if word == "stop":
        assert event["event"] == "FinetuneFinished"
        assert (out / "adapter.safetensors").exists()
    else:
        assert time.monotonic() - asked < 10
        assert not out.exists()


def test_the_next_cases_are_named(tmca, model, corrected):
    for order in ("gain", "random", "in-order"):
        code, said, err = tmca("next", "--data", corrected, "--model", model, "--count", "3", "--order", order)
        assert code == 0, err
        assert len(said.splitlines()) == 4


def test_a_simulated_clinician_leaves_a_table_and_a_plot(tmca, model, corrected, tmp_path):
    arguments = ("--data", corrected, "--model", model, "--out", tmp_path / "sim", "--cases", "4", "--every", "2")
    code, said, err = tmca("simulate", *arguments, "--epochs", "1", "--order", "gain", *QUICK)
    assert code == 0, err
    assert "strokes per case:" in said
    assert len((tmp_path / "sim" / "effort.csv").read_text().splitlines()) == 5
    assert (tmp_path / "sim" / "effort.svg").read_text().startswith("<svg")
