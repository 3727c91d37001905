"""Two processes train as one does: the same losses, the same weights, and on from the last checkpoint when one dies."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tmca_core.errors import ConfigError
from tmca_core.phantom import make_phantom
from tmca_core.recipes.processes import ALONE, Processes
from tmca_core.recipes.train import train
from tmca_core.recipes.train_config import read_train_config


def free_port() -> str:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return str(s.getsockname()[1])


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for name in ("images", "masks", "reports"):
        (folder / name).mkdir()
    ids = [f"phantom{seed}" for seed in range(11)]
    for seed, case in enumerate(ids):
        phantom = make_phantom(seed, shape=(48, 48))
        Image.fromarray(np.asarray(phantom.scan.pixels, np.uint8)).save(folder / "images" / f"{case}.png")
        Image.fromarray(phantom.mask.astype(np.uint8) * 255).save(folder / "masks" / f"{case}.png")
        (folder / "reports" / f"{case}.txt").write_text(phantom.report_text)
    (folder / "split.json").write_text(json.dumps({"train": ids[:8], "val": ids[8:]}))
    path = folder / "c.toml"
    path.write_text(
        f"[data]\nfolder = {json.dumps(str(folder))}\n"
        '[model]\nsize = "tiny"\n'
        "[schedule]\nstages = [{image_size = 32, epochs = 3}]\nbatch_size = 4\n"
        "[telling]\ndropout = 0.2\nmismatch = 0.2\n[augment]\nflip = 0.5\n"
        '[run]\nout = "x"\nname = "tiny"\nthreads = 1\ncheckpoint_every = 1\nprecision = "float32"\ndevice = "cpu"\n'
    )
    return path


def arguments(config, out, *more):
    return ["-m", "tmca_core.cli", "train", "--config", str(config), "--out", str(out), *more]


def start_two(config, out, *more):
    port = free_port()
    shared = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    return [
        subprocess.Popen(
            [sys.executable, *arguments(config, out, *more)],
            env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]


def log_of(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def two(config, tmp_path_factory):
    """The run folder of a training that torchrun started, and what was said."""
    out = tmp_path_factory.mktemp("runs") / "two"
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port()}"]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *arguments(config, out)], env=env, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr
    return out, done.stdout


def test_two_processes_have_the_loss_and_the_weights_of_one(config, two, tmp_path):
    out, said = two
    one = read_train_config(config, [f"run.out={json.dumps(str(tmp_path / 'one'))}"])
    list(train(one))
    for a, b in zip(log_of(tmp_path / "one"), log_of(out), strict=True):
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-4)
        assert b["dice_mean"] == pytest.approx(a["dice_mean"], abs=2e-3)
    a, b = (load_file(folder / "tiny" / "model.safetensors") for folder in (tmp_path / "one", out))
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(b[name].float(), a[name].float(), rtol=2e-2, atol=2e-3)
    assert said.count("epoch 3 of 3") == 1


def test_a_killed_process_ends_the_other_and_both_go_on_from_the_checkpoint(config, two, tmp_path):
    out = tmp_path / "killed"
    first, second = start_two(config, out)
    deadline = time.monotonic() + 200
    while not (out / "state.safetensors").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(second.pid, signal.SIGKILL)
    _, err = first.communicate(timeout=120)
    second.communicate(timeout=60)
    if first.returncode == 0:
        pytest.fail("the training was over before its second process could be killed")
    assert "another process ended; the last checkpoint is kept" in err
    again = start_two(config, out, "--resume")
    said = [process.communicate(timeout=200) for process in again]
    assert [process.returncode for process in again] == [0, 0], said
    assert "continued at step" in said[0][0]
    assert said[1][0] == ""
    a, b = (load_file(folder / "tiny" / "model.safetensors") for folder in (two[0], out))
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_a_batch_is_shared_out_evenly_or_refused():
    halves = [Processes(rank, 2).rows(6) for rank in range(2)]
    assert [list(range(6))[rows] for rows in halves] == [[0, 1, 2], [3, 4, 5]]
    assert list(range(6))[ALONE.rows(6)] == list(range(6))
    with pytest.raises(ConfigError, match="expected a multiple of 2 processes, got 5"):
        Processes(0, 2).require_even(5, 100)
    with pytest.raises(ConfigError, match="expected at most the 3 samples, got 4"):
        Processes(0, 2).require_even(4, 3)
    ALONE.require_even(4, 3)
