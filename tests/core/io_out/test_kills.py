"""A program that is killed in the middle of a save leaves the old file or the new one, whichever format it writes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from tmca_core.io import read_mask, read_scan

NAMES = (
    "mask.nii.gz", "mask.nii", "mask.nrrd", "map.nii.gz", "mask.png", "mask.tif", "overlay.png", "result.json",
    "seg.dcm", "rtstruct.dcm", "sr.dcm", "capture.dcm",
)  # fmt: skip
KILLS = 4  # of each
# Forks, for a program that starts anew for each kill would spend its time on imports.
SCRIPT = """
import os, random, shutil, signal, sys, time
from pathlib import Path
import numpy as np
from tmca_core.io import read_scan, write_json, write_map, write_mask, write_overlay
from tmca_core.io.dicom_capture import write_dicom_capture
from tmca_core.io.dicom_seg import write_dicom_seg
from tmca_core.io.dicom_sr import write_dicom_sr
from tmca_core.io.rtstruct import write_rtstruct

series, work, out, kills, *names = sys.argv[1:]
volume = read_scan(series)
picture = read_scan(next(Path(series).iterdir()))
heat = np.linspace(0, 1, volume.pixels.size, dtype=np.float32).reshape(volume.shape)

def mask(scan, number):
    drawn = np.zeros(scan.shape, dtype=np.uint8)
    drawn[..., 2 : 5 + 3 * number, 3:8] = 1
    return drawn

def write(path, number):
    drawn, flat = mask(volume, number), mask(picture, number)
    if path.name == "map.nii.gz":
        write_map(path, heat * (1 + number) / 2, volume)
    elif path.suffix == ".json":
        write_json(path, {"number": number, "filling": ["x" * 100] * 500})
    elif path.name == "overlay.png":
        write_overlay(path, picture, flat.astype(bool), heat[0])
    elif path.suffix in (".png", ".tif"):
        write_mask(path, flat, picture)
    elif path.name == "capture.dcm":
        write_dicom_capture(path, volume, drawn, heat)
    elif path.suffix == ".dcm":
        {"seg": write_dicom_seg, "sr": write_dicom_sr, "rtstruct": write_rtstruct}[path.stem](path, drawn, volume)
    else:
        write_mask(path, drawn, volume)

chance = random.Random(0)
for name in names:
    target = Path(work, name)
    for number in (0, 1):
        begin = time.perf_counter()
        write(target, number)
        took = time.perf_counter() - begin
        shutil.copy(target, Path(out, f"whole{number}_{name}"))
    for kill in range(int(kills)):
        child = os.fork()
        if child == 0:
            try:
                for round in range(1_000_000):
                    write(target, round % 2)
            finally:
                os._exit(1)
        time.sleep(chance.uniform(0, 3 * took))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL, "the writer ended by itself"
        shutil.copy(target, Path(out, f"kill{kill}_{name}"))
"""


def _content(path):
    """Return what must be equal to that of one of the two whole files."""
    if path.suffix == ".dcm":
        dataset = pydicom.dcmread(path)
        pixels = dataset.pixel_array.tobytes() if "PixelData" in dataset else b""
        points = [list(e.value) for e in dataset.iterall() if e.keyword in ("ContourData", "GraphicData")]
        return pixels, points, sorted(dataset.keys())
    if path.suffix == ".json":
        return path.read_text(encoding="utf-8")
    if "overlay" in path.name:
        return np.asarray(Image.open(path)).tobytes()
    if "map" in path.name:
        return read_scan(path).pixels.tobytes()
    return read_mask(path).tobytes()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_killed_save_leaves_the_old_file_or_the_new_one(tmp_path, save_series):
    work, out = tmp_path / "work", tmp_path / "out"
    work.mkdir()
    out.mkdir()
    command = [sys.executable, "-c", SCRIPT, str(save_series()), str(work), str(out), str(KILLS), *NAMES]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    root = Path(__file__).parents[3]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root, env=environment, timeout=200)
    assert done.returncode == 0, done.stderr
    for name in NAMES:
        whole = [_content(out / f"whole{number}_{name}") for number in (0, 1)]
        for kill in range(KILLS):
            assert _content(out / f"kill{kill}_{name}") in whole, f"kill {kill} of {name}"
    assert len(list(out.glob("kill*"))) == KILLS * len(NAMES) >= 40
