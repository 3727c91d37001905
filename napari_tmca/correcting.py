"""Strokes drawn on the canvas, and work across the slices of a volume: what joins the mask with what is shown."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_tmca.canvas import index_in, pixels_along, shows_planes

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from napari import Viewer
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_tmca.canvas import CanvasTools, Stroke
    from napari_tmca.editing import MaskEditor
    from tmca_core.study import Scan


class Corrector:
    """Corrects the mask where the mouse was, and in the slice that is shown.

    Signals (psygnal): `said` with a sentence for the user, `stroke_changed` when the mouse was taken or given back.

    Attributes
    ----------
    scan : Scan or None
        Which the mask was made of.

    """

    said = Signal(str)
    stroke_changed = Signal()

    def __init__(self, viewer: Viewer, mask: MaskEditor, canvas: CanvasTools) -> None:
        self.scan: Scan | None = None
        self._viewer, self._mask, self._canvas = weakref.ref(viewer), mask, canvas
        canvas.stroked.connect(self._on_stroked)

    def refine(self, include: Sequence[Sequence[int]] = (), exclude: Sequence[Sequence[int]] = ()) -> bool:
        """Refine the mask by pixels that belong to the target, and pixels that do not; return whether it changed."""
        scan = self.scan
        if scan is None:
            return False
        picture: NDArray[np.generic] = scan.pixels.mean(axis=-1) if scan.is_rgb else scan.pixels
        return self._mask.refine(picture, include, exclude)

    def set_stroke(self, stroke: Stroke | None) -> None:
        """Let drags on the canvas include or exclude what they pass over; ``None`` gives the mouse back."""
        layer, viewer = self._mask.layer, self._viewer()
        if layer is None or viewer is None:
            stroke = None
        else:
            layer.mode = "pan_zoom"  # its brush would paint as well
            layer.events.mode.connect(self._on_mode)
            viewer.layers.selection.active = layer
        self._canvas.stroke = stroke
        self.stroke_changed.emit()

    def give_back_mouse(self) -> None:
        """End strokes where the mask is gone."""
        if self._canvas.stroke is not None and self._mask.layer is None:
            self._canvas.stroke = None

    def copy_to_next_slice(self) -> bool:
        """Put the class selected in the slice shown into the next one, and go there; return whether it changed."""
        z, layer, viewer = self._slice_shown(), self._mask.layer, self._viewer()
        if z is None or layer is None or viewer is None or z + 1 >= len(layer.data):
            self.said.emit("There is no next slice to copy to.")
            return False
        changed = self._mask.copy_slice(z, z + 1)
        axis = viewer.dims.ndim - 3
        viewer.dims.set_point(axis, layer.data_to_world((z + 1, 0, 0))[0])
        return changed

    def interpolate_slices(self) -> bool:
        """Fill the empty slices around the one shown from the nearest slices with a mask; return whether it did."""
        z = self._slice_shown()
        gap = self._mask.interpolate(z) if z is not None else None
        if gap is None:
            self.said.emit("Go to a slice without a mask that lies between two slices with one.")
            return False
        first, last = gap
        self.said.emit(f"Slices {first + 2} to {last} were filled between slice {first + 1} and slice {last + 1}.")
        return True

    def _slice_shown(self) -> int | None:
        """Return which slice of a volume's mask is shown; ``None`` without one, or in another view."""
        layer, viewer = self._mask.layer, self._viewer()
        if layer is None or viewer is None or layer.data.ndim != 3 or not shows_planes(viewer):
            return None
        z = round(float(layer.world_to_data(viewer.dims.point)[-3]))
        return z if 0 <= z < len(layer.data) else None

    def _on_mode(self) -> None:
        """Give the mouse back when a tool of napari's own is taken."""
        layer: Labels | None = self._mask.layer
        if self._canvas.stroke is not None and layer is not None and layer.mode != "pan_zoom":
            self._canvas.stroke = None
            self.stroke_changed.emit()

    def _on_stroked(self, kind: str, positions: Sequence[Sequence[float]]) -> None:
        layer, viewer = self._mask.layer, self._viewer()
        if layer is None or viewer is None or not shows_planes(viewer):
            self.said.emit("Strokes work in the slices as they were taken. Bring the axes back to their order.")
            return
        pixels = pixels_along([index for p in positions if (index := index_in(layer, p)) is not None])
        if not (self.refine(include=pixels) if kind == "include" else self.refine(exclude=pixels)):
            self.said.emit("Nothing had to be changed there.")
