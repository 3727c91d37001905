"""Time, memory and smoothness of the 2-D network on volumes, on two CPU threads.

Usage: python benchmarks/volume.py [--model NAME_OR_FOLDER] [--slices 200] [--size 512] [--data FOLDER ...]

Without data: seconds and peak memory for volumes of a quarter of the slices, half of them, and all. With data: for
every volume in the folders, how well neighbouring slices of the mask agree (Dice), with and without smoothing across
slices. Where ``NAME_mask.nii.gz`` lies beside ``NAME_flair.nii.gz``, and its report in ``NAME.txt``, also Dice with the
reference, and how well the reference's own neighbours agree.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch

from tmca_core.io import read_mask, read_scan
from tmca_core.metrics import dice
from tmca_core.phantom import make_phantom
from tmca_core.predictor import Predictor
from tmca_core.report import parse_report
from tmca_core.slicewise import SMOOTHING, neighbour_dice
from tmca_core.study import Scan

REPORT = "Patchy opacity in the left lower zone. No pleural effusion."


def peak_mb() -> float:
    """Return the largest memory of this process so far; of what is loaded for one volume only where it grows."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def time_volumes(predictor: Predictor, slices: int, size: int) -> None:
    """Print seconds and peak memory of growing volumes of one phantom, shifted from slice to slice."""
    picture = make_phantom(1, shape=(size, size)).scan.pixels.astype(np.int16)
    report = parse_report(REPORT)
    for count in (slices // 4, slices // 2, slices):
        volume = np.empty((count, size, size), picture.dtype)
        for z in range(count):
            volume[z] = np.roll(picture, z, axis=1)
        before = peak_mb()
        started, cpu = time.perf_counter(), time.process_time()
        predictor.set_scan(Scan(volume, spacing_mm=(2.0, 0.7, 0.7)))
        segmentation = predictor.predict(report)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        held = (segmentation.logits.nbytes * 2 + volume.nbytes) / 2**20
        sys.stdout.write(
            f"{count:4d} slices of {size} x {size}: {seconds:5.1f} s ({cpu:.1f} s of processor time), peak "
            f"{peak_mb():5.0f} MB, {before:5.0f} before it; its voxels and answers are {held:.0f} MB\n"
        )
        sys.stdout.flush()


def measure_smoothness(predictor: Predictor, folder: Path) -> list[tuple[float, ...]]:
    """Print a row per volume and return those with a reference.

    A row is the agreement of neighbouring slices in the reference, in our mask raw and smooth, and the Dice of both.
    """
    rows = []
    for path in _volumes(folder):
        scan = read_scan(path)
        predictor.set_scan(scan)
        report = parse_report(_words_of(path))
        raw, smooth = (predictor.predict(report, smoothing=sigma).mask for sigma in (0.0, SMOOTHING))
        ours = neighbour_dice(raw), neighbour_dice(smooth)
        line = f"{path.name[:24]:24s} {len(scan.pixels):4d} slices, neighbours {ours[0]:.3f} -> {ours[1]:.3f}"
        mask_path = path.with_name(path.name.replace("_flair.", "_mask."))
        if mask_path != path and mask_path.is_file():
            reference = read_mask(mask_path)
            rows.append((neighbour_dice(reference), *ours, dice(raw, reference), dice(smooth, reference)))
            line += f" (reference {rows[-1][0]:.3f}), Dice {rows[-1][3]:.3f} -> {rows[-1][4]:.3f}"
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    return rows


def _volumes(folder: Path) -> list[Path]:
    names = sorted(path for path in folder.iterdir() if path.name.endswith(("_flair.nii.gz", "_sm.nii.gz")))
    return names + sorted(path for path in folder.iterdir() if path.is_dir() and path.name.endswith("dicom_series"))


def _words_of(path: Path) -> str:
    words = path.with_name(path.name.replace("_flair.nii.gz", ".txt"))
    if words == path or not words.is_file():
        return ""
    return words.read_text(encoding="utf-8").split("split=")[0]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tmca-compact")
    parser.add_argument("--slices", type=int, default=200)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--data", type=Path, nargs="*", default=[])
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    predictor = Predictor.load(arguments.model, device="cpu")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    sys.stdout.write(f"{platform.machine()}, 2 threads, torch {torch.__version__}, load before it {load:.1f}\n")
    if not arguments.data:
        time_volumes(predictor, arguments.slices, arguments.size)
        return
    rows = [row for folder in arguments.data for row in measure_smoothness(predictor, folder)]
    if rows:
        mean = np.mean(rows, axis=0)
        sys.stdout.write(
            f"mean of {len(rows)} with a reference: neighbours {mean[1]:.3f} -> {mean[2]:.3f} "
            f"(reference {mean[0]:.3f}), Dice {mean[3]:.3f} -> {mean[4]:.3f}\n"
        )


if __name__ == "__main__":
    main()
