"""Store what `tmca evaluate --json` measured with a model, so that `tmca models` and the card can tell it.

Usage: python scripts/store_figures.py MODEL_FOLDER NAME=scores.json [NAME=scores.json ...]

NAME says what was measured, such as qata_cov19 or qata_cov19_shuffled; the split's name is added to it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from tmca_core.model.checkpoint import read_manifest, save_calibration

KEPT = ("n", "dice_mean", "dice_pooled", "side_accuracy")


def figures_of(name: str, file: Path) -> dict[str, dict[str, Any]]:
    """Return the figures of every split in a file of scores."""
    splits: dict[str, dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    return {
        f"{name}_{split}": {key: scores[key] for key in KEPT if scores.get(key) is not None}
        for split, scores in splits.items()
    }


def main() -> None:
    """Add the figures to the manifest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("scores", nargs="+", metavar="NAME=FILE")
    arguments = parser.parse_args()
    figures: dict[str, dict[str, Any]] = {}
    for pair in arguments.scores:
        name, _, file = pair.partition("=")
        figures |= figures_of(name, Path(file))
    save_calibration(arguments.model, read_manifest(arguments.model).calibration, figures)


if __name__ == "__main__":
    main()
