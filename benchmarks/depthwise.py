"""Time depthwise convolutions in bfloat16 and in float32, forward and backward, by kernel size and stride.

Usage: python benchmarks/depthwise.py

float32 includes the change from and to bfloat16 around it, as `tmca_core.model.blocks.DepthwiseConv2d` computes.
Ratios are of one run, in which all variants take turns.
"""

from __future__ import annotations

import platform
import statistics
import sys
import time
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import conv2d

WARM_UP_ROUNDS, ROUNDS = 3, 15


@dataclass(frozen=True)
class Layer:
    """A depthwise convolution of the network at 224 x 224, batch 16."""

    channels: int
    size: int
    kernel: int
    stride: int

    def __str__(self) -> str:
        return f"{self.channels} channels of {self.size} x {self.size}, kernel {self.kernel}, stride {self.stride}"


LAYERS = (
    Layer(64, 56, 3, 1),
    Layer(64, 56, 7, 1),
    Layer(128, 28, 3, 1),
    Layer(128, 28, 7, 1),
    Layer(96, 112, 3, 2),
    Layer(144, 56, 5, 2),
    Layer(240, 28, 5, 1),
    Layer(672, 14, 5, 1),
)

Times = tuple[float, float]


def tensors(layer: Layer) -> tuple[Tensor, Tensor, Tensor]:
    """Return input, weight and the gradient that comes back, as a training has them."""
    x = torch.randn(16, layer.channels, layer.size, layer.size, dtype=torch.bfloat16)
    weight = torch.randn(layer.channels, 1, layer.kernel, layer.kernel, dtype=torch.bfloat16)
    small = layer.size // layer.stride
    gradient = torch.randn(16, layer.channels, small, small, dtype=torch.bfloat16)
    x, gradient = (t.to(memory_format=torch.channels_last) for t in (x, gradient))
    return x.requires_grad_(), weight.requires_grad_(), gradient


def seconds(layer: Layer, dtype: torch.dtype, x: Tensor, weight: Tensor, gradient: Tensor) -> Times:
    """Return the time of one forward and of one backward pass, computed in ``dtype``."""
    x.grad = weight.grad = None  # adding to a gradient of before would count, too
    started = time.perf_counter()
    y = conv2d(
        x.to(dtype), weight.to(dtype), stride=layer.stride, padding=layer.kernel // 2, groups=layer.channels
    ).bfloat16()
    middle = time.perf_counter()
    y.backward(gradient)
    return middle - started, time.perf_counter() - middle


def measure() -> dict[tuple[Layer, torch.dtype], Times]:
    """Return medians of forward and backward; all variants in turn, so that a busy machine is busy for all of them."""
    variants = [(layer, dtype) for layer in LAYERS for dtype in (torch.bfloat16, torch.float32)]
    parts = {layer: tensors(layer) for layer in LAYERS}
    times = {variant: list[Times]() for variant in variants}
    for round_ in range(WARM_UP_ROUNDS + ROUNDS):
        first = round_ % len(variants)  # each has each place in the row, and so each neighbour's caches
        for layer, dtype in variants[first:] + variants[:first]:
            taken = seconds(layer, dtype, *parts[layer])
            if round_ >= WARM_UP_ROUNDS:
                times[layer, dtype].append(taken)
    return {
        variant: (statistics.median(forward), statistics.median(backward))
        for variant, (forward, backward) in ((variant, zip(*rounds, strict=True)) for variant, rounds in times.items())
    }


def main() -> None:
    """Print the table."""
    torch.set_num_threads(2)
    sys.stdout.write(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, 2 threads\n")
    medians = measure()
    for layer in LAYERS:
        low, full = medians[layer, torch.bfloat16], medians[layer, torch.float32]
        forward, backward = (a / b for a, b in zip(low, full, strict=True))
        sys.stdout.write(
            f"{layer}: bfloat16 takes {forward:.1f} x forward, {backward:.1f} x backward, "
            f"{sum(low) / sum(full):.1f} x together the time of float32\n"
        )


if __name__ == "__main__":
    main()
