from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tmca_core.model.checkpoint import DEFAULT_MODEL, list_models
from tmca_core.phantom import make_phantom


def demo(out, *arguments):
    command = [sys.executable, "-m", "napari_tmca.demo", "--out", str(out), "--no-stay", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=280, env=dict(os.environ), check=False)


def test_the_bundled_weights_are_there():
    assert DEFAULT_MODEL in [info.name for info in list_models()]


def test_the_demonstration_segments_the_phantom_in_a_real_window(tmp_path):
    result = demo(tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Dice" in result.stdout
    names = {"mask.png", "probability.png", "overlay.png", "window.png"}
    names |= {f"attention_level{level}.png" for level in (1, 2, 3, 4)}
    assert names <= {path.name for path in tmp_path.iterdir()}
    window = np.asarray(Image.open(tmp_path / "window.png"))
    assert window.shape[0] > 600
    assert window.std() > 20


def test_the_demonstration_takes_a_scan_and_a_report_of_one_s_own(tmp_path):
    Image.fromarray(np.asarray(make_phantom(5).scan.pixels)).save(tmp_path / "chest.png")
    out = tmp_path / "out"
    result = demo(out, "--scan", str(tmp_path / "chest.png"), "--report", "Opacity in the left lung.")
    assert result.returncode == 0, result.stdout + result.stderr
    assert (out / "mask.png").exists()


@pytest.mark.parametrize("scan", ["missing.png", "text.png"])
def test_a_scan_that_is_none_is_two_sentences_and_no_traceback(tmp_path, scan):
    (tmp_path / "text.png").write_text("no picture")
    result = demo(tmp_path / "out", "--scan", str(tmp_path / scan), "--report", "x")
    assert result.returncode == 1
    assert result.stderr.count("error:") == 1
    assert "Traceback" not in result.stderr
