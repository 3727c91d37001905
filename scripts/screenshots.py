"""Make the pictures of the documentation from the phantom, in a real window, and a film of the whole flow.

Usage: python scripts/screenshots.py [--out docs/images] [--all] [--learn MINUTES]

The film, flow.gif, goes from the first steps over report, mask and map of a sentence to a corrected and saved mask.
``--all`` makes every page of the panel at 1280 x 720 and 1920 x 1080, in the dark and the light theme, to be looked at.
``--learn`` makes the picture of learning from corrections, and no other: the shipped model is taught rib fractures,
which it does not know, from phantoms. Models of the user are neither seen nor changed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import napari
from napari.layers import Image
from napari.settings import get_plugin_settings
from PIL import Image as Picture
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QWidget

from napari_tmca import open_workbench
from napari_tmca.layers import scan_to_layer_data
from napari_tmca.sample_data import phantom
from napari_tmca.session import session_of
from napari_tmca.widgets import TmcaWidget
from napari_tmca.widgets.train import TrainWidget
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
PAGES = ("result", "correct", "view", "preferences")
FILM_SIZE, FILM_COLORS = (896, 504), 256
MOST_FILM_BYTES = 1_500_000
# The stroke of the film, in shares of the picture (across, down): under the mask, on the side of the patient's right.
STROKE = ((0.16, 0.45), (0.18, 0.49), (0.21, 0.53), (0.24, 0.55), (0.28, 0.57), (0.32, 0.57))
BRUSH = 14


@dataclass
class Film:
    """Pictures of the window, each with the time that it is shown."""

    viewer: Viewer
    frames: list[Picture.Image] = field(default_factory=list)
    times_ms: list[int] = field(default_factory=list)

    def take(self, time_ms: int, *, wait_ms: int = 250) -> None:
        """Take a picture of the window as it is, once it has been drawn."""
        _wait(wait_ms)
        picture = Picture.fromarray(self.viewer.screenshot(canvas_only=False, flash=False)[..., :3])
        self.frames.append(picture.resize(FILM_SIZE, Picture.Resampling.LANCZOS))
        self.times_ms.append(time_ms)

    def write(self, path: Path) -> None:
        """Write a GIF with one palette for all pictures, so that what stays the same costs nothing.

        Raises
        ------
        RuntimeError
            If it is larger than a page of documentation should load.

        """
        sheet = Picture.new("RGB", (FILM_SIZE[0], FILM_SIZE[1] * len(self.frames)))
        for i, frame in enumerate(self.frames):
            sheet.paste(frame, (0, i * FILM_SIZE[1]))
        palette = sheet.quantize(FILM_COLORS, method=Picture.Quantize.MAXCOVERAGE)
        first, *others = (frame.quantize(palette=palette, dither=Picture.Dither.NONE) for frame in self.frames)
        with atomic_write(path) as file:
            first.save(file, "GIF", save_all=True, append_images=others, duration=self.times_ms, loop=0, optimize=True)
        if path.stat().st_size > MOST_FILM_BYTES:
            raise RuntimeError(f"{path}: {path.stat().st_size:,} bytes, more than {MOST_FILM_BYTES:,}")


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--learn", type=float, metavar="MINUTES")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.learn:
        with tempfile.TemporaryDirectory() as folder:
            _learn(Path(folder), options.out, options.learn)
        return
    # Neither the user's preferences are to be seen in the pictures, nor are they changed.
    get_plugin_settings(path_dir=None)
    viewer = napari.Viewer(title="napari-tmca")
    viewer.window.resize(*SIZES[0])
    session = open_workbench(viewer)
    _shoot(viewer, options.out / "first_steps.png")
    _film(viewer).write(options.out / "flow.gif")
    session.clear()
    viewer.layers.clear()
    _panel(viewer).tabs.setCurrentIndex(0)
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


def _learn(folder: Path, out: Path, minutes: float) -> None:
    """Teach a new target, and show the verdict, the held-out cases, and one of them before and after."""
    os.environ["XDG_DATA_HOME"] = os.environ["HOME"] = str(folder / "home")
    script = Path(__file__).with_name("phantom_folder.py")
    subprocess.run([sys.executable, script, folder / "rib_fractures", "--train", "12", "--test", "0"], check=True)
    get_plugin_settings(path_dir=None)
    viewer = napari.Viewer(title="napari-tmca")
    viewer.window.resize(*SIZES[0])
    open_workbench(viewer)
    train = TrainWidget(viewer)
    viewer.window.add_dock_widget(train, name="Learn from corrections", area="right", tabify=True)
    train.folder.setText(str(folder / "rib_fractures"))
    train.minutes.setValue(minutes)
    train.begin()
    while train.training is not None:
        _wait(500)
    _shoot(train, out / "learn_result.png")
    train.keep_old()
    viewer.close()


def _film(viewer: Viewer) -> Film:
    """Go through the whole flow with the panel's own buttons."""
    film, session, panel = Film(viewer), session_of(viewer), _panel(viewer)
    film.take(2200, wait_ms=700)
    data, attributes, _ = phantom()[0]
    text = attributes["metadata"].pop("report")
    session.add_scan(Image(data, **attributes))
    film.take(1200, wait_ms=700)
    session.set_report(text)
    film.take(2200)
    future = session.segment()
    film.take(600, wait_ms=50)
    future.result(timeout=600)
    viewer.fit_to_view()
    film.take(2000, wait_ms=700)
    for sentence in session.report.used:
        session.show_map(sentence=sentence)
        panel.result.refresh()
        film.take(1500)
    session.heatmap_layer.visible = False
    panel.tabs.setCurrentWidget(panel.correct)
    layer = session.mask_layer
    layer.mode, layer.brush_size = "paint", BRUSH
    film.take(900)
    height, width = layer.data.shape
    with layer.block_history():
        for across, down in STROKE:
            layer.paint((int(height * down), int(width * across)), 1)
            film.take(220)
    layer.mode = "pan_zoom"
    panel.correct.tools["fill holes"].click()
    film.take(1200)
    panel.tabs.setCurrentWidget(panel.result)
    film.take(900)
    with tempfile.TemporaryDirectory() as folder:
        session.save_labels(Path(folder) / "chest_phantom_mask.png")
        film.take(3000)
    return film


def _panel(viewer: Viewer) -> TmcaWidget:
    return next(widget for widget in viewer.window.dock_widgets.values() if isinstance(widget, TmcaWidget))


def _shoot(shown: Viewer | QWidget, path: Path) -> None:
    _wait(700)
    if isinstance(shown, QWidget):
        shown.grab().save(str(path), "PNG")
        return
    with atomic_write(path) as file:
        Picture.fromarray(shown.screenshot(canvas_only=False, flash=False)[..., :3]).save(file, "PNG")


def _wait(milliseconds: int) -> None:
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


if __name__ == "__main__":
    main()
