"""Time the refinement of a mask by a stroke, at 512 x 512 pixels.

Usage: python benchmarks/refine.py [--rounds N]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import numpy as np
from scipy import ndimage

from tmca_core.editing import refine
from tmca_core.phantom import make_phantom

BAR_MS = 300


def main() -> None:
    """Print the median and the largest of the rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    phantom = make_phantom(12, shape=(512, 512))
    probability = ndimage.gaussian_filter(phantom.mask.astype(np.float32), 6)
    mask = probability >= 0.5
    rng, times = np.random.default_rng(0), []
    for _ in range(rounds):
        y, x = rng.integers(100, 400, 2)
        stroke = [(int(y) + i // 3, int(x) + i) for i in range(40)]
        started = time.perf_counter()
        refine(mask, probability, phantom.scan.pixels, include=stroke[::2], exclude=[(int(y) - 20, int(x))])
        times.append(1e3 * (time.perf_counter() - started))
    median, longest = statistics.median(times), max(times)
    sys.stdout.write(
        f"512 x 512, stroke of 20 pixels: median {median:.0f} ms, longest {longest:.0f} ms (bar {BAR_MS})\n"
    )


if __name__ == "__main__":
    main()
