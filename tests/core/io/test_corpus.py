"""Every test file that pydicom and nibabel ship, and mutants of them: an image of finite numbers, or one sentence."""

from __future__ import annotations

import os
import time
from pathlib import Path

import nibabel
import numpy as np
import pydicom.data
import pytest

from tmca_core.errors import StudyReadError, TmcaError
from tmca_core.io import read_scan

DICOM = Path(pydicom.data.__file__).parent
NIFTI = Path(nibabel.__file__).parent / "tests" / "data"
FILES = sorted(path for folder in (DICOM, NIFTI) for path in folder.rglob("*") if path.is_file())
IMAGES = {".dcm", "", ".nii", ".gz", ".hdr", ".img", ".mha"}
MUTANTS = int(os.environ.get("TMCA_MUTANTS", "200"))
SEED = int(os.environ.get("TMCA_SEED", "0"))
LIMIT_S = 60.0  # 15 of the decoder, and the rest for a busy machine


def _read(path):
    """Return the pixels, or None for a file that is refused; anything but a TmcaError fails the test."""
    begin = time.monotonic()
    scan, message = None, ""
    try:
        scan = read_scan(path)
    except TmcaError as error:
        message = error.message
    assert time.monotonic() - begin < LIMIT_S
    if scan is None:
        assert path.name in message or path.with_suffix(".img").name in message
        assert "\n" not in message
        return None
    assert scan.pixels.size
    assert np.isfinite(scan.pixels).all()
    return scan.pixels


def test_every_shipped_file_is_read_or_refused_in_words():
    read = {path for path in FILES if _read(path) is not None}
    assert len(FILES) > 150
    assert len(read) > 60


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("JPEG2000.dcm", (1024, 256)),
        ("JPEGLSNearLossless_16.dcm", (50, 10)),
        ("SC_rgb_jpeg_dcmtk.dcm", (100, 100)),
        ("examples_jpeg2k.dcm", (480, 640)),
        ("examples_palette.dcm", (350, 800)),
        ("examples_ybr_color.dcm", (30, 240, 320)),
        ("SC_rgb_rle_2frame.dcm", (2, 100, 100)),
    ],
)
def test_transfer_syntaxes_are_decoded(name, shape):
    assert read_scan(DICOM / "test_files" / name).shape == shape


def test_12_bit_jpeg_is_refused_by_name():
    with pytest.raises(StudyReadError, match=r"JPEG-lossy.dcm: no decoder .* JPEG Extended .* with 12 bits"):
        read_scan(DICOM / "test_files" / "JPEG-lossy.dcm")


def _mutant(content, rng):
    """Return the bytes damaged in one of five ways."""
    changed = bytearray(content)
    place, kind = int(rng.integers(len(content))), int(rng.integers(5))
    if kind == 0:
        changed[place] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        for other in rng.integers(0, len(content), 8):
            changed[other] = int(rng.integers(256))
    elif kind == 2:
        del changed[place:]
    elif kind == 3:
        changed[place : place + 64] = bytes(len(changed[place : place + 64]))
    else:
        changed[place:place] = rng.bytes(int(rng.integers(1, 32)))
    return bytes(changed)


def test_mutants_are_read_or_refused_in_words(tmp_path):
    rng = np.random.default_rng(SEED)
    seeds = [path for path in FILES if path.suffix in IMAGES and 0 < path.stat().st_size < 60_000]
    originals = {}
    for number in range(MUTANTS):
        path = seeds[int(rng.integers(len(seeds)))]
        target = tmp_path / path.name
        content = _mutant(path.read_bytes(), rng)
        target.write_bytes(content)
        pixels = _read(target)
        target.unlink()
        if pixels is not None and path.suffix == ".gz":  # whose checksum covers every voxel
            if path not in originals:
                originals[path] = _read(path)
            np.testing.assert_array_equal(pixels, originals[path], err_msg=f"mutant {number} of {path.name}")
