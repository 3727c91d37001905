"""Write the tables of docs/benchmark.md anew from the JSON files that the benchmarks stored.

Usage: python benchmarks/report.py [--results benchmarks/results] [--page docs/benchmark.md]

Each table stands between two comments that name it, ``begin: NAME`` and ``end: NAME``; what is between them comes from
the stored files alone, and the words around stay. Of a table that nothing is stored for, the page says which command
measures it.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmca_core.atomic import atomic_write

if TYPE_CHECKING:
    from collections.abc import Sequence


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _origin(told: dict[str, Any]) -> str:
    model = f"{told['model']}, " if "model" in told else ""
    return f"{model}`{told['command']}`, {told['machine']}, {told['date']}."


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def folders(told: dict[str, Any]) -> str:
    """Return the section of benchmarks/folders.py."""
    rows = []
    for one in told["folders"]:
        sizes = " / ".join(f"{name} {counts['cases']:,}" for name, counts in one["splits"].items())
        said = [f"**{r['text']}**" if r["is_fault"] else r["text"] for r in one["remarks"]]
        rows.append([one["folder"], one["layout"], sizes, " ".join(said) or "no remark"])
    return f"{_origin(told)} Faults in bold.\n\n{_table(['folder', 'layout', 'cases', 'what was found'], rows)}"


def evaluation(told: dict[str, Any]) -> str:
    """Return the section of benchmarks/evaluation.py."""
    rows, more = [], []
    for name, modes in told["folders"].items():
        for mode, scores in modes.items():
            low, high = scores["ci95"]["dice_mean"]
            row = [name, mode, f"{scores['n']:,}", f"{scores['dice_mean']:.3f} ({low:.3f}-{high:.3f})"]
            row += [f"{scores[key]:.3f}" for key in ("dice_pooled", "iou_mean", "iou_pooled")]
            without = scores.get("without_leaks")
            leaks = "-" if without is None else f"{without['dice_mean']:.3f} ({len(scores['leaks'])} out)"
            rows.append([*row, leaks, _share(scores["side_accuracy"])])
        given = modes.get("given", {})
        if "surface" in given:
            surface, floor = given["surface"], given.get("floors", {})
            hd95 = "-" if surface["hd95_median"] is None else f"{surface['hd95_median']:.1f} {surface['unit']}"
            cells = [f"{floor[key]['dice_mean']:.3f}" if key in floor else "-" for key in ("no_image", "no_text")]
            ece, agrees = given["calibration"]["ece"], given["consistency"]["rate"]
            sure = given["risk_coverage"]["0.80"]
            line = [name, hd95, f"{surface['surface_dice_mean']:.3f} at {surface['tolerance']:g} {surface['unit']}"]
            more.append([*line, f"{ece:.4f}", f"{sure:.3f}", _share(agrees), *cells])
    head = ["data", "reports", "n", "Dice mean (95 %)", "Dice pooled", "IoU mean", "IoU pooled"]
    head += ["Dice mean without leaks", "side followed"]
    head_more = [
        "data",
        "HD95, median",
        "surface Dice",
        "ECE",
        "Dice mean, surest 80 %",
        "mask does what the report says",
    ]
    head_more += ["floor: no image", "floor: no text"]
    part = f" At most {told['limit']:,} cases of each." if told["limit"] else ""
    return f"{_origin(told)}{part}\n\n{_table(head, rows)}\n\nWith the cases' own reports:\n\n{_table(head_more, more)}"


def _method_rows(methods: dict[str, Any]) -> tuple[list[str], list[list[str]], str]:
    """Return head, rows and notes of a table of methods, ratios to ours, whatever was measured of them."""
    ours = next(iter(methods.values()))
    has_memory, has_dice = "peak_memory_mb" in ours, "dice_mean" in ours
    head = ["method", "weights (M)", "training images/s", "ours trains", "inference ms", "ours predicts"]
    head += ["peak MB"] if has_memory else []
    head += ["steps", "Dice mean (95 %)", "Dice pooled", "rank one"] if has_dice else []
    rows = []
    for name, m in methods.items():
        row = [name, f"{m['weights'] / 1e6:.1f}", f"{m['train_images_per_s']:.2f}"]
        row.append(f"{ours['train_images_per_s'] / m['train_images_per_s']:.2f} x as fast")
        row.append(f"{m['inference_ms']:.1f}")
        row.append(f"{m['inference_ms'] / ours['inference_ms']:.2f} x as fast")
        if has_memory:
            row.append("-" if m["peak_memory_mb"] is None else f"{m['peak_memory_mb']:,.0f}")
        if has_dice:
            low, high = m["dice_mean_ci95"]
            row += [f"{m['steps']:,}", f"{m['dice_mean']:.4f} ({low:.3f}-{high:.3f})", f"{m['dice_pooled']:.4f}"]
            row.append(f"{m['rank_one']:.1%}")
        rows.append(row)
    notes = "".join(f"\n- {name}: {m['note']}." for name, m in methods.items() if m["note"])
    return head, rows, notes


def peers(told: dict[str, Any]) -> str:
    """Return the section of benchmarks/peers/run.py."""
    head, rows, notes = _method_rows(told["methods"])
    said = f"Batch {told['batch']}, 224 x 224, methods timed in turn. {_origin(told)}"
    if "budget" in told:
        said += (
            f" Dice on {told['num_cases']:,} cases of {told['num_patients']:,} patients of {told['data']}'s val split "
            f"after {told['budget']} for each on the same {told['num_train']:,} cases."
        )
    differences = "".join(f"\n- {sentence}" for sentence in told.get("differences", []))
    return "\n".join(part for part in (f"{said}\n\n{_table(head, rows)}\n", differences, notes) if part)


def speed(told: dict[str, Any]) -> str:
    """Return the section of benchmarks/training.py."""
    head, rows, notes = _method_rows(told["methods"])
    said = f"Batch {told['batch']}, 224 x 224, methods timed in turn, in one process. {_origin(told)}"
    return f"{said}\n\n{_table(head, rows)}\n{notes}"


def loader(told: dict[str, Any]) -> str:
    """Return the section of benchmarks/loader.py."""
    workers = told["workers_ahead"]
    how = f"by {workers} workers, ahead of the step" if workers else "between two steps"
    return (
        f"One core prepares {told['prepared_images_per_s']:.0f} images/s of {told['size']} pixels; the network "
        f"trains {told['trained_images_per_s']:.1f} images/s on {told['device']}. Batches are prepared {how}, and "
        f"{told['waiting_share']:.1%} of the time is waited for them. {_origin(told)}"
    )


def finetune(told: dict[str, Any]) -> str:
    """Return the section of benchmarks/finetune.py."""
    others = list(told["rows"][0].get("peers", ()))
    on_processors = ["on processors"] if "processor_minutes" in told["rows"][0] else []
    rows = [
        [
            str(row["cases"]),
            f"{row['dice']:.1f} ({row['dice_ci95'][0]:.1f} to {row['dice_ci95'][1]:.1f})",
            f"{row['gain']:+.1f}",
            f"{row['forgotten']:+.2f}",
            f"{row['adapter_mb']:.2f}",
            f"{row['minutes']:.1f}",
            *(f"{row['processor_minutes']:.1f}" for _ in on_processors),
            f"{row['peak_mb']:.0f}",
            *(f"{row['peers'][name]:.1f}" for name in others),
        ]
        for row in told["rows"]
    ]
    head = [
        "cases",
        "Dice after (95 %)",
        "gain",
        f"forgotten on {told['known']} val",
        "adapter MB",
        "minutes",
        *on_processors,
        "peak MB",
        *(f"{name}, from random weights" for name in others),
    ]
    said = f"Dice in percent on {told['data']}, {told['dice_before']:.1f} before. {_origin(told)}"
    return f"{said}\n\n{_table(head, rows)}"


def active(told: dict[str, Any]) -> str:
    """Return the section of benchmarks/active.py."""
    ways = {"random": "at random", "gain": "by gain"}
    columns = [(way, count) for way in ways for count in told["rows"][0][way]]
    rows = [[str(row["seed"]), *(f"{100 * row[way][count]:.1f}" for way, count in columns)] for row in told["rows"]]
    means = [statistics.mean(row[way][count] for row in told["rows"]) for way, count in columns]
    rows.append(["mean", *(f"{100 * mean:.1f}" for mean in means)])
    head = ["seed", *(f"{count} {ways[way]}" for way, count in columns)]
    said = f"Dice in percent on {told['data']}, {100 * told['dice_before']:.1f} before. {_origin(told)}"
    return f"{said}\n\n{_table(head, rows)}"


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
    head = ["row", "Dice mean, report given", "none", "another's", "pooled, given", "against the row above", "rank one"]
    num_seeds = len(next(iter(told["variants"].values()))["seeds"])
    unfinished = "" if len(rows) == told["num_rows"] else f" {len(rows)} of {told['num_rows']} rows so far."
    said = (
        f"A small budget: {told['size']} network, {told['num_epochs']} epochs of {told['num_train']:,} cases of "
        f"{told['data']} at {told['image_size']} pixels, scored at that size on {told['num_cases']:,} cases of "
        f"{told['split']}; {num_seeds} seeds (mean ± deviation over the seeds).{unfinished} {_origin(told)}"
    )
    return f"{said}\n\n{_table(head, rows)}"


SECTIONS = {
    "folders": folders,
    "evaluation": evaluation,
    "peers": peers,
    "speed": speed,
    "loader": loader,
    "finetune": finetune,
    "active": active,
    "ablation": ablation,
}
COMMANDS = {
    "folders": "python benchmarks/folders.py FOLDER...",
    "evaluation": "python benchmarks/evaluation.py FOLDER:SPLIT...",
    "peers": "make benchmark DATA=FOLDER LVIT=CHECKOUT LANGUIDEMEDSEG=CHECKOUT",
    "speed": "python benchmarks/training.py --json benchmarks/results/speed.json",
    "loader": "python benchmarks/loader.py --json benchmarks/results/loader.json",
    "finetune": "python benchmarks/finetune.py --base FOLDER --data FOLDER --known FOLDER --json FILE",
    "active": "python benchmarks/active.py --base FOLDER --data FOLDER --json FILE",
    "ablation": "python benchmarks/ablation.py --config configs/benchmarks/ablation.toml --out runs/ablation",
}
_BETWEEN = re.compile(r"(<!-- begin: (\w+) -->\n).*?(<!-- end: \2 -->)", re.DOTALL)


def fill(page: str, stored: dict[str, dict[str, Any]]) -> str:
    """Return the page with every table written anew."""

    def section(found: re.Match[str]) -> str:
        name = found[2]
        told = stored.get(name)
        text = SECTIONS[name](told) if told else f"Not measured yet: `{COMMANDS[name]}`."
        return f"{found[1]}\n{text.strip()}\n\n{found[3]}"

    return _BETWEEN.sub(section, page)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--page", type=Path, default=Path("docs/benchmark.md"))
    arguments = parser.parse_args()
    told = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(arguments.results.glob("*.json"))]
    page = fill(arguments.page.read_text(encoding="utf-8"), {one["kind"]: one for one in told if "kind" in one})
    with atomic_write(arguments.page) as file:
        file.write(page.encode())
    sys.stdout.write(f"{arguments.page}\n")


if __name__ == "__main__":
    main()
