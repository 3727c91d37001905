"""Compare cases chosen by expected gain with cases drawn at random: how many reach what so many random ones do.

Usage: python benchmarks/active.py --base FOLDER --data data/kvasir_seg [--seeds 0 1 2] [--json FILE]

For every seed: the base learns from --enough and from --most cases drawn at random; and from --first cases of the
greatest gain, then from as many more, chosen by what it has become, and so on up to --enough. Each learning starts at
the base, on all cases so far, with their reference masks, and is judged on the test split. The aim: with --enough
chosen cases at least the Dice of --most random ones. The base must not have seen the folder. What is finished is kept
in --out, and the same command goes on from there.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tmca_core.atomic import atomic_write
from tmca_core.data import open_dataset
from tmca_core.data.corrected import CorrectedCase, FolderSource, GivenCases
from tmca_core.predictor import Predictor
from tmca_core.recipes.evaluate import SplitDone, evaluate
from tmca_core.recipes.finetune import FinetuneConfig, finetune
from tmca_core.recipes.next_case import CaseSeen, choose, see

if TYPE_CHECKING:
    from collections.abc import Sequence

WAYS = ("random", "gain")


def main() -> None:
    """Learn, judge, print and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True, help="folder or name of a model that has not seen --data")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/active"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--first", type=int, default=20)
    parser.add_argument("--enough", type=int, default=60)
    parser.add_argument("--most", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--limit", type=int, help="at most N cases of the test split")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    pool = [case for case in FolderSource(arguments.data).read() if isinstance(case, CorrectedCase)]
    before = judge(arguments.base, arguments)
    first_look = look_at(str(arguments.base), pool)
    told: dict[str, Any] = {
        "kind": "active",
        "command": f"python benchmarks/active.py --epochs {arguments.epochs}",
        "machine": f"{platform.machine()}, {arguments.threads} threads, torch {torch.__version__}",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "model": Path(arguments.base).name,
        "data": f"{arguments.data.name} test",
        "dice_before": before,
        "most": arguments.most,
        "rows": [],
    }
    for seed in arguments.seeds:
        gain = by_gain(pool, first_look, seed, arguments)
        row = {"seed": seed, "random": drawn_at_random(pool, seed, arguments), "gain": gain}
        told["rows"].append(row)
        steps = {way: ", ".join(f"{count}: {100 * dice:.1f}" for count, dice in row[way].items()) for way in WAYS}
        sys.stdout.write(f"seed {seed}: base {100 * before:.1f}; " + "; ".join(f"{w} {steps[w]}" for w in WAYS) + "\n")
        sys.stdout.flush()
        if arguments.json:
            with atomic_write(arguments.json) as file:
                file.write((json.dumps(told, indent=2) + "\n").encode())
    random = statistics.mean(row["random"][str(arguments.most)] for row in told["rows"])
    chosen = statistics.mean(row["gain"][str(arguments.enough)] for row in told["rows"])
    sys.stdout.write(
        f"{len(told['rows'])} seeds: {arguments.most} cases at random {100 * random:.1f}, "
        f"{arguments.enough} by gain {100 * chosen:.1f}\n"
    )


def drawn_at_random(pool: Sequence[CorrectedCase], seed: int, arguments: argparse.Namespace) -> dict[str, float]:
    """Return the test Dice after --enough and after --most cases drawn at random, the former among the latter."""
    order = np.random.default_rng(seed).permutation(len(pool))
    found = {}
    for count in sorted({arguments.enough, arguments.most}):
        cases = [pool[int(i)] for i in order[:count]]
        found[str(count)] = learned(cases, f"random-{seed}-{count}", seed, arguments)[1]
    return found


def by_gain(
    pool: Sequence[CorrectedCase], first_look: Sequence[CaseSeen], seed: int, arguments: argparse.Namespace
) -> dict[str, float]:
    """Return the test Dice after every round of choosing, by the number of cases."""
    looks, done, found = first_look, list[str](), dict[str, float]()
    while len(done) < arguments.enough:
        left = [look for look in looks if look.id not in done]
        # What earlier rounds chose was looked at anew, too: features of two models do not compare.
        features = [look.features for look in looks if look.id in done]
        done += choose(left, min(arguments.first, arguments.enough - len(done)), learned=features)
        cases = [case for case in pool if case.id in done]
        model, found[str(len(done))] = learned(cases, f"gain-{seed}-{len(done)}", seed, arguments)
        if len(done) < arguments.enough:
            looks = look_at(model, pool)
    return found


def look_at(model: str, cases: Sequence[CorrectedCase]) -> list[CaseSeen]:
    """Return what a model says of cases."""
    predictor = Predictor.load(model, device="cpu")
    return [see(predictor, case.id, case.scan, f"{case.instruction} {case.text}".strip()) for case in cases]


def learned(cases: Sequence[CorrectedCase], name: str, seed: int, arguments: argparse.Namespace) -> tuple[str, float]:
    """Return the folder of the base after it learned from these cases, and its test Dice."""
    out = arguments.out / name
    result = out / "dice.json"
    ids = sorted(case.id for case in cases)
    if result.is_file() and (known := json.loads(result.read_text(encoding="utf-8")))["cases"] == ids:
        return str(out), float(known["dice"])
    started = time.monotonic()
    config = FinetuneConfig(
        out=out, model=arguments.base, num_epochs=arguments.epochs, seed=seed, device="cpu", threads=arguments.threads
    )
    for _ in finetune(config, GivenCases(tuple(cases), name)):
        pass
    dice = judge(str(out), arguments)
    with atomic_write(result) as file:
        file.write(json.dumps({"cases": ids, "dice": dice, "seconds": time.monotonic() - started}).encode())
    return str(out), dice


def judge(model: str, arguments: argparse.Namespace) -> float:
    """Return the mean Dice on the test split, 0..1."""
    done = list(evaluate(Predictor.load(model, device="cpu"), open_dataset(arguments.data), splits=["test"],
                         limit=arguments.limit))[-1]  # fmt: skip
    assert isinstance(done, SplitDone)
    return done.scores.dice_mean


if __name__ == "__main__":
    main()
