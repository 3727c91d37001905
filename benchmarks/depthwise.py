"""Time the gradient of depthwise convolutions by kernel size, as ratios to 3x3 in the same run.

Usage: python benchmarks/depthwise.py
"""

from __future__ import annotations

import platform
import statistics
import sys
import time

import torch
from torch.nn.functional import conv2d

BATCH, CHANNELS, SIDE, ROUNDS = 16, 64, 56, 7


def seconds(kernel: int) -> float:
    """Return the median time of forward and backward of one depthwise convolution, bfloat16, channels last."""
    memory_format = torch.channels_last
    x = torch.randn(BATCH, CHANNELS, SIDE, SIDE, dtype=torch.bfloat16).to(memory_format=memory_format).requires_grad_()
    weight = torch.randn(CHANNELS, 1, kernel, kernel, dtype=torch.bfloat16, requires_grad=True)
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        conv2d(x, weight, padding=kernel // 2, groups=CHANNELS).sum().backward()
        times.append(time.perf_counter() - started)
    return statistics.median(times[2:])


def main() -> None:
    """Print the table."""
    torch.set_num_threads(2)
    base = seconds(3)
    sys.stdout.write(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, 2 threads\n")
    for kernel in (3, 5, 7):
        sys.stdout.write(f"{kernel}x{kernel}: {seconds(kernel) / base:.1f} x the time of 3x3\n")


if __name__ == "__main__":
    main()
