"""Time the first segmentation after a cold start: each round in a new process, in a real window, with the phantom.

Usage: xvfb-run -a -s "-screen 0 1920x1080x24 +extension GLX" python benchmarks/cold_start.py [--rounds N]

Three times of each round: until the panel is docked (without torch), from a click at the very moment the scan has come
to the mask in its layer ("at once"), and from a click after the time in which a report is pasted ("after a pause"),
while which the panel makes the network ready. The file cache is warm in all but the first round.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

BARS_S = {"panel": 0.5, "at once": 6.0, "after a pause": 6.0}


def main() -> None:
    """Print the medians, or be one round where ``--pause`` is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0, help="the pause, in which a report is pasted")
    parser.add_argument("--pause", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.pause is not None:
        sys.stdout.write("{:.3f} {:.3f}\n".format(*one_round(options.pause)))
        return
    times: dict[str, list[float]] = {name: [] for name in BARS_S}
    for _ in range(options.rounds):
        for name, pause in (("at once", 0.0), ("after a pause", options.seconds)):
            command = [sys.executable, __file__, "--pause", str(pause)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            panel, answer = map(float, done.stdout.split()[-2:])
            times["panel"].append(panel)
            times[name].append(answer)
    for name, values in times.items():
        line = f"{name}: median {statistics.median(values):.2f} s, longest {max(values):.2f} s (bar {BARS_S[name]:g} s)"
        sys.stdout.write(line + "\n")


def one_round(pause: float) -> tuple[float, float]:
    """Return the seconds until the panel is docked, and from the click to the mask."""
    import napari
    from napari.layers import Image
    from qtpy.QtWidgets import QApplication

    from napari_tmca import open_workbench
    from napari_tmca.layers import scan_to_layer_data
    from tmca_core.phantom import make_phantom

    viewer = napari.Viewer()
    app = QApplication.instance()
    app.processEvents()
    started = time.perf_counter()
    session = open_workbench(viewer)
    app.processEvents()
    panel = time.perf_counter() - started
    if "torch" in sys.modules:
        raise RuntimeError("the panel imported torch")
    phantom = make_phantom(12)
    data, attributes, _ = scan_to_layer_data(phantom.scan)
    session.choose_layer(viewer.add_layer(Image(data, **attributes)))
    session.set_report(phantom.report_text)
    app.processEvents()
    clicked = time.perf_counter() + pause
    while time.perf_counter() < clicked:
        app.processEvents()
        time.sleep(0.01)
    started = time.perf_counter()
    session.segment().result(timeout=120)
    answer = time.perf_counter() - started
    viewer.close()
    return panel, answer


if __name__ == "__main__":
    main()
