"""For the second reader: the network's mask as an outline beside the one that was made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_tmca.appearance import contour

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image, Layer
    from numpy.typing import NDArray

AI_OUTLINE_NAME = "AI mask, outline"
AI_COLOR = (0.34, 0.71, 0.91, 1.0)  # Okabe-Ito sky blue, beside the orange of the mask
OUTLINE_PIXELS = 2
_KEY = "tmca_outline_of"


def show_outlines(
    viewer: Viewer, case_id: str, mask: Labels | None, ai: NDArray[Any] | None, reference: Image | None
) -> None:
    """Show the network's mask as a blue outline on the grid of ``reference``, and the mask as an outline, too."""
    if mask is not None:
        mask.contour = OUTLINE_PIXELS
    if ai is None or reference is None or any(layer.metadata.get(_KEY) == case_id for layer in viewer.layers):
        return
    outline = Labels(
        (ai != 0).astype(np.uint8),
        name=AI_OUTLINE_NAME,
        colormap=DirectLabelColormap(color_dict={0: "transparent", 1: AI_COLOR, None: AI_COLOR}),
        metadata={_KEY: case_id},
        scale=reference.scale,
        units=reference.units,
        axis_labels=reference.axis_labels,
    )
    outline.contour, outline.editable = OUTLINE_PIXELS, False
    viewer.add_layer(outline)
    if mask is not None:
        viewer.layers.selection.active = mask


def hide_outlines(viewer: Viewer, mask: Labels | None) -> None:
    """Take the network's outline away, and show the mask as the user likes it."""
    if mask is not None:
        mask.contour = contour()
    for layer in [layer for layer in viewer.layers if is_outline(layer)]:
        viewer.layers.remove(layer)


def is_outline(layer: Layer) -> bool:
    """Return whether a layer is such an outline."""
    return _KEY in layer.metadata
