"""Time depthwise convolutions in bfloat16 by kernel size, forward and backward, as ratios to 3x3 in the same run.

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

KERNELS, WARM_UP_ROUNDS, ROUNDS = (3, 5, 7), 5, 25
SHAPES = ((32, 64, 56, 56), (32, 128, 28, 28))  # the input of stages 1 and 2 at 224 x 224, batch 32

Variant = tuple[tuple[int, int, int, int], int]
Times = tuple[float, float]


def tensors(shape: tuple[int, int, int, int], kernel: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return input, weight and the gradient that comes back, as a training has them."""
    x, gradient = (torch.randn(shape, dtype=torch.bfloat16).to(memory_format=torch.channels_last) for _ in range(2))
    weight = torch.randn(shape[1], 1, kernel, kernel, dtype=torch.bfloat16)
    return x.requires_grad_(), weight.requires_grad_(), gradient


def seconds(x: Tensor, weight: Tensor, gradient: Tensor) -> Times:
    """Return the time of one forward and of one backward pass."""
    x.grad = weight.grad = None  # adding to a gradient of before would count, too
    started = time.perf_counter()
    y = conv2d(x, weight, padding=weight.shape[-1] // 2, groups=x.shape[1])
    middle = time.perf_counter()
    y.backward(gradient)
    return middle - started, time.perf_counter() - middle


def measure() -> dict[Variant, Times]:
    """Return medians of forward and backward; all variants in turn, so that a busy machine is busy for all of them."""
    variants = {(shape, kernel): tensors(shape, kernel) for shape in SHAPES for kernel in KERNELS}
    order, times = list(variants), {variant: list[Times]() for variant in variants}
    for round_ in range(WARM_UP_ROUNDS + ROUNDS):
        first = round_ % len(order)  # each has each place in the row, and so each neighbour's caches
        for variant in order[first:] + order[:first]:
            taken = seconds(*variants[variant])
            if round_ >= WARM_UP_ROUNDS:
                times[variant].append(taken)
    return {
        variant: (statistics.median(forward), statistics.median(backward))
        for variant, (forward, backward) in ((variant, zip(*rounds, strict=True)) for variant, rounds in times.items())
    }


def main() -> None:
    """Print the table."""
    torch.set_num_threads(2)
    sys.stdout.write(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, 2 threads, bfloat16\n")
    medians = measure()
    unit = sum(medians[SHAPES[0], KERNELS[0]])
    for (shape, kernel), own in medians.items():
        forward, backward = (a / b for a, b in zip(own, medians[shape, KERNELS[0]], strict=True))
        sys.stdout.write(
            f"{shape}: {kernel}x{kernel} forward {forward:.1f} x, backward {backward:.1f} x the time of 3x3 there; "
            f"together {sum(own) / unit:.1f} x that of 3x3 on the first input\n"
        )


if __name__ == "__main__":
    main()
