"""Time the live mode: from a pause in typing to the new mask in the viewer, at 224 x 224 pixels.

Usage: xvfb-run -a -s "-screen 0 1920x1080x24 +extension GLX" python benchmarks/live.py [--rounds N]

The pause itself (300 ms without a key) comes before what is timed: reading the report, the network's text and decoder,
and writing the mask into its layer, in a real window, which has drawn what came before when a round begins. "Shown"
adds the drawing of the new mask; without a graphics card, the processor does it. Processor time is that of all threads
of this process; where it is far below the time passed, other processes were busy.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import napari
from napari.layers import Image
from qtpy.QtWidgets import QApplication

from napari_tmca import open_workbench
from napari_tmca.layers import scan_to_layer_data
from tmca_core.phantom import make_phantom

BAR_MS = 150
PAUSE_S = 0.3
REPORTS = (
    "Ground-glass opacity in the right mid lung. No pleural effusion.",
    "Ground-glass opacity in the right mid lung. Airspace disease in the left base. No pleural effusion.",
)


def main() -> None:
    """Print the median and the shortest of the rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tmca-compact")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    viewer = napari.Viewer()
    session = open_workbench(viewer)
    session.model, session.device = options.model, "cpu"
    data, attributes, _ = scan_to_layer_data(make_phantom(12, shape=(224, 224)).scan)
    session.choose_layer(viewer.add_layer(Image(data, **attributes)))
    session.set_report(REPORTS[0])
    session.segment().result(timeout=600)
    app = QApplication.instance()
    times, shown, busy = [], [], []
    for i in range(options.rounds + 3):
        settled = time.perf_counter() + PAUSE_S
        while time.perf_counter() < settled:
            app.processEvents()
            time.sleep(0.005)
        started, processor = time.perf_counter(), time.process_time()
        session.set_report(REPORTS[(i + 1) % 2])
        session.update().result(timeout=60)
        times.append(1e3 * (time.perf_counter() - started))
        busy.append(1e3 * (time.process_time() - processor))
        app.processEvents()
        shown.append(1e3 * (time.perf_counter() - started))
    figures = ", ".join(
        f"{name} median {statistics.median(values[3:]):.0f} ms, shortest {min(values[3:]):.0f} ms"
        for name, values in (("pause to mask", times), ("shown", shown), ("processor", busy))
    )
    sys.stdout.write(f"224 x 224, {options.rounds} rounds: {figures} (bar {BAR_MS} ms to the mask)\n")
    viewer.close()


if __name__ == "__main__":
    main()
