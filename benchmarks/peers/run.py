"""Peers side by side: weights, training images/s, inference ms, memory; with --data also Dice after an equal training.

Usage: python benchmarks/peers/run.py [--lvit CHECKOUT] [--languidemedseg CHECKOUT]
           [--data FOLDER (--steps N | --cpu-minutes M)] [--json FILE] [--cases DIR]

All methods are timed in turn, in one process. With --data each is trained from random weights on the same batches in
the same order, either for the same number of steps or for the same time of the processor, with the same schedule, and
is scored on the val split; a paired bootstrap over patients says which of them can be told apart. With --cases DIR a
table per method is written for ``tmca compare``. Short trainings say little about long ones.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import io
import json
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from measure import in_turn, made_up_batch, peak_memory_mb
from methods import LanGuideMedSeg, LViT, Method, Ours, UNet

from tmca_core.atomic import atomic_write
from tmca_core.data import open_dataset
from tmca_core.data.loader import collate, epoch_order, read_samples
from tmca_core.errors import TmcaError
from tmca_core.metrics import CaseScore, Scores, score_case
from tmca_core.model.architecture import PreprocessArchitecture
from tmca_core.model.checkpoint import find_model, read_manifest
from tmca_core.recipes.compare import CaseTable, compare
from tmca_core.recipes.evaluate import spread
from tmca_core.recipes.train import learning_rate_factor
from tmca_core.terminal import format_table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tmca_core.data import Case
    from tmca_core.data.loader import Sample

SIZE = 224
EVALUATION_BATCH = 8
WARM_UP = 0.1  # share of the training


def read_arguments(description: str | None = __doc__) -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lvit", type=Path, help="checkout of LViT")
    parser.add_argument("--languidemedseg", type=Path, help="checkout of LanGuideMedSeg-MICCAI2023")
    parser.add_argument("--model", default="tmca-compact", help="whose architecture is ours; or tiny")
    parser.add_argument("--precision", choices=("auto", "bfloat16", "float32"), default="auto", help="of our training")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-memory", action="store_true", help="start no process to measure memory")
    parser.add_argument("--note", help="about the machine, to be stored")
    parser.add_argument("--json", type=Path)
    training = parser.add_argument_group("training")
    training.add_argument("--data", type=Path, help="data folder to train and score on")
    training.add_argument("--steps", type=int, default=100, help="of each method")
    training.add_argument("--cpu-minutes", type=float, help="of each method, in the place of --steps")
    training.add_argument("--limit", type=int, help="at most N cases of the train split")
    training.add_argument("--val-limit", type=int, help="at most N cases of the val split")
    training.add_argument("--cases", type=Path, help="folder for a table of cases per method")
    parser.add_argument("--only", help=argparse.SUPPRESS)  # a child process that measures one method's memory
    return parser.parse_args()


def makers(arguments: argparse.Namespace) -> dict[str, Callable[[], Method]]:
    """Return how to build each method that was asked for."""
    found: dict[str, Callable[[], Method]] = {
        Ours.name: lambda: Ours(arguments.model, arguments.precision),
        UNet.name: UNet,
    }
    if arguments.lvit:
        found[LViT.name] = lambda: LViT(arguments.lvit)
    if arguments.languidemedseg:
        found[LanGuideMedSeg.name] = lambda: LanGuideMedSeg(arguments.languidemedseg)
    return found


def memory_of(name: str) -> float | None:
    """Return the peak memory of a fresh process that trains and predicts one batch with one method."""
    command = [sys.executable, str(Path(__file__)), *sys.argv[1:], "--only", name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    value: float | None = json.loads(done.stdout.splitlines()[-1])
    return value


def train(
    method: Method, samples: Sequence[Sample], texts: Sequence[str], arguments: argparse.Namespace
) -> dict[str, Any]:
    """Train on the same batches as every other method until the budget is spent.

    The time of the processor counts, not that of the clock, which other programs share.
    """
    budget_s = None if arguments.cpu_minutes is None else 60.0 * arguments.cpu_minutes
    losses: list[float] = []
    order: list[int] = []
    epoch = 0
    started = time.process_time()
    while True:
        spent_s = time.process_time() - started
        progress = len(losses) / arguments.steps if budget_s is None else spent_s / budget_s
        if progress >= 1.0:
            break
        if len(order) < arguments.batch:
            order += epoch_order(len(samples), seed=arguments.seed, epoch=epoch)
            epoch += 1
        chosen, order = order[: arguments.batch], order[arguments.batch :]
        batch = collate([samples[i] for i in chosen], SIZE)
        factor = learning_rate_factor(int(1000 * progress), 1000, WARM_UP)
        losses.append(method.train_step(batch.images, [texts[i] for i in chosen], batch.masks, factor))
    last = losses[-max(len(losses) // 10, 1) :]
    return {
        "steps": len(losses),
        "images_seen": len(losses) * arguments.batch,
        "cpu_minutes": (time.process_time() - started) / 60.0,
        "loss": sum(last) / len(last),
    }


def score(method: Method, samples: Sequence[Sample], texts: Sequence[str]) -> list[CaseScore]:
    """Return the score of each sample at the size of the network."""
    scores = []
    for first in range(0, len(samples), EVALUATION_BATCH):
        part = slice(first, first + EVALUATION_BATCH)
        batch = collate(samples[part], SIZE)
        for mask, reference in zip(method.predict(batch.images, texts[part]), batch.masks, strict=True):
            scores.append(score_case(mask[0].numpy(), reference[0].numpy() >= 0.5))
    return scores


def write_cases(path: Path, cases: Sequence[Case], scores: Sequence[CaseScore]) -> None:
    """Write what ``tmca compare`` reads."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(("split", "id", "patient", "dice", "iou", "num_predicted", "num_reference"))
    for case, one in zip(cases, scores, strict=True):
        row = (case.split, case.id, case.patient, round(one.dice, 6), round(one.iou, 6))
        writer.writerow((*row, one.num_predicted, one.num_reference))
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())


def train_and_score(methods: dict[str, Callable[[], Method]], arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the scores on val after the same training, per method, and how they stand to each other."""
    dataset = open_dataset(arguments.data)
    parts = {
        "train": spread(dataset.split("train"), arguments.limit),
        "val": spread(dataset.split("val"), arguments.val_limit),
    }
    preprocess = PreprocessArchitecture(image_size=SIZE)
    samples = {split: list(read_samples(cases, preprocess)) for split, cases in parts.items()}
    texts = {split: [f"{c.instruction} {c.text}".strip() for c in cases] for split, cases in parts.items()}
    results: dict[str, Any] = {}
    tables: list[CaseTable] = []
    for name, make in methods.items():
        torch.manual_seed(arguments.seed)
        method = make()
        trained = train(method, samples["train"], texts["train"], arguments)
        method.finish()
        scores = score(method, samples["val"], texts["val"])
        together = Scores.of(scores)
        results[name] = trained | {"dice_mean": together.dice_mean, "dice_pooled": together.dice_pooled}
        sys.stderr.write(f"{name}: {trained['steps']:,} steps, Dice mean {together.dice_mean:.4f}\n")
        keys = [(case.split, case.id) for case in parts["val"]]
        values = {key: one.dice for key, one in zip(keys, scores, strict=True)}
        tables.append(CaseTable(name, values, {key: c.patient for key, c in zip(keys, parts["val"], strict=True)}))
        if arguments.cases:
            arguments.cases.mkdir(parents=True, exist_ok=True)
            write_cases(arguments.cases / f"{name.lower()}.csv", parts["val"], scores)
    found = compare(tables)
    for standing in found.standings:
        results[standing.name] |= {"dice_mean_ci95": [standing.low, standing.high], "rank_one": standing.rank_one}
    return {
        "data": dataset.folder.name,
        "num_train": len(parts["train"]),
        "num_cases": found.num_cases,
        "num_patients": found.num_patients,
        "budget": f"{arguments.steps:,} steps"
        if arguments.cpu_minutes is None
        else f"{arguments.cpu_minutes:g} minutes of the processor",
        "differences": [difference.sentence for difference in found.differences],
        "results": results,
    }


def measure(methods: dict[str, Callable[[], Method]], arguments: argparse.Namespace) -> dict[str, Any]:
    """Return weights, images/s and ms of each method, timed in turn."""
    torch.manual_seed(arguments.seed)
    built = {name: make() for name, make in methods.items()}
    images, texts, masks = made_up_batch(arguments.batch, SIZE)
    steps = {n: (lambda m=m: m.train_step(images, texts, masks)) for n, m in built.items()}
    train_s = in_turn(steps, arguments.rounds)
    for method in built.values():
        method.finish()
    predictions = {n: (lambda m=m: m.predict(images[:1], texts[:1])) for n, m in built.items()}
    predict_s = in_turn(predictions, 3 * arguments.rounds, warm_up=2)
    return {
        name: {
            "weights": method.num_weights,
            "trained_weights": method.num_trained,
            "train_images_per_s": arguments.batch / train_s[name],
            "inference_ms": 1e3 * predict_s[name],
            "note": method.note,
        }
        for name, method in built.items()
    }


def table(results: dict[str, Any]) -> str:
    """Return the rows, with ratios to ours."""
    ours = results[Ours.name]
    columns = ["method", "weights (M)", "train images/s", "ours is", "inference ms", "ours is"]
    columns += ["peak MB"] if "peak_memory_mb" in ours else []
    columns += ["steps", "Dice mean", "95 %", "Dice pooled", "rank one"] if "dice_mean" in ours else []
    rows = []
    for name, r in results.items():
        faster = ours["train_images_per_s"] / r["train_images_per_s"], r["inference_ms"] / ours["inference_ms"]
        row = [name, f"{r['weights'] / 1e6:.1f}", f"{r['train_images_per_s']:.2f}", f"{faster[0]:.2f} x"]
        row += [f"{r['inference_ms']:.1f}", f"{faster[1]:.2f} x"]
        if "peak_memory_mb" in r:
            row.append("-" if r["peak_memory_mb"] is None else f"{r['peak_memory_mb']:,.0f}")
        if "dice_mean" in r:
            low, high = r["dice_mean_ci95"]
            row += [f"{r['steps']:,}", f"{r['dice_mean']:.4f}", f"{low:.3f}-{high:.3f}", f"{r['dice_pooled']:.4f}"]
            row.append(f"{r['rank_one']:.1%}")
        rows.append(row)
    return format_table(columns, rows)


def origin(arguments: argparse.Namespace, script: str) -> dict[str, Any]:
    """Return what was run, on what, and when."""
    machine = f"{platform.machine()}, {arguments.threads} threads, torch {torch.__version__}"
    model = (
        "tiny"
        if arguments.model == "tiny"
        else "{0.name} {0.version}".format(read_manifest(find_model(arguments.model)))
    )
    return {
        "command": " ".join([f"python {script}", *_without_folders(arguments)]),
        "machine": f"{machine}, {arguments.note}" if arguments.note else machine,
        "model": model,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "batch": arguments.batch,
    }


def store(told: dict[str, Any], path: Path | None) -> None:
    """Write the result where it was asked for."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write((json.dumps(told, indent=2) + "\n").encode())


def main() -> None:
    """Measure, print, store."""
    arguments = read_arguments()
    torch.set_num_threads(arguments.threads)
    methods = makers(arguments)
    if arguments.only:
        method = methods[arguments.only]()
        images, texts, masks = made_up_batch(arguments.batch, SIZE)
        method.train_step(images, texts, masks)
        method.finish()
        method.predict(images[:1], texts[:1])
        sys.stdout.write(json.dumps(peak_memory_mb()) + "\n")
        return
    results = measure(methods, arguments)
    if not arguments.no_memory:
        for name in methods:
            results[name]["peak_memory_mb"] = memory_of(name)
    told = {"kind": "peers", **origin(arguments, "benchmarks/peers/run.py")}
    if arguments.data:
        trained = train_and_score(methods, arguments)
        for name, scores in trained.pop("results").items():
            results[name] |= scores
        told |= trained
    told["methods"] = results
    sys.stdout.write(f"{told['machine']}, batch {arguments.batch}, {SIZE} x {SIZE}\n{table(results)}\n")
    for line in told.get("differences", []):
        sys.stdout.write(line + "\n")
    for name, result in results.items():
        if result["note"]:
            sys.stdout.write(f"{name}: {result['note']}\n")
    store(told, arguments.json)


def _without_folders(arguments: argparse.Namespace) -> list[str]:
    """Return the command line as others may read it: no folder of this machine."""
    shown = []
    for name, value in vars(arguments).items():
        if value not in (None, False) and name not in ("json", "cases", "only", "note"):
            if value is True:
                shown.append(f"--{name.replace('_', '-')}")
                continue
            option = Path(value).name if name in ("data", "lvit", "languidemedseg", "model") else str(value)
            shown += [f"--{name.replace('_', '-')}", option]
    return shown


if __name__ == "__main__":
    try:
        main()
    except TmcaError as error:
        sys.exit(f"error: {error.message}\nhint: {error.hint}")
