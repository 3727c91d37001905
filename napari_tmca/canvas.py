"""What belongs to the canvas: the letters of the patient's sides, the scale bar, and what the mouse points at."""

from __future__ import annotations

import weakref
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from napari.components.overlays import TextOverlay
from psygnal import Signal

from napari_tmca.opengl import make_canvas_current

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari import Viewer
    from napari.layers import Labels

    from tmca_core.study import Scan

Stroke = Literal["include", "exclude"]
# Modalities whose pictures show the patient from a known direction, the patient's left at the right.
_SIDED = frozenset({"CR", "DX", "DR", "RG", "CT", "MR", "PT", "NM"})
# Letters at the left and right edge, by the axis that runs to the right: (z, y, x) = (superior, posterior, left).
_LETTERS = {-1: ("R", "L"), -2: ("A", "P"), -3: ("I", "S")}
_EDGES: dict[str, Literal["middle_left", "middle_right"]] = {
    "tmca_left_edge": "middle_left",
    "tmca_right_edge": "middle_right",
}
_RIGHT_BUTTON = 2


class CanvasTools:
    """Letters, scale bar and mouse of one viewer.

    `pointed` tells the world position under the mouse; `stroked` the kind and the world positions of a stroke drawn
    while ``stroke`` is set; `windowed` how far, in pixels, the mouse was dragged with the right button (right, up).

    Parameters
    ----------
    viewer : Viewer
        Held weakly.

    """

    pointed = Signal(object)
    stroked = Signal(str, object)
    windowed = Signal(float, float)

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = weakref.ref(viewer)
        self._stroke: Stroke | None = None
        self._scan: Scan | None = None
        viewer.mouse_move_callbacks.append(self._on_move)
        viewer.mouse_drag_callbacks.append(self._on_drag)
        viewer.layers.events.removing.connect(self._on_removing)
        for event in (viewer.dims.events.order, viewer.dims.events.ndisplay, viewer.scene.camera.events.orientation):
            event.connect(self._place_letters)

    @property
    def stroke(self) -> Stroke | None:
        """What a drag with the left button means; ``None`` leaves the mouse to napari."""
        return self._stroke

    @stroke.setter
    def stroke(self, stroke: Stroke | None) -> None:
        self._stroke = stroke
        viewer = self._viewer()
        if viewer is not None:
            viewer.scene.camera.mouse_pan = stroke is None

    def show_scan(self, scan: Scan | None) -> None:
        """Show letters where the scan has the patient's sides, and the scale bar where its spacing is known."""
        self._scan = scan
        viewer = self._viewer()
        if viewer is not None:
            viewer.canvas.overlays.scale_bar.visible = scan is not None and scan.spacing_mm is not None
            self._place_letters()

    def letters(self) -> tuple[str, str]:
        """Return the letters at the left and right edge as things are shown now; empty where they are not known."""
        viewer, scan = self._viewer(), self._scan
        if viewer is None or scan is None or not has_sides(scan) or viewer.dims.ndisplay != 2:
            return "", ""
        axis = viewer.dims.displayed[-1] - viewer.dims.ndim
        left, right = _LETTERS.get(axis, ("", ""))
        return (right, left) if str(viewer.scene.camera.orientation2d[1]) == "left" else (left, right)

    def _on_removing(self) -> None:
        viewer = self._viewer()
        if viewer is not None:
            make_canvas_current(viewer)

    def _place_letters(self) -> None:
        viewer = self._viewer()
        if viewer is None:
            return
        overlays = viewer.canvas.overlays
        for (name, position), letter in zip(_EDGES.items(), self.letters(), strict=True):
            if name not in overlays and letter:
                overlays[name] = TextOverlay(position=position, font_size=18)
            if name in overlays:
                overlays[name].text = letter
                overlays[name].visible = bool(letter)

    def _on_move(self, viewer: Viewer, event: Any) -> None:
        self.pointed.emit(tuple(event.position))

    def _on_drag(self, viewer: Viewer, event: Any) -> Iterator[None]:
        is_window = event.button == _RIGHT_BUTTON and viewer.dims.ndisplay == 2 and self._scan is not None
        if is_window:
            yield from self._drag_window(viewer, event)
        elif event.button == 1 and self._stroke is not None:
            kind, positions = self._stroke, [tuple(event.position)]
            yield
            while event.type == "mouse_move":
                positions.append(tuple(event.position))
                yield
            self.stroked.emit(kind, positions)

    def _drag_window(self, viewer: Viewer, event: Any) -> Iterator[None]:
        # The camera zooms at a drag with the right button, unless it is told to leave drags alone.
        before, viewer.scene.camera.mouse_pan = viewer.scene.camera.mouse_pan, False
        last = np.asarray(event.pos)
        yield
        while event.type == "mouse_move":
            now = np.asarray(event.pos)
            self.windowed.emit(float(now[0] - last[0]), float(last[1] - now[1]))
            last = now
            yield
        viewer.scene.camera.mouse_pan = before


def has_sides(scan: Scan) -> bool:
    """Return whether left and right of the picture are the patient's right and left for certain."""
    return scan.affine_ras is not None or scan.modality in _SIDED


def index_in(layer: Labels, position: Sequence[float]) -> tuple[int, ...] | None:
    """Return the pixel of a layer at a world position; ``None`` beside it."""
    point = layer.world_to_data(tuple(position)[-layer.data.ndim :])
    index = tuple(round(float(value)) for value in point)
    inside = all(0 <= i < n for i, n in zip(index, layer.data.shape, strict=True))
    return index if inside else None


def pixels_along(points: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Return every pixel on the straight lines between successive points."""
    pixels = dict.fromkeys(points[:1])
    for start, end in pairwise(points):
        steps = max(max(abs(a - b) for a, b in zip(start, end, strict=True)), 1)
        for t in np.linspace(0.0, 1.0, steps + 1):
            pixels[tuple(round(a + (b - a) * float(t)) for a, b in zip(start, end, strict=True))] = None
    return list(pixels)


def shows_planes(viewer: Viewer) -> bool:
    """Return whether the last two axes are shown as a picture."""
    ndim = viewer.dims.ndim
    return viewer.dims.ndisplay == 2 and tuple(viewer.dims.displayed) == (ndim - 2, ndim - 1)
