"""The main job from start to end: a scan and a report in, mask, heatmaps and a picture of the window out.

Run as ``python -m napari_tmca.demo``; ``make demo`` does. It drives the same session that the panel shows.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tmca_core.errors import TmcaError
from tmca_core.phantom import Phantom, make_phantom

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari import Viewer

    from napari_tmca.session import Session
    from tmca_core.study import Scan

DEMO_SEED = 12
LEAST_DICE = 0.80
HEADLESS = "TMCA_DEMO_HEADLESS"
WINDOW = (1480, 900)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration; return 0, or 1 where the phantom's Dice is too low or something is wrong."""
    options = _parse(arguments)
    import napari

    viewer = napari.Viewer(title="napari-tmca")
    viewer.window.resize(*WINDOW)
    try:
        code = _run(viewer, options)
    except TmcaError as error:
        sys.stderr.write(f"error: {error.message}\n" + (f"hint: {error.hint}\n" if error.hint else ""))
        viewer.close()
        return 1
    if options.stay and code == 0:
        napari.run()
    else:
        viewer.close()
    return code


def _run(viewer: Viewer, options: argparse.Namespace) -> int:
    from napari_tmca import open_workbench

    session = open_workbench(viewer)
    if options.model:
        session.model = options.model
    phantom = None if options.scan else make_phantom(options.seed)
    scan = _open(session, viewer, options, phantom)
    started = time.perf_counter()
    first = session.segment().result(timeout=600)
    cold = time.perf_counter() - started
    session.show_map()
    options.out.mkdir(parents=True, exist_ok=True)
    _write(session, scan, options.out)
    viewer.fit_to_view()
    _picture(viewer, options.out / "window.png")
    image, text = (first.provenance.timings_s[key] for key in ("image", "report"))
    _say(f"model     {first.provenance.model_name} {first.provenance.model_version} on {first.provenance.device}")
    _say(f"time      {cold:.1f} s from the click, loading included; network {1e3 * (image + text):.0f} ms")
    for message in session.messages:
        _say(f"note      {message}")
    _say(f"size      {session.mask.area}")
    _say(f"written   {options.out}/")
    return _judge(session, phantom)


def _open(session: Session, viewer: Viewer, options: argparse.Namespace, phantom: Phantom | None) -> Scan:
    from napari_tmca.layers import layer_to_scan

    if phantom is None:
        layer = session.open_scan(options.scan)
        session.set_report(options.report)
    else:
        from napari.layers import Image

        from napari_tmca.layers import scan_to_layer_data

        data, attributes, _ = scan_to_layer_data(phantom.scan)
        layer = Image(data, **{**attributes, "name": f"Chest phantom {phantom.seed}"})
        viewer.add_layer(layer)
        session.choose_layer(layer)
        session.set_report(options.report or phantom.report_text)
    _say(f"report    {session.report.text or '(none: the picture alone)'}")
    return layer_to_scan(layer)


def _write(session: Session, scan: Scan, out: Path) -> None:
    from tmca_core.attention import attention_on_scan
    from tmca_core.io import write_map, write_mask, write_overlay

    segmentation = session.segmentation
    if segmentation is None:
        raise RuntimeError("no segmentation to write")
    suffix = ".png" if scan.ndim == 2 and scan.native is None else ".nii.gz"
    write_mask(out / f"mask{suffix}", segmentation.mask, scan)
    write_map(out / f"probability{suffix}", segmentation.probability, scan)
    for level in range(1, len(segmentation.attention) + 1):
        write_map(out / f"attention_level{level}{suffix}", attention_on_scan(segmentation, level=level), scan)
    write_overlay(out / "overlay.png", scan, segmentation.mask)


def _picture(viewer: Viewer, path: Path) -> None:
    """Write a picture of the whole window, once it has been drawn."""
    from PIL import Image
    from qtpy.QtCore import QEventLoop, QTimer

    from tmca_core.atomic import atomic_write

    loop = QEventLoop()
    QTimer.singleShot(1000, loop.quit)
    loop.exec()
    with atomic_write(path) as file:
        Image.fromarray(viewer.screenshot(canvas_only=False, flash=False)[..., :3]).save(file, "PNG")


def _judge(session: Session, phantom: Phantom | None) -> int:
    from tmca_core.metrics import dice

    if phantom is None or session.mask_layer is None:
        return 0
    found = dice(np.asarray(session.mask_layer.data) > 0, phantom.mask)
    _say(f"Dice      {found:.3f} against the phantom's exact mask (at least {LEAST_DICE:.2f} expected)")
    return 0 if found >= LEAST_DICE else 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m napari_tmca.demo", description=__doc__)
    parser.add_argument("--scan", type=Path, help="your own image or volume instead of the phantom")
    parser.add_argument("--report", default="", help="the report, sides as the patient's")
    parser.add_argument("--seed", type=int, default=DEMO_SEED, help="which phantom")
    parser.add_argument("--model", default="", help="name of an installed model, or a folder")
    parser.add_argument("--out", type=Path, default=Path("demo_out"), help="folder for the results")
    parser.add_argument("--stay", action=argparse.BooleanOptionalAction, default=HEADLESS not in os.environ)
    return parser.parse_args(arguments)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
