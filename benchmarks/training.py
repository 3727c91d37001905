"""Speed of our network against a plain U-Net and, where a checkout is given, LanGuideMedSeg and LViT, as ratios.

Usage: python benchmarks/training.py [--languidemedseg CHECKOUT] [--lvit CHECKOUT] [--batch N] [--rounds N]

All methods take their steps in turn, in one process, at equal batch and 224 x 224: machines differ and are shared. A
training step is a whole one, forward, backward and update; a prediction is of one picture and one text. The project
wants 3 times LanGuideMedSeg's training images/s, 3 times its speed of prediction, and 8 times LViT's.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent / "peers"))  # run as a script, beside a folder of scripts

from run import SIZE, makers, measure, origin, read_arguments, store, table

from tmca_core.errors import TmcaError


def main() -> None:
    """Print the table."""
    arguments = read_arguments(__doc__)
    torch.set_num_threads(arguments.threads)
    results = measure(makers(arguments), arguments)
    told = {"kind": "speed", **origin(arguments, "benchmarks/training.py"), "methods": results}
    sys.stdout.write(f"{told['machine']}, batch {arguments.batch}, {SIZE} x {SIZE}\n{table(results)}\n")
    store(told, arguments.json)


if __name__ == "__main__":
    try:
        main()
    except TmcaError as error:
        sys.exit(f"error: {error.message}\nhint: {error.hint}")
