"""Two processes learn from corrected cases as one does, and obey one control file."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from tmca_core.model.adapter_file import read_adapter
from tmca_core.model.build import build_tmca_tiny
from tmca_core.model.checkpoint import read_manifest, save_model
from tmca_core.phantom import make_phantom


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six corrected cases, and a tiny base in ``tiny``."""
    folder = tmp_path_factory.mktemp("corrected")
    rows = ["id,image,mask,text,split,patient"]
    for seed in range(6):
        phantom = make_phantom(seed, shape=(48, 48))
        Image.fromarray(np.asarray(phantom.scan.pixels)).save(folder / f"i{seed}.png")
        Image.fromarray(phantom.mask.astype(np.uint8) * 255).save(folder / f"m{seed}.png")
        rows.append(f'c{seed},i{seed}.png,m{seed}.png,"{phantom.report_text}",train,p{seed}')
    (folder / "cases.csv").write_text("\n".join(rows) + "\n")
    torch.manual_seed(0)
    model, architecture = build_tmca_tiny()
    for enhancement in model.decoder.enhancements:
        torch.nn.init.normal_(enhancement.gamma)
    small = architecture.preprocess.model_copy(update={"image_size": 32})
    save_model(model, architecture.model_copy(update={"preprocess": small}), folder / "tiny", name="tiny", version="1")
    return folder


def arguments(folder, out, *more):
    command = ["-m", "tmca_core.cli", "finetune", "--data", folder, "--model", folder / "tiny", "--out", out]
    command += ["--device", "cpu", "--seed", "3", "--events-json", *more]
    for setting in ("steps_per_epoch=3", "batch_size=4", "num_phantoms=3", "num_reference=3", "precision=float32"):
        command += ["--set", setting]
    return [*map(str, command), "--set", "threads=1", "--set", "checkpoint_every=1"]


def run(command):
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *command], env=env, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def torchrun():
    return ["-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port()}"]


def test_two_processes_have_the_losses_and_the_adapter_of_one(folder, tmp_path):
    one = run(arguments(folder, tmp_path / "one", "--epochs", "2"))
    two = run([*torchrun(), *arguments(folder, tmp_path / "two", "--epochs", "2")])
    assert [event["event"] for event in two] == [event["event"] for event in one], "one process speaks"
    losses = [[event["loss"] for event in events if event["event"] == "StepDone"] for events in (one, two)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    a, b = (read_adapter(tmp_path / name / "adapter.safetensors")[0] for name in ("one", "two"))
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(b[name], a[name], rtol=2e-2, atol=2e-3)
    hashes = [read_manifest(tmp_path / name).training["cases"] for name in ("one", "two")]
    assert hashes[0] == hashes[1]
    assert two[-1]["comparison"]["dice_after"] == pytest.approx(one[-1]["comparison"]["dice_after"], abs=5e-3)


@pytest.mark.parametrize("word", ["stop", "cancel"])
def test_all_processes_obey_a_word(folder, tmp_path, word):
    out = tmp_path / "new"
    command = [*torchrun(), *arguments(folder, out, "--epochs", "500", "--set", "patience=500")]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, *command], env=env, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "EpochChecked" and event["epoch"] == 1:
            (out / "run" / "control").write_text(word)
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert (event["event"] == "FinetuneFinished") == (word == "stop")
    assert (out / "adapter.safetensors").exists() == (word == "stop")
