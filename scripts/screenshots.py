"""Make the pictures of the documentation from the phantom, in a real window.

Usage: python scripts/screenshots.py [--out docs/images] [--all]

``--all`` makes every page of the panel at 1280 x 720 and 1920 x 1080, in the dark and the light theme, to be looked at.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import napari
from napari.layers import Image
from PIL import Image as Picture
from qtpy.QtCore import QEventLoop, QTimer

from napari_tmca import open_workbench
from napari_tmca.layers import scan_to_layer_data
from napari_tmca.widgets import TmcaWidget
from tmca_core.atomic import atomic_write
from tmca_core.phantom import make_phantom

if TYPE_CHECKING:
    from napari import Viewer

SEED = 12
REPORT = (
    "Name: Jane Example. History: cough since 3 May 2024.\n"
    "Ground-glass opacity in the right mid lung. Probable consolidation in the left base. No pleural effusion."
)
SIZES = ((1280, 720), (1920, 1080))
PAGES = ("result", "correct", "view")


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    viewer = napari.Viewer(title="napari-tmca")
    viewer.window.resize(*SIZES[0])
    session = open_workbench(viewer)
    data, attributes, _ = scan_to_layer_data(make_phantom(SEED).scan)
    layer = viewer.add_layer(Image(data, **{**attributes, "name": f"Chest phantom {SEED}"}))
    session.choose_layer(layer)
    session.set_report(REPORT)
    panel = _panel(viewer)
    _shoot(viewer, options.out / "report.png")
    session.segment().result(timeout=600)
    viewer.fit_to_view()
    session.show_map(sentence=2)
    _shoot(viewer, options.out / "result.png")
    panel.tabs.setCurrentWidget(panel.correct)
    _shoot(viewer, options.out / "correct.png")
    if options.all:
        for theme, size, page in product(("dark", "light"), SIZES, PAGES):
            viewer.theme = theme
            viewer.window.resize(*size)
            panel.tabs.setCurrentWidget(getattr(panel, page))
            _wait(300)
            viewer.fit_to_view()
            _shoot(viewer, options.out / f"{page}_{theme}_{size[0]}x{size[1]}.png")
    viewer.close()


def _panel(viewer: Viewer) -> TmcaWidget:
    return next(widget for widget in viewer.window.dock_widgets.values() if isinstance(widget, TmcaWidget))


def _shoot(viewer: Viewer, path: Path) -> None:
    _wait(700)
    with atomic_write(path) as file:
        Picture.fromarray(viewer.screenshot(canvas_only=False, flash=False)[..., :3]).save(file, "PNG")


def _wait(milliseconds: int) -> None:
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


if __name__ == "__main__":
    main()
