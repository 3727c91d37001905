"""Does the network ever wait for its batches? How fast they are prepared, against how fast it trains on them.

Usage: python benchmarks/loader.py [--model NAME] [--device auto] [--batch 32] [--size 224] [--rounds N] [--json FILE]

What happens to each picture is drawn and its report is written anew, as a training with all of that switched on does;
pixels are moved where the network computes, as part of its step. On a CPU batches are prepared between two steps, since
workers would take the network's cores; elsewhere ahead of the step that needs them, in processes or threads. `tmca
train` logs the share of the time that was waited as ``waiting_share``, too.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent / "peers"))  # run as a script, beside a folder of scripts

from methods import Ours
from run import origin, store

from tmca_core.data.augment import AugmentConfig
from tmca_core.data.loader import phantom_samples
from tmca_core.data.telling import Teller, TellingConfig
from tmca_core.device import choose_device, trains_in_bfloat16
from tmca_core.model.architecture import PreprocessArchitecture
from tmca_core.recipes.batches import PreparedBatch, batch_workers, batches_ahead, prepare_batch, show
from tmca_core.recipes.train import make_optimizer
from tmca_core.recipes.train_config import ScheduleConfig

TELLING = TellingConfig(dropout=0.2, mismatch=0.15, rewrite=0.45, denied=0.03, statement=0.75)


def read_arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tmca-compact")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--note", help="about the machine")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Print and store."""
    arguments = read_arguments()
    torch.set_num_threads(arguments.threads)
    device = choose_device(arguments.device)
    preprocess = PreprocessArchitecture(image_size=arguments.size)
    samples = list(phantom_samples(range(arguments.batch), preprocess))
    teller = Teller(samples, TELLING)
    network = Ours(arguments.model, "auto").network.to(device).train()
    optimizer = make_optimizer(network, ScheduleConfig())

    augmentation = AugmentConfig(flip=0.5)

    def prepare(seed: int) -> PreparedBatch:
        generator = torch.Generator().manual_seed(seed)
        return prepare_batch(samples, arguments.size, augmentation, teller, network.tokenizer, generator)

    def train_step(prepared: PreparedBatch) -> None:
        shown = show(prepared, device)
        with torch.autocast(device.type, torch.bfloat16, enabled=trains_in_bfloat16("auto", device)):
            output = network(shown.images, shown.tokens)
        loss = network.loss(output, shown.masks, shown.is_own).total
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        float(loss.detach())  # waits for the device

    workers, num_images = batch_workers(device), arguments.batch * arguments.rounds
    waited = spent = 0.0
    started = time.perf_counter()
    for number, (batch, seconds) in enumerate(batches_ahead(prepare, range(arguments.rounds + 1), device)):
        train_step(batch)
        if number:  # the first is to warm up
            waited, spent = waited + seconds, spent + time.perf_counter() - started
        started = time.perf_counter()
    for seed in range(arguments.rounds):
        prepare(seed)
    prepared = num_images / (time.perf_counter() - started)
    told_all = {
        "kind": "loader",
        **origin(arguments, "benchmarks/loader.py"),
        "size": arguments.size,
        "device": device.type,
        "workers_ahead": workers,
        "prepared_images_per_s": prepared,
        "trained_images_per_s": num_images / spent,
        "waiting_share": waited / spent,
    }
    how = f"by {workers} workers ahead of the step" if workers else "between two steps"
    sys.stdout.write(
        f"{told_all['machine']}, batch {arguments.batch}, {arguments.size} px, {device.type}\n"
        f"one core prepares {prepared:.0f} images/s; the network trains {num_images / spent:.1f} images/s\n"
        f"prepared {how}, {waited / spent:.1%} of the time is waited for batches\n"
    )
    store(told_all, arguments.json)


if __name__ == "__main__":
    main()
