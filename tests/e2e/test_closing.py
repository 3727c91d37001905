"""The viewer is closed while the network still runs: the process ends by itself, soon and without a word."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SLICES = 200
SCRIPT = """
import atexit
import sys

import napari
import numpy as np
from qtpy.QtCore import QTimer

from napari_tmca import open_workbench
from napari_tmca.layers import scan_to_layer_data
from napari_tmca.session import session_of
from tmca_core.phantom import make_phantom
from tmca_core.study import Scan

slices, moment, panel, door = int(sys.argv[1]), *sys.argv[2:]
phantom = make_phantom(3)
scan, told = phantom.scan, []
if moment == "in the network":
    from tmca_core.predictor import Predictor

    scan = Scan(np.repeat(scan.pixels[None], slices, axis=0))
    steps = Predictor.predict_steps

    def counted(*arguments):
        answer = steps(*arguments)
        while True:
            try:
                step = next(answer)
            except StopIteration as stop:
                return stop.value
            told.append(step.done)
            yield step

    Predictor.predict_steps = counted

viewer = napari.Viewer()
session = open_workbench(viewer) if panel == "panel" else session_of(viewer)
data, attributes, _ = scan_to_layer_data(scan)
session.choose_layer(viewer.add_image(data, **attributes))
session.set_report(phantom.report_text)


def close():
    print("closed while", session.state, flush=True)
    viewer.close() if door == "viewer" else viewer.window.close()


def close_once(done, total):
    session.progressed.disconnect(close_once)
    QTimer.singleShot(0, close)


session.segment()
if moment == "in the network":
    session.progressed.connect(close_once)
else:
    QTimer.singleShot(0, close)
# Runs when the thread of the network has ended.
atexit.register(lambda: print("slices done:", max(told, default=0), flush=True))
napari.run()
"""


@pytest.mark.parametrize(
    ("moment", "panel", "door"),
    [
        ("at once", "panel", "viewer"),
        ("in the network", "panel", "window"),
        ("in the network", "no panel", "viewer"),
        ("in the network", "no panel", "window"),
    ],
)
def test_closing_in_the_middle_ends_the_process(moment, panel, door):
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(SLICES), moment, panel, door],
        capture_output=True,
        text=True,
        timeout=120,
        env=dict(os.environ),
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    assert "closed while running" in result.stdout
    assert int(result.stdout.rsplit("slices done:")[1]) < SLICES / 2
