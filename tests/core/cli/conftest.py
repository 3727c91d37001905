"""The command line as a user runs it, on a tiny network and a tiny data folder."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from tmca_core.cli import main
from tmca_core.model.build import build_tmca_tiny
from tmca_core.model.checkpoint import save_model
from tmca_core.phantom import make_phantom


@pytest.fixture(scope="package")
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


@pytest.fixture(scope="package")
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
