"""Time a training step of tmca-compact in bfloat16 and in float32 on this processor, and say which "auto" takes.

Usage: python benchmarks/precision.py [--batch N] [--size PIXELS] [--rounds N]

Both take turns in one process, forward and backward with all losses; the ratio is of one run.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time

import torch

from tmca_core.data.loader import standardise_batch
from tmca_core.device import trains_in_bfloat16
from tmca_core.model.checkpoint import DEFAULT_MODEL, find_model, load_model


def main() -> None:
    """Print the medians, their ratio and the choice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.manual_seed(0)
    model = load_model(find_model(DEFAULT_MODEL))[0].train().to(memory_format=torch.channels_last)
    tokens = model.tokenizer([["Opacity in the left lower zone."]] * options.batch)
    shape = (options.batch, 1, options.size, options.size)
    images = standardise_batch(torch.rand(shape).expand(-1, 3, -1, -1)).contiguous(memory_format=torch.channels_last)
    masks = (torch.rand(shape) > 0.7).float()
    times: dict[bool, list[float]] = {False: [], True: []}
    for i in range(options.rounds + 1):
        for is_mixed, taken in times.items():
            started = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=is_mixed):
                output = model(images, tokens)
            model.loss(output, masks).total.backward()
            if i:  # the first round warms up
                taken.append(time.perf_counter() - started)
            model.zero_grad(set_to_none=True)
    single, mixed = (statistics.median(taken) for taken in times.values())
    chosen = "bfloat16" if trains_in_bfloat16("auto", torch.device("cpu")) else "float32"
    sys.stdout.write(
        f"batch {options.batch}, {options.size} x {options.size}: float32 {single:.2f} s, bfloat16 {mixed:.2f} s; "
        f'bfloat16 takes {mixed / single:.2f} times as long; "auto" takes {chosen}\n'
        f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}\n"
    )


if __name__ == "__main__":
    main()
