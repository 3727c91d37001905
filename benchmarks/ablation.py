"""Which part of the network earns what: the same training with parts switched off, several seeds, equal budget.

Usage: python benchmarks/ablation.py --config configs/benchmarks/ablation.toml --out runs/ablation [--seeds 0 1 2]

Every row sees the same pictures the same number of times, at the same size, and is scored at that size with the reports
given, without any, and with another case's. A finished training is kept as ``scores.json`` in its folder in --out, and
one that was stopped or killed is gone on with: start the same command again. The result so far is stored in --json
after each, seeds in turn, and benchmarks/report.py writes docs/benchmark.md from it. --plan only says what is left.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import platform
import statistics
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tmca_core.atomic import atomic_write
from tmca_core.data import open_dataset
from tmca_core.data.loader import read_samples
from tmca_core.errors import TmcaError
from tmca_core.metrics import Scores
from tmca_core.model.architecture import PreprocessArchitecture
from tmca_core.model.checkpoint import load_model
from tmca_core.recipes.compare import CaseTable, compare
from tmca_core.recipes.evaluate import spread, told_report
from tmca_core.recipes.reports import ReportMode, choose_reports
from tmca_core.recipes.train import EpochDone, TrainingFinished, score_samples, train
from tmca_core.recipes.train_config import read_train_config
from tmca_core.recipes.training_state import STATE
from tmca_core.report import told_sentences
from tmca_core.terminal import format_duration, format_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import PurePath

    from tmca_core.data import Case
    from tmca_core.data.loader import Sample
    from tmca_core.recipes.train_config import TrainConfig


def enhanced(**switches: bool) -> str:
    """Return the override that switches LTEM's parts, at the sizes of ``tmca-compact``."""
    parts = {"align_dim": 64, "attention_dim": 64} | {key: str(value).lower() for key, value in switches.items()}
    return f"model.enhancement={{{', '.join(f'{key}={value}' for key, value in parts.items())}}}"


def aligned(levels: tuple[int, ...], softness: float, *, pixel: bool = True) -> str:
    """Return the override that switches the alignment's parts."""
    use_pixel = str(pixel).lower()
    return f"model.alignment={{levels={list(levels)}, softness={softness}, use_pixel={use_pixel}}}"


NO_ALIGNMENT = "model.alignment={enabled=false}"
VARIANTS: dict[str, tuple[str, ...]] = {
    "image alone": (enhanced(enabled=False), NO_ALIGNMENT),
    "+ report by plain attention to its words": (enhanced(use_target=False), NO_ALIGNMENT),
    "+ LTEM": (NO_ALIGNMENT,),
    "+ alignment at level 4, hard targets": (aligned((4,), 0.0),),
    "+ level 3": (aligned((3, 4), 0.0),),
    "+ level 2": (aligned((2, 3, 4), 0.0),),
    "+ level 1": (aligned((1, 2, 3, 4), 0.0),),
    "+ TSDM's soft targets (all of it)": (),
    "all of it, without the pixel term": (aligned((1, 2, 3, 4), 0.8, pixel=False),),
}
"""Overrides of the configuration, per row."""

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
    parser.add_argument("--limit", type=int, default=714, help="at most N cases of it, evenly spread")
    parser.add_argument("--plan", action="store_true", help="say what is done and what is left, and do nothing")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/ablation.json"))
    return parser.parse_args()


class Judge:
    """The cases that every row is scored on, in memory, at the size of the training."""

    def __init__(self, config: TrainConfig, split: str, limit: int) -> None:
        dataset = open_dataset(config.data.folder, config.data.layout)
        self.cases: Sequence[Case] = spread(dataset.split(split), limit)
        self.size = config.schedule.stages[-1].image_size
        self.batch_size = config.schedule.batch_size
        preprocess = PreprocessArchitecture(image_size=self.size)
        self._samples: list[Sample] = list(read_samples(self.cases, preprocess))
        self._told = []
        for mode in MODES:
            texts = choose_reports(self.cases, mode)
            reports = [told_report(case, texts[case.id]) for case in self.cases]
            self._told.append([() if report is None else told_sentences(report) for report in reports])

    def scores(self, weights: Path) -> dict[str, Any]:
        """Return the scores per mode of the reports, and each case's Dice with its own report."""
        model, _, _ = load_model(weights)
        found = score_samples(model, self._samples, self._told, torch.device("cpu"), self.batch_size, self.size)
        figures: dict[str, Any] = {}
        for mode, scores in zip(MODES, found, strict=True):
            together = Scores.of(scores)
            figures[mode.value] = {"dice_mean": together.dice_mean, "dice_pooled": together.dice_pooled}
        return figures | {"cases": [round(one.dice, 6) for one in found[0]]}


def train_one(config: TrainConfig) -> tuple[Path, float]:
    """Train, or go on, or take what is there; return the weights' folder and the seconds it took in all."""
    seconds, folder = 0.0, Path()
    for event in train(config):
        if isinstance(event, EpochDone):
            sys.stdout.write(f"  epoch {event.epoch} of {event.num_epochs}: Dice mean {event.dice_mean:.4f}\n")
            sys.stdout.flush()
        elif isinstance(event, TrainingFinished):
            folder = event.folder
    for line in (config.run.out / "log.jsonl").read_text(encoding="utf-8").splitlines():
        seconds = max(seconds, float(json.loads(line)["seconds"]))
    return folder, seconds


def plan(arguments: argparse.Namespace) -> Iterator[tuple[str, int, TrainConfig]]:
    """Yield every row and seed with its configuration, seeds in turn: after the first all rows can be compared."""
    for seed in arguments.seeds:
        for name in arguments.variants:
            out = arguments.out / f"{list(VARIANTS).index(name)}-{seed}"
            overrides = [*arguments.set, *VARIANTS[name], f"run.seed={seed}", f"run.out={json.dumps(str(out))}"]
            yield name, seed, read_train_config(arguments.config, overrides)


def stamp(config: TrainConfig, arguments: argparse.Namespace) -> str:
    """Return what tells a stored result from that of other settings."""
    settings = config.model_dump_json(exclude={"run": {"out", "device", "threads", "checkpoint_every"}})
    return hashlib.sha256(f"{settings} {arguments.split} {arguments.limit}".encode()).hexdigest()[:16]


def stored(config: TrainConfig, arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Return the result of a training that is finished and was of these settings."""
    path = config.run.out / "scores.json"
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found if found["settings"] == stamp(config, arguments) else None


def run_one(config: TrainConfig, judge: Judge, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train, score and store one row of one seed."""
    weights, seconds = train_one(config)
    found = {"settings": stamp(config, arguments), "seed": config.run.seed, "seconds": round(seconds, 1)}
    found |= judge.scores(weights)
    with atomic_write(config.run.out / "scores.json") as file:
        file.write((json.dumps(found) + "\n").encode())
    (config.run.out / STATE).unlink(missing_ok=True)  # a hundred megabytes that nothing needs any more
    return found


def summary(
    results: dict[tuple[str, int], dict[str, Any]], config: TrainConfig, arguments: argparse.Namespace, judge: Judge
) -> dict[str, Any]:
    """Return what is stored for the report: rows, how they stand, and what each adds to the one before it.

    Rows are compared where every row has the same seeds.
    """
    names = [name for name in arguments.variants if (name, arguments.seeds[0]) in results]
    seeds = [seed for seed in arguments.seeds if all((name, seed) in results for name in names)]
    keys = [(case.split, case.id) for case in judge.cases]
    patients = {key: case.patient for key, case in zip(keys, judge.cases, strict=True)}
    variants: dict[str, Any] = {}
    tables: list[CaseTable] = []
    for name in names:
        of_seeds = [results[name, seed] for seed in seeds]
        variants[name] = {
            "overrides": VARIANTS[name],
            "seeds": [{k: v for k, v in one.items() if k not in ("cases", "settings")} for one in of_seeds],
        }
        means = np.mean([one["cases"] for one in of_seeds], axis=0)
        tables.append(CaseTable(name, {k: float(v) for k, v in zip(keys, means, strict=True)}, patients))
    told: dict[str, Any] = {
        "kind": "ablation",
        "command": f"python benchmarks/ablation.py --config {_shown(arguments.config)} --seeds "
        + " ".join(map(str, arguments.seeds))
        + "".join(f" --set {override}" for override in arguments.set if "/" not in override),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "data": config.data.folder.name,
        "split": arguments.split,
        "num_cases": len(judge.cases),
        "num_train": config.data.train_limit,
        "image_size": judge.size,
        "num_epochs": config.schedule.num_epochs,
        "size": config.model.size,
        "num_rows": len(arguments.variants),
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
    return told


def table(told: dict[str, Any]) -> str:
    """Return the rows as they are printed."""
    head = ("row", "seeds", "Dice mean", "no report", "another's", "seconds each")
    rows = []
    for name, variant in told["variants"].items():
        of = variant["seeds"]
        cells = [f"{statistics.mean(one[mode.value]['dice_mean'] for one in of):.4f}" for mode in MODES]
        rows.append((name, f"{len(of)}", *cells, f"{statistics.mean(one['seconds'] for one in of):.0f}"))
    return format_table(head, rows)


def main() -> None:
    """Train, score, compare, store."""
    arguments = read_arguments()
    todo = list(plan(arguments))
    results = {(name, seed): found for name, seed, config in todo if (found := stored(config, arguments)) is not None}
    sys.stdout.write(f"{len(results)} of {len(todo)} trainings are finished\n")
    if arguments.plan:
        for name, seed, _ in todo:
            sys.stdout.write(f"  {'done' if (name, seed) in results else 'open'}: seed {seed}, {name}\n")
        return
    config = todo[0][2]
    torch.set_num_threads(config.run.threads or torch.get_num_threads())
    judge = Judge(config, arguments.split, arguments.limit)
    open_ones = [one for one in todo if one[:2] not in results]
    started = time.monotonic()
    for done, (name, seed, of_one) in enumerate(open_ones):
        left = (time.monotonic() - started) / done * (len(open_ones) - done) if done else 0.0
        sys.stdout.write(f"{name}, seed {seed}{f'; {format_duration(left)} left' if done else ''}\n")
        sys.stdout.flush()
        results[name, seed] = run_one(of_one, judge, arguments)
        _store(summary(results, config, arguments, judge), arguments.json)
    told = summary(results, config, arguments, judge)
    _store(told, arguments.json)
    sys.stdout.write(f"{table(told)}\nstored in {arguments.json.name}\n")


def _store(told: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write((json.dumps(told, indent=2) + "\n").encode())


def _shown(path: PurePath) -> str:
    return "/".join(path.parts[-3:])


if __name__ == "__main__":
    try:
        main()
    except TmcaError as error:
        sys.exit(f"error: {error.message}\nhint: {error.hint}")
