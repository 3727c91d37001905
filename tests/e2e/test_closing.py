"""The viewer is closed while the network still runs: the process ends by itself, without a word."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import napari
from qtpy.QtCore import QTimer

from napari_tmca import open_workbench
from napari_tmca.layers import scan_to_layer_data
from tmca_core.phantom import make_phantom

viewer = napari.Viewer()
session = open_workbench(viewer)
phantom = make_phantom(3)
data, attributes, _ = scan_to_layer_data(phantom.scan)
session.choose_layer(viewer.add_image(data, **attributes))
session.set_report(phantom.report_text)
future = session.segment()
assert session.state == "running"
QTimer.singleShot({delay_ms}, viewer.close)
napari.run()
print("closed while", session.state)
"""


@pytest.mark.parametrize("delay_ms", [0, 400, 4000])
def test_closing_the_viewer_in_the_middle_ends_the_process(delay_ms):
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(delay_ms=delay_ms)],
        capture_output=True,
        text=True,
        timeout=280,
        env=dict(os.environ),
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "closed while" in result.stdout
    assert "Traceback" not in result.stderr
