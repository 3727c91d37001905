"""How much is lost when the same facts are worded freely, by a writer who did not know the rules that read them.

Usage: python benchmarks/wording.py --data QATA_FOLDER [--split val] [--limit N] [--model NAME] [--part heldout]

benchmarks/wordings.csv holds reports written by hand for the facts that the benchmark's texts state. ``dev``, ``dev2``
and, once held out, ``dev3``, ``heldout`` and ``dev4`` were looked at while the rules were mended. Printed are the share
of texts whose places are read exactly, wrongly and not at all, and the scores with the benchmark's reports, with these
in their place, and without any.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tmca_core.data import open_dataset
from tmca_core.predictor import Predictor
from tmca_core.recipes.evaluate import SplitDone, evaluate, spread
from tmca_core.recipes.reports import ReportMode
from tmca_core.report import parse_report, read_facts, statement
from tmca_core.terminal import ProgressLine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tmca_core.data import Dataset
    from tmca_core.metrics import Scores

WORDINGS = Path(__file__).with_name("wordings.csv")


def places_stated(text: str) -> str:
    """Return the statement of what is read of a text, without the number of areas; "" where no lung is read."""
    return statement(frozenset(replace(finding, count=None) for finding in read_facts(parse_report(text))))


def read_wordings(part: str) -> dict[str, list[str]]:
    """Return the texts of a part, by the places that they were written for."""
    texts = defaultdict(list)
    with WORDINGS.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["part"] == part:
                texts[places_stated(row["facts"])].append(row["text"])
    return dict(texts)


def scores_of(predictor: Predictor, dataset: Dataset, split: str, reports: ReportMode | Mapping[str, str]) -> Scores:
    """Return the scores of one split with one kind of reports."""
    with ProgressLine() as line:
        for event in evaluate(predictor, dataset, splits=[split], reports=reports):
            if isinstance(event, SplitDone):
                return event.scores
            line.show_count(split, event.done, event.total)
    raise RuntimeError("an evaluation ends with the scores of its split")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--model", default="tmca-compact")
    parser.add_argument("--part", choices=("dev", "dev2", "dev3", "dev4", "heldout"), default="heldout")
    arguments = parser.parse_args()
    texts = read_wordings(arguments.part)
    pairs = [(places, text) for places, of_places in texts.items() for text in of_places]
    read = [(places, places_stated(text)) for places, text in pairs]
    num_exact, num_none = sum(stated == places for places, stated in read), sum(not stated for _, stated in read)
    sys.stdout.write(
        f"{arguments.part}: of {len(read)} texts the places are read exactly in {num_exact}, "
        f"wrongly in {len(read) - num_exact - num_none}, not in {num_none}\n"
    )

    dataset, predictor = open_dataset(arguments.data), Predictor.load(arguments.model, device="cpu")
    cases = spread(dataset.split(arguments.split), arguments.limit)
    cases = tuple(case for case in cases if places_stated(case.text) in texts)
    dataset, rng = replace(dataset, cases=cases), np.random.default_rng(0)
    choices = {case.id: texts[places_stated(case.text)] for case in cases}
    free = {case: of_case[int(rng.integers(len(of_case)))] for case, of_case in choices.items()}
    modes: dict[str, ReportMode | Mapping[str, str]] = {
        "the benchmark's report": ReportMode.GIVEN,
        "the same facts, worded freely": free,
        "none": ReportMode.NONE,
    }
    for name, reports in modes.items():
        scores = scores_of(predictor, dataset, arguments.split, reports)
        side = "" if scores.side_accuracy is None else f", side followed {scores.side_accuracy:.1%}"
        sys.stdout.write(
            f"{name:31} n {scores.n:,}, Dice mean {scores.dice_mean:.4f}, pooled {scores.dice_pooled:.4f}{side}\n"
        )


if __name__ == "__main__":
    main()
