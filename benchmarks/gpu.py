"""Training on this GPU: images/s, share of the card's ceiling (MFU) and memory, of ``tmca-compact`` and ``tmca-base``.

Usage: python benchmarks/gpu.py [--model FOLDER] [--batch N] [--size PIXELS] [--rounds N] [--json FILE]

The ceilings are measured in the same run: a large bfloat16 product of matrices, and a large copy within the memory.
A step is a whole one as `tmca train` takes it, augmentation, alignment losses, AdamW and the weights' average included;
its operations are those that torch counts in forward and backward pass. ``tmca-base`` has random weights and the words
of --model. What is measured is stored after each network, for leases of a card end when they end.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from tmca_core.atomic import atomic_write
from tmca_core.data.augment import AugmentConfig
from tmca_core.data.loader import phantom_samples
from tmca_core.data.telling import Teller, TellingConfig
from tmca_core.device import choose_device, trains_in_bfloat16
from tmca_core.model.architecture import ConvNeXtImageEncoder, EnhancementArchitecture, PreprocessArchitecture
from tmca_core.model.build import with_image_side
from tmca_core.model.checkpoint import DEFAULT_MODEL, find_model, load_model
from tmca_core.recipes.batches import prepare_batch, show
from tmca_core.recipes.train import averaged, make_optimizer
from tmca_core.recipes.train_config import ScheduleConfig
from tmca_core.terminal import format_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from tmca_core.model.tmca import Tmca

WAYS = ("eager", "compiled")


def read_arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


class Training:
    """One network and everything that a step needs, on the device."""

    def __init__(self, network: Tmca, arguments: argparse.Namespace, device: torch.device) -> None:
        self.network = network.to(memory_format=torch.channels_last).to(device).train()  # type: ignore[call-overload]
        self.device, self.steps = device, 0
        self.optimizer = make_optimizer(network, ScheduleConfig())
        self.average = averaged(network, 0.999, lambda: self.steps)
        preprocess = PreprocessArchitecture(image_size=arguments.size)
        samples = list(phantom_samples(range(8), preprocess)) * (arguments.batch // 8 + 1)
        samples = samples[: arguments.batch]
        generator = torch.Generator().manual_seed(0)
        teller = Teller(samples, TellingConfig())
        self.batch = prepare_batch(samples, arguments.size, AugmentConfig(), teller, network.tokenizer, generator)

    def step(self) -> None:
        """Take one step, from a prepared batch in main memory."""
        shown = show(self.batch, self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=trains_in_bfloat16("auto", self.device)):
            output = self.network(shown.images, shown.tokens)
        loss = self.network.loss(output, shown.masks, shown.is_own).total
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.average.update_parameters(self.network)
        self.steps += 1


def seconds_of(call: Callable[[], object], device: torch.device, rounds: int) -> float:
    """Return the median seconds of five groups of calls, the device waited for after each group."""
    times = []
    for _ in range(5):
        wait(device)
        started = time.perf_counter()
        for _ in range(max(rounds // 5, 1)):
            call()
        wait(device)
        times.append((time.perf_counter() - started) / max(rounds // 5, 1))
    return statistics.median(times)


def wait(device: torch.device) -> None:
    """Return when the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def ceilings(device: torch.device) -> dict[str, float]:
    """Return the rates of a product of bfloat16 matrices, operations/s, and of a copy, bytes read and written/s."""
    n = 8192 if device.type == "cuda" else 512
    a, b = (torch.randn(n, n, device=device, dtype=torch.bfloat16) for _ in range(2))
    source = torch.randn(2**28 if device.type == "cuda" else 2**20, device=device)
    target = torch.empty_like(source)
    for call in (lambda: a @ b, lambda: target.copy_(source)):
        call()
    return {
        "bfloat16_flops_per_s": 2.0 * n**3 / seconds_of(lambda: a @ b, device, 20),
        "copy_bytes_per_s": 2.0 * source.nbytes / seconds_of(lambda: target.copy_(source), device, 20),
    }


def measure(
    name: str, network: Tmca, arguments: argparse.Namespace, device: torch.device, top: float
) -> dict[str, Any]:
    """Return the figures of one network, as it is and with its image encoder compiled."""
    training = Training(network, arguments, device)
    training.step()
    with FlopCounterMode(display=False) as counter:
        training.step()
    found: dict[str, Any] = {
        "weights": sum(p.numel() for p in network.parameters()),
        "flops_per_image": counter.get_total_flops() / arguments.batch,
    }
    for how in WAYS:
        if how == "compiled":
            network.image_encoder.compile(dynamic=False)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        for _ in range(5):
            training.step()
        rate = arguments.batch / seconds_of(training.step, device, arguments.rounds)
        found[how] = {
            "images_per_s": rate,
            "mfu": rate * found["flops_per_image"] / top,
            "peak_memory_gb": torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else None,
        }
        sys.stderr.write(f"{name}, {how}: {rate:.0f} images/s\n")
    return found


def main() -> None:
    """Print and store."""
    arguments = read_arguments()
    torch.manual_seed(0)
    device = choose_device(arguments.device)
    top = ceilings(device)
    compact, architecture, manifest = load_model(find_model(arguments.model))
    base, _ = with_image_side(compact, architecture, ConvNeXtImageEncoder(), EnhancementArchitecture())
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    told: dict[str, Any] = {
        "kind": "gpu",
        "command": f"python benchmarks/gpu.py --batch {arguments.batch} --size {arguments.size}",
        "machine": f"{card}, torch {torch.__version__}",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "batch": arguments.batch,
        "size": arguments.size,
        "ceilings": top,
        "methods": {},
    }
    for name, network in ((f"tmca-compact {manifest.version}", compact), ("tmca-base", base)):
        told["methods"][name] = measure(name, network, arguments, device, top["bfloat16_flops_per_s"])
        if arguments.json is not None:
            with atomic_write(arguments.json) as file:
                file.write((json.dumps(told, indent=2) + "\n").encode())
    sys.stdout.write(
        f"{told['machine']}, batch {arguments.batch}, {arguments.size} x {arguments.size}; ceilings: "
        f"{top['bfloat16_flops_per_s'] / 1e12:.0f} TFLOP/s in bfloat16, {top['copy_bytes_per_s'] / 1e12:.2f} TB/s\n"
        f"{table(told['methods'])}\n"
    )


def table(methods: dict[str, Any]) -> str:
    """Return a row per network and way."""
    rows = []
    for name, found in methods.items():
        for how in WAYS:
            row = found[how]
            memory = row["peak_memory_gb"]
            of_card = f"{memory:.1f}" if memory is not None else ""
            rows.append((name, how, f"{row['images_per_s']:.0f}", f"{row['mfu']:.1%}", of_card))
    return format_table(("network", "image encoder", "images/s", "MFU", "GB"), rows)


if __name__ == "__main__":
    main()
