"""Time depthwise convolutions by kernel size, forward and backward, as ratios to 3x3 in the same run.

Usage: python benchmarks/depthwise.py
"""

from __future__ import annotations

import platform
import statistics
import sys
import time

import torch
from torch import Tensor
from torch.nn.functional import conv2d

KERNELS, ROUNDS = (3, 5, 7), 15
SHAPES = ((32, 64, 56, 56), (32, 128, 28, 28))  # the input of stages 1 and 2 at 224 x 224, batch 32


def seconds(x: Tensor, weight: Tensor) -> tuple[float, float]:
    """Return the time of one forward and of one backward pass."""
    started = time.perf_counter()
    y = conv2d(x, weight, padding=weight.shape[-1] // 2, groups=x.shape[1])
    middle = time.perf_counter()
    y.sum().backward()
    return middle - started, time.perf_counter() - middle


def measure(shape: tuple[int, int, int, int]) -> None:
    """Print the ratios for one input: kernels in turn, so that a noisy machine is noisy for all of them."""
    x = torch.randn(shape, dtype=torch.bfloat16).to(memory_format=torch.channels_last).requires_grad_()
    weights = {k: torch.randn(shape[1], 1, k, k, dtype=torch.bfloat16, requires_grad=True) for k in KERNELS}
    times: dict[int, list[tuple[float, float]]] = {k: [] for k in KERNELS}
    for _ in range(ROUNDS):
        for k, weight in weights.items():
            times[k].append(seconds(x, weight))
    # The first rounds build kernels and fill caches.
    medians = {k: [statistics.median(part) for part in zip(*rounds[3:], strict=True)] for k, rounds in times.items()}
    for k in KERNELS:
        forward, backward = (own / base for own, base in zip(medians[k], medians[KERNELS[0]], strict=True))
        sys.stdout.write(f"{shape}: {k}x{k} forward {forward:.1f} x, backward {backward:.1f} x the time of 3x3\n")


def main() -> None:
    """Print the table."""
    torch.set_num_threads(2)
    sys.stdout.write(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, 2 threads\n")
    for shape in SHAPES:
        measure(shape)


if __name__ == "__main__":
    main()
