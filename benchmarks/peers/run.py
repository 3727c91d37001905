"""Peers side by side: weights, training images/s, inference ms, memory; with --data also Dice after an equal training.

Usage: python benchmarks/peers/run.py [--lvit CHECKOUT] [--languidemedseg CHECKOUT] [--data FOLDER --steps N]

With --data every method sees the same batches in the same order, from random weights, and is scored on the val split;
with --cases DIR a table per method is written for ``tmca compare``. Short trainings say little about long ones.
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
from tmca_core.terminal import format_table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tmca_core.data import Case
    from tmca_core.data.loader import Sample

SIZE = 224
EVALUATION_BATCH = 8


def read_arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lvit", type=Path, help="checkout of LViT")
    parser.add_argument("--languidemedseg", type=Path, help="checkout of LanGuideMedSeg-MICCAI2023")
    parser.add_argument("--size", choices=("compact", "tiny"), default="compact", help="our network")
    parser.add_argument("--precision", choices=("bfloat16", "float32"), default="bfloat16", help="of our training")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--data", type=Path, help="data folder to train and score on")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--limit", type=int, default=0, help="at most N cases of each split")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=Path, help="folder for a table of cases per method")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", help=argparse.SUPPRESS)  # a child process that measures one method's memory
    return parser.parse_args()


def makers(arguments: argparse.Namespace) -> dict[str, Callable[[], Method]]:
    """Return how to build each method that was asked for."""
    found: dict[str, Callable[[], Method]] = {
        Ours.name: lambda: Ours(arguments.size, arguments.precision),
        UNet.name: UNet,
    }
    if arguments.lvit:
        found[LViT.name] = lambda: LViT(arguments.lvit)
    if arguments.languidemedseg:
        found[LanGuideMedSeg.name] = lambda: LanGuideMedSeg(arguments.languidemedseg)
    return found


def memory_of(name: str) -> float | None:
    """Return the peak memory of a fresh process that trains and predicts one batch with one method."""
    command = [sys.executable, __file__, *sys.argv[1:], "--only", name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    value: float | None = json.loads(done.stdout.splitlines()[-1])
    return value


def train(method: Method, samples: Sequence[Sample], texts: Sequence[str], arguments: argparse.Namespace) -> float:
    """Train on the same batches as every other method; return the mean loss of the last tenth."""
    losses: list[float] = []
    order: list[int] = []
    epoch = 0
    for _ in range(arguments.steps):
        if len(order) < arguments.batch:
            order += epoch_order(len(samples), seed=arguments.seed, epoch=epoch)
            epoch += 1
        chosen, order = order[: arguments.batch], order[arguments.batch :]
        batch = collate([samples[i] for i in chosen], SIZE)
        losses.append(method.train_step(batch.images, [texts[i] for i in chosen], batch.masks))
    last = losses[-max(len(losses) // 10, 1) :]
    return sum(last) / len(last)


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


def some(cases: Sequence[Case], limit: int) -> list[Case]:
    """Return ``limit`` cases spread over all, or all for 0."""
    n = len(cases)
    return list(cases) if not limit or limit >= n else [cases[i * n // limit] for i in range(limit)]


def train_and_score(methods: dict[str, Callable[[], Method]], arguments: argparse.Namespace) -> dict[str, Any]:
    """Return per method the scores on val after the same training."""
    dataset = open_dataset(arguments.data)
    parts = {split: some(dataset.split(split), arguments.limit) for split in ("train", "val")}
    preprocess = PreprocessArchitecture(image_size=SIZE)
    samples = {split: list(read_samples(cases, preprocess)) for split, cases in parts.items()}
    texts = {split: [f"{c.instruction} {c.text}".strip() for c in cases] for split, cases in parts.items()}
    results: dict[str, Any] = {}
    for name, make in methods.items():
        torch.manual_seed(arguments.seed)
        method = make()
        loss = train(method, samples["train"], texts["train"], arguments)
        scores = score(method, samples["val"], texts["val"])
        together = Scores.of(scores)
        results[name] = {"loss": loss, "dice_mean": together.dice_mean, "dice_pooled": together.dice_pooled}
        if arguments.cases:
            arguments.cases.mkdir(parents=True, exist_ok=True)
            write_cases(arguments.cases / f"{name.lower()}.csv", parts["val"], scores)
    return results


def measure(methods: dict[str, Callable[[], Method]], arguments: argparse.Namespace) -> dict[str, Any]:
    """Return weights, images/s, ms and MB of each method, timed in turn."""
    torch.manual_seed(arguments.seed)
    built = {name: make() for name, make in methods.items()}
    images, texts, masks = made_up_batch(arguments.batch, SIZE)
    steps = {n: (lambda m=m: m.train_step(images, texts, masks)) for n, m in built.items()}
    train_s = in_turn(steps, arguments.rounds)
    predictions = {n: (lambda m=m: m.predict(images[:1], texts[:1])) for n, m in built.items()}
    predict_s = in_turn(predictions, 3 * arguments.rounds)
    return {
        name: {
            "weights": method.num_weights,
            "trained_weights": method.num_trained,
            "train_images_per_s": arguments.batch / train_s[name],
            "inference_ms": 1e3 * predict_s[name],
            "peak_memory_mb": memory_of(name),
            "note": method.note,
        }
        for name, method in built.items()
    }


def table(results: dict[str, Any]) -> str:
    """Return the rows, with ratios to ours."""
    ours = results[Ours.name]
    head = ["method", "weights (M)", "train images/s", "ours is", "inference ms", "ours is", "peak MB"]
    has_dice = "dice_mean" in ours
    head += ["Dice mean", "Dice pooled"] if has_dice else []
    rows = []
    for name, r in results.items():
        memory = "-" if r["peak_memory_mb"] is None else f"{r['peak_memory_mb']:,.0f}"
        faster = ours["train_images_per_s"] / r["train_images_per_s"], r["inference_ms"] / ours["inference_ms"]
        row = [name, f"{r['weights'] / 1e6:.1f}", f"{r['train_images_per_s']:.2f}", f"{faster[0]:.2f} x"]
        row += [f"{r['inference_ms']:.1f}", f"{faster[1]:.2f} x", memory]
        row += [f"{r['dice_mean']:.4f}", f"{r['dice_pooled']:.4f}"] if has_dice else []
        rows.append(row)
    return format_table(head, rows)


def main() -> None:
    """Measure, print, store."""
    arguments = read_arguments()
    torch.set_num_threads(arguments.threads)
    methods = makers(arguments)
    if arguments.only:
        method = methods[arguments.only]()
        images, texts, masks = made_up_batch(arguments.batch, SIZE)
        method.train_step(images, texts, masks)
        method.predict(images[:1], texts[:1])
        sys.stdout.write(json.dumps(peak_memory_mb()) + "\n")
        return
    results = measure(methods, arguments)
    if arguments.data:
        for name, scores in train_and_score(methods, arguments).items():
            results[name] |= scores
    told = {
        "kind": "peers",
        "command": " ".join(["python benchmarks/peers/run.py", *_without_folders(arguments)]),
        "machine": f"{platform.machine()}, {arguments.threads} threads, torch {torch.__version__}",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "batch": arguments.batch,
        "data": arguments.data.name if arguments.data else None,
        "methods": results,
    }
    sys.stdout.write(f"{told['machine']}, batch {arguments.batch}, {SIZE} x {SIZE}\n{table(results)}\n")
    for name, result in results.items():
        if result["note"]:
            sys.stdout.write(f"{name}: {result['note']}\n")
    if arguments.json:
        with atomic_write(arguments.json) as file:
            file.write((json.dumps(told, indent=2) + "\n").encode())


def _without_folders(arguments: argparse.Namespace) -> list[str]:
    """Return the command line as others may read it: no folder of this machine."""
    shown = []
    for name, value in vars(arguments).items():
        if value is not None and name not in ("json", "cases", "only"):
            shown += [f"--{name}", value.name if isinstance(value, Path) else str(value)]
    return shown


if __name__ == "__main__":
    try:
        main()
    except TmcaError as error:
        sys.exit(f"error: {error.message}\nhint: {error.hint}")
