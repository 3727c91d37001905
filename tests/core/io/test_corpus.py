"""Every test file that pydicom and nibabel ship, and mutants of them: an image of finite numbers, or one sentence."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tmca_core.io import read_scan

SCRIPT = Path(__file__).parents[3] / "scripts" / "fuzz.py"
MUTANTS = 200


def _load_script():
    spec = importlib.util.spec_from_file_location("tmca_fuzz", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


fuzz = _load_script()
DICOM = fuzz.DICOM


def test_every_shipped_file_is_read_or_refused_in_words():
    read = {path for path in fuzz.SHIPPED if fuzz.read(path) is not None}
    assert len(fuzz.SHIPPED) > 150
    assert len(read) > 60


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("JPEG2000.dcm", (1024, 256)),
        ("JPEGLSNearLossless_16.dcm", (50, 10)),
        ("SC_rgb_jpeg_gdcm.dcm", (100, 100)),
        ("SC_rgb_jpeg_dcmtk.dcm", (100, 100)),
        ("examples_jpeg2k.dcm", (480, 640)),
        ("examples_palette.dcm", (350, 800)),
        ("examples_ybr_color.dcm", (30, 240, 320)),
        ("SC_rgb_rle_2frame.dcm", (2, 100, 100)),
    ],
)
def test_transfer_syntaxes_are_decoded(name, shape):
    assert read_scan(DICOM / "test_files" / name).shape == shape


def test_a_header_that_calls_signed_what_is_not_is_told():
    scan = read_scan(DICOM / "test_files" / "J2K_pixelrep_mismatch.dcm")
    assert "The header calls the pixels signed, and they are unsigned: read as they are." in scan.notes


def test_12_bit_jpeg_is_the_image_that_another_codec_holds_too():
    read = [read_scan(DICOM / "test_files" / name).pixels.astype(int) for name in ("JPEG-lossy.dcm", "JPEG2000.dcm")]
    assert read[0].max() > 255
    assert np.corrcoef(read[0].ravel(), read[1].ravel())[0, 1] > 0.95  # both lossy


def test_mutants_are_read_or_refused_in_words(tmp_path):
    fuzzer = fuzz.Fuzzer(tmp_path)
    for number in range(MUTANTS):
        fuzzer.try_one(number)
    assert not fuzzer.tally.failures
    assert fuzzer.tally.read > MUTANTS // 10
    assert not list(tmp_path.iterdir())


def test_a_mutant_is_the_same_in_every_run():
    content = bytes(range(256))
    mutants = [[fuzz.mutant(content, np.random.default_rng([0, n])) for n in range(9)] for _ in range(2)]
    assert mutants[0] == mutants[1]
    assert len(set(mutants[0])) == 9


def test_a_stopped_run_goes_on(tmp_path):
    for mutants in (3, 5):
        command = [sys.executable, str(SCRIPT), "--mutants", str(mutants), "--out", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
        assert done.stdout.startswith(f"{mutants} mutants: ")
    state = json.loads((tmp_path / "state.json").read_text())
    assert state["read"] + state["refused"] == 5
