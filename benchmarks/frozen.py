"""Say what share of a fine-tuning step goes into the frozen parts of the network, whose features could be cached.

Usage: python benchmarks/frozen.py [--batch N] [--rounds N] [--threads N]

One step of adapters on tmca-compact at 224 x 224: forward, losses, backward. Frozen are the image encoder below its
adapted stages and the whole text encoder; no gradient goes through them.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING

import torch

from tmca_core.data.loader import standardise_batch
from tmca_core.model.adapter import add_adapters, late_parts
from tmca_core.model.checkpoint import DEFAULT_MODEL, find_model, load_model

if TYPE_CHECKING:
    from torch import nn

SIZE, RANK = 224, 8


def main() -> None:
    """Print the shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    model = load_model(find_model(DEFAULT_MODEL))[0].eval().to(memory_format=torch.channels_last)
    add_adapters(model, RANK)
    late = late_parts(model)
    encoder = model.image_encoder
    names = {"text encoder": model.text_encoder, "image stem": encoder.stem}
    # Behind the first adapted stage nothing can be kept, adapted or not.
    for i, (downsample, stage) in enumerate(zip(encoder.downsamples, encoder.stages, strict=True), start=1):
        names[f"image downsample {i}"] = downsample
        if f"image_encoder.stages.{i - 1}.".startswith(late):
            break
        names[f"image stage {i}"] = stage
    spent: dict[str, list[float]] = defaultdict(list)
    for name, module in names.items():
        watch(module, name, spent)
    tokens = model.tokenizer([["Opacity in the left lower zone.", "No pleural effusion."]] * options.batch)
    shape = (options.batch, 1, SIZE, SIZE)
    images = standardise_batch(torch.rand(shape).expand(-1, 3, -1, -1)).contiguous(memory_format=torch.channels_last)
    masks = (torch.rand(shape) > 0.7).float()
    for _ in range(options.rounds + 1):
        started = time.perf_counter()
        model.loss(model(images, tokens), masks).total.backward()
        spent["the whole step"].append(time.perf_counter() - started)
        model.zero_grad(set_to_none=True)
    medians = {name: statistics.median(times[1:]) for name, times in spent.items()}
    whole = medians.pop("the whole step")
    for name, seconds in medians.items():
        sys.stdout.write(f"{name}: {100 * seconds / whole:.1f} %\n")
    frozen = sum(medians.values()) / whole
    sys.stdout.write(
        f"frozen parts together {100 * frozen:.0f} % of {whole:.2f} s; without them a step would be "
        f"{1 / (1 - frozen):.2f} times as fast\n"
        f"{platform.machine()}, {options.threads} threads, torch {torch.__version__}, batch {options.batch}\n"
    )


def watch(module: nn.Module, name: str, spent: dict[str, list[float]]) -> None:
    """Note the seconds of every forward pass of a module."""
    began: list[float] = []
    module.register_forward_pre_hook(lambda *_: began.append(time.perf_counter()))
    module.register_forward_hook(partial(_note, began, spent[name]))


def _note(began: list[float], times: list[float], *_: object) -> None:
    times.append(time.perf_counter() - began.pop())


if __name__ == "__main__":
    main()
