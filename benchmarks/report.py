"""Write docs/benchmark.md from the JSON files that the benchmarks stored: no figure in it comes from anywhere else.

Usage: python benchmarks/report.py [--results benchmarks/results] [--out docs/benchmark.md]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from tmca_core.atomic import atomic_write

HEAD = """# Benchmark

Written by `python benchmarks/report.py` from `benchmarks/results/*.json`; do not edit. Dice *mean* is the score per
picture, averaged, *pooled* that of all pixels together: published tables mix the two, and they differ by many points.
Intervals are 95 %, by bootstrap over patients. Two methods are *told apart* where the interval of their paired
difference leaves out 0; *rank one* is the share of the resamples in which a method is the best of all.
"""
NOTHING = """
Nothing is stored yet. `make benchmark DATA=FOLDER` fills it in minutes, `python benchmarks/ablation.py` in days.
"""


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _origin(told: dict[str, Any]) -> str:
    return f"`{told['command']}`, {told['machine']}, {told['date']}."


def peers(told: dict[str, Any]) -> str:
    """Return the section of benchmarks/peers/run.py."""
    methods = told["methods"]
    ours = next(iter(methods.values()))
    has_dice = "dice_mean" in ours
    head = ["method", "weights (M)", "training images/s", "inference ms", "peak MB", "ours trains", "ours predicts"]
    rows = []
    for name, m in methods.items():
        memory = "-" if m["peak_memory_mb"] is None else f"{m['peak_memory_mb']:,.0f}"
        row = [name, f"{m['weights'] / 1e6:.1f}", f"{m['train_images_per_s']:.2f}", f"{m['inference_ms']:.1f}", memory]
        row += [f"{ours['train_images_per_s'] / m['train_images_per_s']:.2f} x as fast"]
        row += [f"{m['inference_ms'] / ours['inference_ms']:.2f} x as fast"]
        rows.append(row + ([f"{m['dice_mean']:.4f}", f"{m['dice_pooled']:.4f}"] if has_dice else []))
    head += ["Dice mean", "Dice pooled"] if has_dice else []
    notes = "\n".join(f"- {name}: {m['note']}" for name, m in methods.items() if m["note"])
    where = f"Dice on {told['data']} after the same steps from random weights. " if has_dice else ""
    said = f"Batch {told['batch']}, 224 x 224, methods timed in turn. {where}{_origin(told)}"
    return f"## Peers on one machine\n\n{said}\n\n{_table(head, rows)}\n\n{notes}\n"


def ablation(told: dict[str, Any]) -> str:
    """Return the section of benchmarks/ablation.py."""
    rows = []
    steps = {after: (mean, low, high, apart) for _, after, mean, low, high, apart in told["steps"]}
    for name, variant in told["variants"].items():
        row = [name]
        for mode in ("given", "none", "shuffled"):
            values = [seed[mode]["dice_mean"] for seed in variant["seeds"]]
            spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
            row.append(f"{statistics.mean(values):.4f}{spread}")
        row.append(f"{statistics.mean(seed['given']['dice_pooled'] for seed in variant['seeds']):.4f}")
        if name in steps:
            mean, low, high, apart = steps[name]
            row.append(f"{mean:+.4f} ({low:+.4f} to {high:+.4f}), {'told apart' if apart else 'not told apart'}")
        else:
            row.append("")
        row.append(f"{told['standings'][name][3]:.0%}" if "standings" in told else "-")
        rows.append(row)
    head = [
        "variant",
        "Dice mean, report given",
        "none",
        "another's",
        "pooled, given",
        "against the row above",
        "rank one",
    ]
    num_seeds = len(next(iter(told["variants"].values()))["seeds"])
    said = (
        f"{told['size']} network, {told['data']}, {told['split']} ({told['num_cases']:,} cases), {told['num_epochs']} "
        f"epochs, {num_seeds} seeds (mean ± deviation over the seeds). {_origin(told)}"
    )
    return f"## What each part earns\n\n{said}\n\n{_table(head, rows)}\n"


SECTIONS = {"peers": peers, "ablation": ablation}


def write_report(results: Path, out: Path) -> None:
    """Write the page; files in order of their names."""
    stored = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("*.json"))]
    sections = [SECTIONS[told["kind"]](told) for told in stored]
    with atomic_write(out) as file:
        file.write("\n".join([HEAD, *(sections or [NOTHING])]).encode())


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--out", type=Path, default=Path("docs/benchmark.md"))
    arguments = parser.parse_args()
    write_report(arguments.results, arguments.out)
    sys.stdout.write(f"{arguments.out}\n")


if __name__ == "__main__":
    main()
