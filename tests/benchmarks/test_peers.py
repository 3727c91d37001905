"""Peers are imported from a folder that somebody points to; what stands in it here is made up, of their interface."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tmca_core.errors import ConfigError
from tmca_core.phantom import make_phantom

ROOT = Path(__file__).parents[2]
VIT = "from timm.models.layers import DropPath\n"
LVIT = """import torch
from torch import nn
from .Vit import DropPath

class LViT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.conv = nn.Conv2d(3, config.base_channel // 64, 1)

    def forward(self, images, words):
        assert images.shape[1] == 3 and words.shape[1:] == (10, 768)
        return torch.sigmoid(self.conv(images))
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    folder = tmp_path_factory.mktemp("LViT")
    (folder / "nets").mkdir()
    (folder / "nets" / "Vit.py").write_text(VIT)
    (folder / "nets" / "LViT.py").write_text(LVIT)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for name in ("images", "masks", "reports"):
        (folder / name).mkdir()
    ids = [f"phantom{seed}" for seed in range(6)]
    for seed, case in enumerate(ids):
        phantom = make_phantom(seed, shape=(64, 64))
        Image.fromarray(np.asarray(phantom.scan.pixels, np.uint8)).save(folder / "images" / f"{case}.png")
        Image.fromarray(phantom.mask.astype(np.uint8) * 255).save(folder / "masks" / f"{case}.png")
        (folder / "reports" / f"{case}.txt").write_text(phantom.report_text)
    (folder / "split.json").write_text(json.dumps({"train": ids[:4], "val": ids[4:]}))
    return folder


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """Run the command in this process, at a size that takes no time."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "peers"))
    module = importlib.import_module("run")
    monkeypatch.setattr(module, "SIZE", 64)

    def call(*arguments):
        common = ["--model", "tiny", "--threads", str(torch.get_num_threads()), "--rounds", "1", "--no-memory"]
        monkeypatch.setattr(sys, "argv", ["run.py", *common, *(str(argument) for argument in arguments)])
        module.main()
        return capsys.readouterr().out

    yield call
    for name in ("run", "methods", "measure", "unet"):
        sys.modules.pop(name, None)


def test_methods_stand_in_one_table_with_ratios_and_ranks(run, checkout, data, tmp_path):
    out = run(
        "--lvit", checkout, "--data", data, "--steps", 2, "--batch", 2, "--cases", tmp_path,
        "--json", tmp_path / "p.json",
    )  # fmt: skip
    told = json.loads((tmp_path / "p.json").read_text())
    assert list(told["methods"]) == ["tmca", "U-Net", "LViT"]
    assert all(m["steps"] == 2 for m in told["methods"].values())
    assert sum(m["rank_one"] for m in told["methods"].values()) == pytest.approx(1.0)
    assert len(told["differences"]) == 3
    assert str(checkout.parent) not in json.dumps(told)
    assert (tmp_path / "lvit.csv").is_file()
    assert "Dice pooled" in out
    assert "timm" not in sys.modules


def test_the_time_of_the_processor_can_be_the_budget(run, data, tmp_path):
    run("--data", data, "--cpu-minutes", 0.005, "--batch", 2, "--json", tmp_path / "p.json")
    told = json.loads((tmp_path / "p.json").read_text())
    assert told["budget"] == "0.005 minutes of the processor"
    assert all(m["steps"] >= 1 and m["cpu_minutes"] >= 0.005 for m in told["methods"].values())


@pytest.mark.parametrize("option", ["--lvit", "--languidemedseg"])
def test_a_folder_that_is_no_checkout_is_one_sentence(run, tmp_path, option):
    with pytest.raises(ConfigError, match="expected a checkout with"):
        run(option, tmp_path)


def test_peak_memory_is_that_of_this_process(run):
    peak = importlib.import_module("measure").peak_memory_mb()
    assert peak is None or 10 < peak < 100_000
