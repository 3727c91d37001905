"""Case after case in a window that draws: a fault in the drawing ends a process, so it has one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SOAK = Path(__file__).parents[2] / "benchmarks" / "soak.py"


def test_the_window_draws_on_when_layers_of_the_case_before_are_removed():
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(SOAK), "--cases", "5"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    assert "5 cases" in done.stdout
