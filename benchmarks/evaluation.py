"""Score a model on data folders by every way to choose the reports, with floors, leaks and surfaces, for the report.

Usage: python benchmarks/evaluation.py FOLDER:SPLIT... [--model NAME] [--limit N] [--json FILE]

Each line is what `tmca evaluate --data FOLDER --split SPLIT --reports all --surface --trust --floors --without-leaks`
gives. What is finished is kept in --json, and a run that was stopped goes on from there if the weights are the same.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tmca_core.atomic import atomic_write
from tmca_core.data import open_dataset
from tmca_core.data.leaks import leaked_cases, read_fingerprints
from tmca_core.errors import TmcaError
from tmca_core.predictor import Predictor
from tmca_core.recipes.evaluate import SplitDone, evaluate
from tmca_core.recipes.evaluate_more import More
from tmca_core.recipes.reports import ReportMode

if TYPE_CHECKING:
    from tmca_core.data import Dataset

EVERYTHING = More(surface=True, trust=True, floors=True)


def read_arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", metavar="FOLDER:SPLIT")
    parser.add_argument("--model", default="tmca-compact")
    parser.add_argument("--limit", type=int, help="at most N cases of each split")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/evaluation.json"))
    return parser.parse_args()


def score(
    predictor: Predictor,
    dataset: Dataset,
    split: str,
    mode: ReportMode,
    limit: int | None,
    leaks: frozenset[tuple[str, str]],
) -> dict[str, Any]:
    """Return what one mode of the reports gives on one split; beside Dice and IoU with the own reports alone."""
    more = EVERYTHING if mode is ReportMode.GIVEN else More()
    events = evaluate(predictor, dataset, splits=[split], reports=mode, limit=limit, more=more, leaks=leaks)
    (done,) = (event for event in events if isinstance(event, SplitDone))
    return done.as_json()


def main() -> None:
    """Score, say, store."""
    arguments = read_arguments()
    torch.set_num_threads(arguments.threads)
    predictor = Predictor.load(arguments.model)
    told: dict[str, Any] = {
        "kind": "evaluation",
        "model": f"{predictor.info.name} {predictor.info.version}",
        "weights": predictor.info.weights_sha256,
        "limit": arguments.limit,
        "command": "python benchmarks/evaluation.py FOLDER:SPLIT",
        "machine": f"{platform.machine()}, {arguments.threads} threads, torch {torch.__version__}",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "folders": {},
    }
    if arguments.json.is_file():
        before = json.loads(arguments.json.read_text(encoding="utf-8"))
        if (before["weights"], before["limit"]) == (told["weights"], told["limit"]):
            told["folders"] = before["folders"]
    for folder, _, split in (text.rpartition(":") for text in arguments.folders):
        dataset = open_dataset(folder)
        results: dict[str, Any] = told["folders"].setdefault(f"{dataset.folder.name}, {split}", {})
        missing = [mode for mode in ReportMode if mode.value not in results]
        if missing:
            prints = {image: found for image, found in read_fingerprints(dataset) if found is not None}
            leaks = leaked_cases(dataset, prints)
        for mode in missing:
            results[mode.value] = score(predictor, dataset, split, mode, arguments.limit, leaks)
            dice = results[mode.value]["dice_mean"], results[mode.value]["dice_pooled"]
            sys.stdout.write(
                f"{dataset.folder.name}, {split}, {mode.value}: {dice[0]:.4f} mean, {dice[1]:.4f} pooled\n"
            )
            sys.stdout.flush()
            arguments.json.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(arguments.json) as file:
                file.write((json.dumps(told, indent=1) + "\n").encode())


if __name__ == "__main__":
    try:
        main()
    except TmcaError as error:
        sys.exit(f"error: {error.message}\nhint: {error.hint}")
