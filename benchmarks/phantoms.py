"""Score a model on digital phantoms that no training has seen: mean, least, and how many fall below the demo's bar.

Usage: python benchmarks/phantoms.py [--model NAME_OR_FOLDER] [--count N]
"""

from __future__ import annotations

import argparse
import statistics
import sys

from tmca_core.metrics import score_case
from tmca_core.model.checkpoint import DEFAULT_MODEL
from tmca_core.phantom import make_phantom
from tmca_core.predictor import Predictor
from tmca_core.report import parse_report

BAR = 0.80  # what `make demo` asks for


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--count", type=int, default=40)
    arguments = parser.parse_args()
    predictor = Predictor.load(arguments.model, device="cpu")
    dice: dict[str, list[float]] = {"given": [], "none": []}
    for seed in range(arguments.count):
        phantom = make_phantom(seed)
        predictor.set_scan(phantom.scan)
        for name, report in (("given", parse_report(phantom.report_text)), ("none", None)):
            dice[name].append(score_case(predictor.predict(report).mask.astype(bool), phantom.mask).dice)
    for name, values in dice.items():
        sys.stdout.write(
            f"{arguments.model}, phantoms 0..{arguments.count - 1}, report {name}: mean Dice "
            f"{statistics.mean(values):.3f}, least {min(values):.3f}, "
            f"{sum(value < BAR for value in values)} below {BAR:.2f}\n"
        )


if __name__ == "__main__":
    main()
