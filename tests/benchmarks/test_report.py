"""docs/benchmark.md is written from stored JSON alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
METHOD = {"weights": 4_000_000, "trained_weights": 4_000_000, "peak_memory_mb": 812.0, "note": ""}
PEERS = {
    "kind": "peers", "command": "python benchmarks/peers/run.py", "machine": "a machine", "date": "2026-11-25",
    "batch": 4, "data": "qata_cov19",
    "methods": {
        "tmca": METHOD | {"train_images_per_s": 12.0, "inference_ms": 50.0, "dice_mean": 0.8, "dice_pooled": 0.85},
        "LViT": METHOD | {"train_images_per_s": 3.0, "inference_ms": 500.0, "dice_mean": 0.7, "dice_pooled": 0.8}
        | {"note": "random words"},
    },
}  # fmt: skip
SEED = {mode: {"dice_mean": 0.5, "dice_pooled": 0.6} for mode in ("given", "none", "shuffled")}
ABLATION = {
    "kind": "ablation", "command": "python benchmarks/ablation.py", "machine": "a machine", "date": "2026-11-25",
    "data": "qata_cov19", "split": "val", "num_cases": 476, "num_epochs": 6, "size": "compact",
    "variants": {name: {"seeds": [SEED | {"seed": seed} for seed in range(3)]} for name in ("image alone", "+ report")},
    "standings": {"image alone": [0.5, 0.4, 0.6, 0.02], "+ report": [0.6, 0.5, 0.7, 0.98]},
    "steps": [["image alone", "+ report", 0.1, 0.08, 0.12, True]],
}  # fmt: skip


@pytest.fixture
def write(tmp_path):
    def run(**stored) -> str:
        for name, values in stored.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(values), encoding="utf-8")
        command = [sys.executable, "benchmarks/report.py", "--results", str(tmp_path), "--out", str(tmp_path / "b.md")]
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT, timeout=120)
        return (tmp_path / "b.md").read_text(encoding="utf-8")

    return run


def test_every_figure_has_its_command_machine_and_date(write):
    page = write(peers=PEERS, ablation=ABLATION)
    assert page.index("## What each part earns") < page.index("## Peers on one machine")
    assert page.count("a machine, 2026-11-25.") == 2
    assert "| LViT | 4.0 | 3.00 | 500.0 | 812 | 4.00 x as fast | 10.00 x as fast | 0.7000 | 0.8000 |" in page
    assert "- LViT: random words" in page
    assert "| 0.6000 | +0.1000 (+0.0800 to +0.1200), told apart | 98% |" in page


def test_without_results_the_page_says_how_to_get_some(write):
    assert "Nothing is stored yet." in write()
