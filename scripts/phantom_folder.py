"""Write a data folder of phantoms with healing rib fractures: a finding that tmca-compact was never taught.

Usage: python scripts/phantom_folder.py OUT [--train N] [--test N]

Every phantom has one fracture and no opacity; its mask is the fracture, its report names it. For teaching a new target
in pictures of a kind that the network knows well (docs/how-to/finetune.md).
"""

from __future__ import annotations

import argparse
import csv
import io
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from tmca_core.atomic import atomic_write
from tmca_core.io import write_mask
from tmca_core.phantom import RibFracture, make_phantom

FIRST_SEED = 3_000_000
TARGET = "rib fracture"


def main() -> None:
    """Write pictures, masks and cases.csv."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--train", type=int, default=40)
    parser.add_argument("--test", type=int, default=40)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    sides: tuple[Literal["left", "right"], ...] = ("left", "right")
    rows = []
    for number, split in enumerate(["train"] * options.train + ["test"] * options.test):
        rng = np.random.default_rng(FIRST_SEED + number)
        fracture = RibFracture(sides[rng.integers(2)], int(rng.integers(4, 9)), rng.uniform(0.35, 0.75))
        made = make_phantom(FIRST_SEED + number, findings=(), fractures=(fracture,))
        image, mask = f"{number:04}.png", f"{number:04}_mask.png"
        with atomic_write(options.out / image) as file:
            Image.fromarray(np.asarray(made.scan.pixels)).save(file, format="PNG")
        write_mask(options.out / mask, made.mask, made.scan)
        rows.append((f"{number:04}", image, mask, made.report_text, split, f"phantom {number}", TARGET))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("id", "image", "mask", "text", "split", "patient", "target"))
    writer.writerows(rows)
    with atomic_write(options.out / "cases.csv") as file:
        file.write(text.getvalue().encode())


if __name__ == "__main__":
    main()
