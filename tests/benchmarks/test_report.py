"""The tables of docs/benchmark.md are written from stored JSON alone, and the words around them stay."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
METHOD = {"weights": 4_000_000, "trained_weights": 4_000_000, "peak_memory_mb": 812.0, "note": "", "steps": 60}
METHOD |= {"dice_mean_ci95": [0.6, 0.8], "rank_one": 0.5}
ORIGIN = {"machine": "a machine", "date": "2026-11-25"}
PEERS = ORIGIN | {
    "kind": "peers", "command": "python benchmarks/peers/run.py", "batch": 4, "data": "qata_cov19", "model": "tmca 1",
    "budget": "60 steps", "num_cases": 300, "num_patients": 290, "num_train": 200, "differences": ["A is better."],
    "methods": {
        "tmca": METHOD | {"train_images_per_s": 12.0, "inference_ms": 50.0, "dice_mean": 0.8, "dice_pooled": 0.85},
        "LViT": METHOD | {"train_images_per_s": 3.0, "inference_ms": 500.0, "dice_mean": 0.7, "dice_pooled": 0.8}
        | {"note": "random words"},
    },
}  # fmt: skip
SEED = {mode: {"dice_mean": 0.5, "dice_pooled": 0.6} for mode in ("given", "none", "shuffled")}
ABLATION = ORIGIN | {
    "kind": "ablation", "command": "python benchmarks/ablation.py", "data": "qata_cov19", "split": "val",
    "num_cases": 476, "num_epochs": 6, "num_train": 1600, "image_size": 112, "size": "compact", "num_rows": 3,
    "variants": {name: {"seeds": [SEED | {"seed": seed} for seed in range(3)]} for name in ("image alone", "+ report")},
    "standings": {"image alone": [0.5, 0.4, 0.6, 0.02], "+ report": [0.6, 0.5, 0.7, 0.98]},
    "steps": [["image alone", "+ report", 0.1, 0.08, 0.12, True]],
}  # fmt: skip
SCORES = {"n": 9, "dice_mean": 0.8, "dice_pooled": 0.9, "iou_mean": 0.7, "iou_pooled": 0.8, "side_accuracy": None}
GIVEN = SCORES | {
    "ci95": {"dice_mean": [0.75, 0.85]}, "leaks": ["a"], "without_leaks": SCORES | {"dice_mean": 0.79},
    "surface": {"unit": "pixels", "hd95_median": 7.0, "surface_dice_mean": 0.6, "tolerance": 2.0},
    "calibration": {"ece": 0.01}, "risk_coverage": {"0.80": 0.86}, "consistency": {"rate": 0.9},
    "floors": {"no_text": {"dice_mean": 0.74}},
}  # fmt: skip
EVALUATION = ORIGIN | {
    "kind": "evaluation", "command": "python benchmarks/evaluation.py", "model": "tmca 1", "limit": 100,
    "folders": {"qata_cov19, val": {"given": GIVEN, "none": SCORES | {"ci95": {"dice_mean": [0.7, 0.8]}}}},
}  # fmt: skip
FOLDERS = ORIGIN | {
    "kind": "folders", "command": "tmca data check FOLDER",
    "folders": [{"folder": "busi", "layout": "cases.csv", "splits": {"train": {"cases": 432}, "test": {"cases": 90}},
                 "remarks": [{"text": "5 pairs.", "is_fault": True}, {"text": "Good to know.", "is_fault": False}]}],
}  # fmt: skip
LOADER = ORIGIN | {
    "kind": "loader", "command": "python benchmarks/loader.py", "model": "tmca 1", "workers_ahead": 0, "size": 224,
    "prepared_images_per_s": 300.0, "trained_images_per_s": 10.0, "waiting_share": 0.03, "device": "cpu",
}  # fmt: skip
FINETUNE = ORIGIN | {
    "kind": "finetune", "command": "python benchmarks/finetune.py", "model": "tmca 1", "known": "qata_cov19",
    "data": "busi test", "dice_before": 8.0,
    "rows": [{"cases": 5, "dice": 50.0, "dice_ci95": [40.0, 60.0], "gain": 42.0, "asked": 6.0, "forgotten": 0.0,
              "adapter_mb": 1.5, "minutes": 2.0, "processor_minutes": 1.5, "peak_mb": 1400.0,
              "peers": {"U-Net": 21.5}}],
}  # fmt: skip
ACTIVE = ORIGIN | {
    "kind": "active", "command": "python benchmarks/active.py", "model": "tmca 1", "data": "kvasir_seg test",
    "dice_before": 0.2, "most": 100,
    "rows": [{"seed": seed, "random": {"60": 0.55, "100": 0.6 + seed / 100}, "gain": {"20": 0.5, "60": 0.62}}
             for seed in (0, 1)],
}  # fmt: skip
SPEED = PEERS | {"kind": "speed", "command": "python benchmarks/training.py"}


@pytest.fixture
def write(tmp_path):
    page = tmp_path / "benchmark.md"
    page.write_bytes((ROOT / "docs" / "benchmark.md").read_bytes())

    def run(**stored) -> str:
        for name, values in stored.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(values), encoding="utf-8")
        command = [sys.executable, "benchmarks/report.py", "--results", str(tmp_path), "--page", str(page)]
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT, timeout=120)
        return page.read_text(encoding="utf-8")

    return run


def test_every_table_has_its_command_machine_and_date(write):
    told = {"peers": PEERS, "ablation": ABLATION, "evaluation": EVALUATION, "folders": FOLDERS, "loader": LOADER}
    page = write(**told, speed=SPEED, finetune=FINETUNE, active=ACTIVE)
    assert page.count("a machine, 2026-11-25.") == 8
    assert "Not measured yet" not in page
    assert "| LViT | 4.0 | 3.00 | 4.00 x as fast | 500.0 | 10.00 x as fast | 812 | 60 | 0.7000 (0.600-0.800)" in page
    assert "- LViT: random words." in page
    assert "- A is better." in page
    assert "| 0.6000 | +0.1000 (+0.0800 to +0.1200), told apart | 98% |" in page
    assert "2 of 3 rows so far" in page
    assert "| qata_cov19, val | given | 9 | 0.800 (0.750-0.850) | 0.900 | 0.700 | 0.800 | 0.790 (1 out) | - |" in page
    assert "| 7.0 pixels | 0.600 at 2 pixels | 0.0100 | 0.860 | 90.0 % | - | 0.740 |" in page
    assert "| busi | cases.csv | train 432 / test 90 | **5 pairs.** Good to know. |" in page
    assert "3.0% of the time is waited" in page
    assert "| seed | 60 at random | 100 at random | 20 by gain | 60 by gain |" in page
    assert "| mean | 55.0 | 60.5 | 50.0 | 62.0 |" in page
    assert "| 5 | 50.0 (40.0 to 60.0) | +42.0 | +0.00 | 1.50 | 2.0 | 1.5 | 1400 | 21.5 |" in page


def test_without_results_the_page_says_how_to_get_some_and_keeps_its_words(write):
    page = write()
    assert page.count("Not measured yet: `") == 8
    assert "## How it is measured" in page
    assert write() == page  # nothing piles up
    assert write(loader=LOADER) != page


def test_the_page_is_what_the_stored_results_give(tmp_path):
    page = tmp_path / "benchmark.md"
    page.write_bytes((ROOT / "docs" / "benchmark.md").read_bytes())
    command = [sys.executable, "benchmarks/report.py", "--page", str(page)]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT, timeout=120)
    assert page.read_text(encoding="utf-8") == (ROOT / "docs" / "benchmark.md").read_text(encoding="utf-8")
