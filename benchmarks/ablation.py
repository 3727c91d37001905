"""Which part of the network earns what: the same training with parts switched off, several seeds, equal budget.

Usage: python benchmarks/ablation.py --config configs/benchmarks/ablation.toml --out runs/ablation [--seeds 0 1 2]

Every variant and seed is a training of its own in --out, and is gone on with after an interruption. The network of each
is scored with the reports given, without any, and with another case's; the result is stored in --json, from which
benchmarks/report.py writes docs/benchmark.md.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tmca_core.atomic import atomic_write
from tmca_core.data import open_dataset
from tmca_core.errors import TmcaError
from tmca_core.predictor import Predictor
from tmca_core.recipes.compare import CaseTable, compare
from tmca_core.recipes.evaluate import CaseDone, SplitDone, evaluate
from tmca_core.recipes.reports import ReportMode
from tmca_core.recipes.train import EpochDone, TrainingFinished, train
from tmca_core.recipes.train_config import read_train_config

if TYPE_CHECKING:
    from pathlib import PurePath

    from tmca_core.data import Dataset
    from tmca_core.recipes.train_config import TrainConfig

NO_ALIGNMENT = "model.alignment={enabled=false}"


def aligned(levels: tuple[int, ...], softness: float, *, pixel: bool = True) -> str:
    """Return the override that switches the alignment's parts."""
    use_pixel = str(pixel).lower()
    return f"model.alignment={{levels={list(levels)}, softness={softness}, use_pixel={use_pixel}}}"


VARIANTS: dict[str, tuple[str, ...]] = {
    "image alone": ("model.enhancement={enabled=false}", NO_ALIGNMENT),
    "+ report through LTEM": (NO_ALIGNMENT,),
    "+ alignment at level 4, hard targets": (aligned((4,), 0.0),),
    "+ level 3": (aligned((3, 4), 0.0),),
    "+ level 2": (aligned((2, 3, 4), 0.0),),
    "+ level 1": (aligned((1, 2, 3, 4), 0.0),),
    "+ TSDM's soft targets (all of it)": (),
    "all of it, without the pixel term": (aligned((1, 2, 3, 4), 0.8, pixel=False),),
}
"""Overrides of the configuration. The report enters the network through LTEM alone, so these two are one step."""

MODES = (ReportMode.GIVEN, ReportMode.NONE, ReportMode.SHUFFLED)


def read_arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder for the trainings")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="replace a value of the file")
    parser.add_argument("--split", default="val", help="to score on")
    parser.add_argument("--limit", type=int, help="at most N cases of it")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/ablation.json"))
    return parser.parse_args()


def train_one(config: TrainConfig) -> tuple[Path, float]:
    """Train, or go on, or take what is there; return the weights' folder and the seconds it took in all."""
    seconds, folder = 0.0, Path()
    for event in train(config):
        if isinstance(event, EpochDone):
            sys.stdout.write(f"  epoch {event.epoch} of {event.num_epochs}: Dice mean {event.dice_mean:.4f}\n")
        elif isinstance(event, TrainingFinished):
            folder = event.folder
    for line in (config.run.out / "log.jsonl").read_text(encoding="utf-8").splitlines():
        seconds = max(seconds, float(json.loads(line)["seconds"]))
    return folder, seconds


def score(weights: Path, dataset: Dataset, split: str, limit: int | None) -> tuple[dict[str, Any], list[CaseDone]]:
    """Return the scores per mode of the reports, and the cases with their own reports."""
    predictor = Predictor.load(str(weights))
    figures: dict[str, Any] = {}
    given: list[CaseDone] = []
    for mode in MODES:
        for event in evaluate(predictor, dataset, splits=[split], reports=mode, limit=limit):
            if isinstance(event, SplitDone):
                figures[mode.value] = {"dice_mean": event.scores.dice_mean, "dice_pooled": event.scores.dice_pooled}
            elif isinstance(event, CaseDone) and mode is ReportMode.GIVEN:
                given.append(event)
    return figures, given


def run_variant(name: str, arguments: argparse.Namespace, dataset: Dataset) -> tuple[dict[str, Any], CaseTable]:
    """Return the figures of one variant per seed, and its cases' Dice, averaged over the seeds."""
    seeds, dice = [], []
    keys: list[tuple[str, str]] = []
    patients: dict[tuple[str, str], str] = {}
    for seed in arguments.seeds:
        out = arguments.out / f"{list(VARIANTS).index(name)}-{seed}"
        overrides = [*arguments.set, *VARIANTS[name], f"run.seed={seed}", f"run.out={json.dumps(str(out))}"]
        sys.stdout.write(f"{name}, seed {seed}\n")
        weights, seconds = train_one(read_train_config(arguments.config, overrides))
        figures, cases = score(weights, dataset, arguments.split, arguments.limit)
        seeds.append({"seed": seed, "seconds": round(seconds, 1), **figures})
        keys = [(one.case.split, one.case.id) for one in cases]
        patients = {(one.case.split, one.case.id): one.case.patient for one in cases}
        dice.append([one.score.dice for one in cases])
    means = np.mean(dice, axis=0)
    values = {key: float(value) for key, value in zip(keys, means, strict=True)}
    return {"overrides": VARIANTS[name], "seeds": seeds}, CaseTable(name, values, patients)


def main() -> None:
    """Train, score, compare, store."""
    arguments = read_arguments()
    config = read_train_config(arguments.config, [*arguments.set, f"run.out={json.dumps(str(arguments.out))}"])
    dataset = open_dataset(config.data.folder, config.data.layout)
    variants: dict[str, Any] = {}
    tables: list[CaseTable] = []
    for name in arguments.variants:
        variants[name], table = run_variant(name, arguments, dataset)
        tables.append(table)
    told: dict[str, Any] = {
        "kind": "ablation",
        "command": f"python benchmarks/ablation.py --config {_shown(arguments.config)} --seeds "
        + " ".join(map(str, arguments.seeds))
        + "".join(f" --set {override}" for override in arguments.set if "/" not in override),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "data": config.data.folder.name,
        "split": arguments.split,
        "num_cases": len(tables[0].values),
        "num_epochs": config.schedule.num_epochs,
        "size": config.model.size,
        "variants": variants,
        "steps": [],
    }
    if len(tables) > 1:
        found = compare(tables)
        told["standings"] = {one.name: [one.mean, one.low, one.high, one.rank_one] for one in found.standings}
        for before, after in pairwise(tables):
            (step,) = compare([before, after]).differences
            sign = 1.0 if step.first == after.name else -1.0
            ends = sorted((sign * step.low, sign * step.high))
            told["steps"].append([before.name, after.name, sign * step.mean, *ends, step.is_told_apart])
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(arguments.json) as file:
        file.write((json.dumps(told, indent=2) + "\n").encode())
    sys.stdout.write(f"stored in {arguments.json}\n")


def _shown(path: PurePath) -> str:
    return "/".join(path.parts[-3:])


if __name__ == "__main__":
    try:
        main()
    except TmcaError as error:
        sys.exit(f"error: {error.message}\nhint: {error.hint}")
