"""What a few corrected cases of a new domain are worth: the tables of docs/how-to/finetune.md.

Usage: python benchmarks/finetune.py --base FOLDER --data data/breast_us_birads --known data/qata_cov19

For 20 and for 5 cases: Dice on the test split before and after, what is forgotten on the known folder's validation
split, size of the adapter, peak memory and time of the learning process, and beside it a U-Net at the base's picture
size and, where a checkout is given, LanGuideMedSeg at its own 224 pixels, trained from random weights on the same cases
for as long on processors and scored at the size of the network. The base must not have seen the new domain: the shipped
tmca-compact has seen every folder that this project uses, so train one with configs/compact_unseen.toml first.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent / "peers"))  # run as a script, beside a folder of scripts

from methods import LanGuideMedSeg, Method, UNet

from tmca_core.atomic import atomic_write
from tmca_core.data import open_dataset
from tmca_core.data.augment import AugmentConfig, augment
from tmca_core.data.corrected import FolderSource
from tmca_core.data.loader import collate, read_samples
from tmca_core.metrics import Scores, score_case
from tmca_core.model.architecture import PreprocessArchitecture
from tmca_core.model.checkpoint import find_model, load_model
from tmca_core.predictor import Predictor
from tmca_core.recipes.evaluate import SplitDone, evaluate

if TYPE_CHECKING:
    from collections.abc import Callable

# Cases, minutes that the issue allows, and Dice points that it asks for.
GOALS = {20: (10.0, 15.0), 5: (4.0, 6.0)}
SPARE = 0.85  # of the minutes: reading cases and judging take time, too
PEER_BATCH = 8
NOT_MIRRORED = AugmentConfig(flip=0.0)  # the peers cannot rewrite the side in a report


@dataclass(frozen=True)
class Learnt:
    """One fine-tuning as a process: folder and size of the model, time on the clock and on processors, peak memory."""

    folder: Path
    megabytes: float
    seconds: float
    processor_seconds: float
    peak_megabytes: float


def dice_of(model: str | Path, folder: Path, split: str, limit: int | None) -> tuple[float, tuple[float, float]]:
    """Return mean Dice in percent, with its 95 % interval."""
    predictor = Predictor.load(model, device="cpu")
    done = list(evaluate(predictor, open_dataset(folder), splits=[split], limit=limit))[-1]
    assert isinstance(done, SplitDone)
    low, high = done.intervals["dice_mean"]
    return 100 * done.scores.dice_mean, (100 * low, 100 * high)


def learn(arguments: argparse.Namespace, num_cases: int, minutes: float, out: Path) -> Learnt:
    """Fine-tune in a process of its own, so that its memory is its own."""
    command = [sys.executable, "-m", "tmca_core.cli", "finetune", "--data", str(arguments.data), "--model"]
    command += [str(arguments.base), "--out", str(out), "--cases", str(num_cases)]
    command += ["--epochs", str(arguments.epochs)] if arguments.epochs else ["--minutes", str(SPARE * minutes)]
    command += [
        "--device",
        "cpu",
        "--seed",
        str(arguments.seed),
        "--set",
        f"threads={arguments.threads}",
        "--events-json",
        *arguments.extra,
    ]
    command += ["--replay", str(arguments.replay)] if arguments.replay else []
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    last = {}
    for line in process.stdout:
        last = json.loads(line)
    _, _, usage = os.wait4(process.pid, 0)
    if last.get("event") != "FinetuneFinished":
        raise SystemExit("the fine-tuning did not end well")
    seconds, on_processors = time.monotonic() - started, usage.ru_utime + usage.ru_stime
    return Learnt(out, last["num_bytes"] / 1e6, seconds, on_processors, usage.ru_maxrss / 1024)


@dataclass(frozen=True)
class Peer:
    """A method that learns beside ours, from random weights, and the pictures that it takes."""

    make: Callable[[], Method]
    preprocess: PreprocessArchitecture


def peers(arguments: argparse.Namespace) -> dict[str, Peer]:
    """Return the methods that learn beside ours."""
    found: dict[str, Peer] = {}
    if not arguments.no_unet:
        found[UNet.name] = Peer(UNet, load_model(find_model(arguments.base))[1].preprocess)
    if arguments.languidemedseg:
        found[LanGuideMedSeg.name] = Peer(lambda: LanGuideMedSeg(arguments.languidemedseg), PreprocessArchitecture())
    return found


def peer_dice(peer: Peer, arguments: argparse.Namespace, num_cases: int, seconds: float) -> float:
    """Return the test Dice, in percent, of another method trained on the same cases for as long, on processors."""
    torch.manual_seed(arguments.seed)
    preprocess = peer.preprocess
    samples = list(read_samples(FolderSource(arguments.data, limit=num_cases).cases(), preprocess))
    method = peer.make()
    generator = torch.Generator().manual_seed(arguments.seed)
    until = time.process_time() + seconds
    while time.process_time() < until:
        chosen = [samples[int(i)] for i in torch.randint(len(samples), (PEER_BATCH,), generator=generator)]
        batch = collate(chosen, preprocess.image_size)
        images, masks, _ = augment(batch.images, batch.masks, NOT_MIRRORED, generator)
        method.train_step(images, [" ".join(sample.sentences) for sample in chosen], masks)
    method.finish()
    scores = []
    for sample in read_samples(_test_cases(arguments), preprocess):
        batch = collate([sample], preprocess.image_size)
        found = method.predict(batch.images, [" ".join(sample.sentences)])
        scores.append(score_case(np.asarray(found), np.asarray(batch.masks) >= 0.5))
    return 100 * Scores.of(scores).dice_mean


def _test_cases(arguments: argparse.Namespace) -> tuple:  # type: ignore[type-arg]
    cases = open_dataset(arguments.data).split(arguments.split)
    limit = arguments.limit or len(cases)
    return tuple(cases[i * len(cases) // limit] for i in range(min(limit, len(cases))))


def store(told: dict[str, Any], path: Path | None) -> None:
    """Write the table where it was asked for, row by row."""
    if path is not None:
        with atomic_write(path) as file:
            file.write((json.dumps(told, indent=2) + "\n").encode())


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True, help="Folder or name of a model that has not seen --data.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--known", type=Path, required=True, help="Folder whose val split shows what is forgotten.")
    parser.add_argument("--replay", type=Path, help="Folder that is replayed; phantoms by default.")
    parser.add_argument("--split", default="test")
    parser.add_argument("--cases", type=int, nargs="+", default=list(GOALS))
    parser.add_argument("--minutes", type=float, help="In the place of the goals' own.")
    parser.add_argument("--epochs", type=int, help="In the place of minutes, where other work takes the processors.")
    parser.add_argument("--limit", type=int, help="At most so many cases of each split, for a quick look.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-unet", action="store_true")
    parser.add_argument("--languidemedseg", type=Path, help="checkout of LanGuideMedSeg-MICCAI2023")
    parser.add_argument("--json", type=Path, help="Where the table is stored for benchmarks/report.py.")
    arguments, arguments.extra = parser.parse_known_args()
    torch.set_num_threads(arguments.threads)
    command = ["python benchmarks/finetune.py", f"--cases {' '.join(map(str, arguments.cases))}"]
    given = {name: getattr(arguments, name) for name in ("limit", "minutes", "epochs")}
    command += [f"--{name} {value:g}" for name, value in given.items() if value is not None]
    told = {
        "kind": "finetune",
        "command": " ".join(command),
        "machine": f"{platform.machine()}, {arguments.threads} threads",
    }
    told |= {"date": time.strftime("%Y-%m-%d", time.gmtime()), "model": Path(arguments.base).name}
    told |= {"known": arguments.known.name}
    rows: list[dict[str, Any]] = []

    before, interval = dice_of(arguments.base, arguments.data, arguments.split, arguments.limit)
    known = dice_of(arguments.base, arguments.known, "val", arguments.limit)[0]
    name = f"{arguments.data.name} {arguments.split}"
    sys.stdout.write(f"base on {name}: Dice {before:.1f} ({interval[0]:.1f}-{interval[1]:.1f})\n\n")
    head = ["cases", "Dice after (95 %)", "gain", "asked", f"forgotten on {arguments.known.name} val", "adapter MB"]
    others = peers(arguments)
    head += ["time min", "on processors", "peak MB", *others]
    sys.stdout.write("| " + " | ".join(head) + " |\n|" + "---|" * len(head) + "\n")
    with tempfile.TemporaryDirectory() as folder:
        for num_cases in arguments.cases:
            minutes, asked = GOALS.get(num_cases, (10.0, 0.0))
            learnt = learn(arguments, num_cases, arguments.minutes or minutes, Path(folder) / f"from-{num_cases}")
            after, (low, high) = dice_of(learnt.folder, arguments.data, arguments.split, arguments.limit)
            forgotten = known - dice_of(learnt.folder, arguments.known, "val", arguments.limit)[0]
            beside = {
                name: peer_dice(peer, arguments, num_cases, learnt.processor_seconds) for name, peer in others.items()
            }
            values = {
                "cases": num_cases,
                "dice": after,
                "dice_ci95": [low, high],
                "gain": after - before,
                "asked": asked,
            }
            values |= {"forgotten": forgotten, "adapter_mb": learnt.megabytes, "minutes": learnt.seconds / 60}
            values["processor_minutes"] = learnt.processor_seconds / 60
            rows.append({**values, "peak_mb": learnt.peak_megabytes, "peers": beside})
            row = [str(num_cases), f"{after:.1f} ({low:.1f}-{high:.1f})", f"{after - before:+.1f}", f"{asked:+.0f}"]
            row += [f"{forgotten:+.2f}", f"{learnt.megabytes:.2f}", f"{learnt.seconds / 60:.1f}"]
            row += [f"{learnt.processor_seconds / 60:.1f}"]
            row += [f"{learnt.peak_megabytes:.0f}", *(f"{dice:.1f}" for dice in beside.values())]
            sys.stdout.write("| " + " | ".join(row) + " |\n")
            sys.stdout.flush()
            store({**told, "data": name, "dice_before": before, "rows": rows}, arguments.json)


if __name__ == "__main__":
    main()
