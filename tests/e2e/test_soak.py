"""A short day's work; `benchmarks/soak.py` has the long one."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[2] / "benchmarks" / "soak.py"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts in /proc")
def test_nothing_piles_up_over_twenty_five_cases(make_napari_viewer, tmp_path):
    from napari_tmca.session import session_of

    soak = runpy.run_path(str(SOAK), run_name="soak")
    viewer = make_napari_viewer()
    early, late = soak["step_through"](viewer, soak["make_project"](tmp_path, 25), soak["make_network"](tmp_path))
    session = session_of(viewer)
    session.cases.close()
    session.close()
    assert late.layers == early.layers
    assert late.threads <= early.threads
    assert late.files <= early.files + 2
    assert late.widgets <= early.widgets + 5
    assert late.memory_mb - early.memory_mb < soak["BAR_MB"]
