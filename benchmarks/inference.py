"""Time a warm prediction of one 224x224 image on two CPU threads, and the memory it takes.

Usage: python benchmarks/inference.py [--model NAME_OR_FOLDER] [--rounds N]

Prints medians over the rounds, and the ratio to a plain U-Net of the same size measured in the same run, since machines
differ and are shared.
"""

from __future__ import annotations

import argparse
import platform
import resource
import statistics
import sys
import time
from typing import TYPE_CHECKING

import torch
from peers.unet import PlainUNet

from tmca_core.phantom import make_phantom
from tmca_core.predictor import Predictor
from tmca_core.report import parse_report

if TYPE_CHECKING:
    from collections.abc import Callable

REPORTS = (
    "Patchy opacity in the left lower zone. No pleural effusion.",
    "Bilateral lower zone consolidation, more on the right.",
)


def median_ms(call: Callable[[int], object], rounds: int) -> float:
    """Return the median of ``call(round)`` in milliseconds, after three rounds to warm up."""
    times = []
    for i in range(rounds + 3):
        started = time.perf_counter()
        call(i)
        times.append(time.perf_counter() - started)
    return 1e3 * statistics.median(times[3:])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tmca-compact")
    parser.add_argument("--rounds", type=int, default=30)
    arguments = parser.parse_args()
    torch.set_num_threads(2)

    predictor = Predictor.load(arguments.model, device="cpu")
    scan = make_phantom(1, shape=(224, 224)).scan
    reports = [parse_report(text) for text in REPORTS]

    def whole(i: int) -> object:
        predictor.set_scan(scan)
        return predictor.predict(reports[i % 2])

    unet, picture = PlainUNet().eval(), torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        yardstick = median_ms(lambda _: unet(picture), arguments.rounds)
        image_and_report = median_ms(whole, arguments.rounds)
        report_only = median_ms(lambda i: predictor.predict(reports[i % 2]), arguments.rounds)
    weights = sum(p.numel() for p in unet.parameters()) / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    lines = [
        f"{platform.machine()}, 2 threads, torch {torch.__version__}, medians of {arguments.rounds} rounds, 224 x 224",
        f"plain U-Net, {weights:.1f} M weights, image only:  {yardstick:6.1f} ms   1.00",
        f"{arguments.model}, new scan and report:     {image_and_report:6.1f} ms   {image_and_report / yardstick:.2f}",
        f"{arguments.model}, scan set, new report:    {report_only:6.1f} ms   {report_only / yardstick:.2f}",
        f"peak memory of this process: {peak:.0f} MB",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
