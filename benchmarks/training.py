"""Training images/s of our network against a plain U-Net and, where a checkout is given, LanGuideMedSeg, as ratios.

Usage: python benchmarks/training.py [--languidemedseg CHECKOUT] [--lvit CHECKOUT] [--batch N] [--rounds N]

All methods take their steps in turn, in one process, at equal batch and 224 x 224: machines differ and are shared.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent / "peers"))  # run as a script, beside a folder of scripts

from measure import in_turn, made_up_batch
from methods import Ours
from run import SIZE, makers, read_arguments


def main() -> None:
    """Print the table."""
    arguments = read_arguments()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    built = {name: make() for name, make in makers(arguments).items()}
    images, texts, masks = made_up_batch(arguments.batch, SIZE)
    steps = {name: (lambda m=method: m.train_step(images, texts, masks)) for name, method in built.items()}
    seconds = in_turn(steps, arguments.rounds)
    sys.stdout.write(f"{arguments.threads} threads, torch {torch.__version__}, batch {arguments.batch}, {SIZE} px\n")
    for name, taken in seconds.items():
        ratio = taken / seconds[Ours.name]
        sys.stdout.write(f"{name:>16}: {arguments.batch / taken:6.2f} images/s; ours is {ratio:.2f} x as fast\n")


if __name__ == "__main__":
    main()
