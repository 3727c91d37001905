"""How masks look: the colours of the classes, outline or filled, opacity; as the user chose."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from napari.utils.colormaps import DirectLabelColormap

from napari_tmca.settings import read_settings

if TYPE_CHECKING:
    from napari.layers import Labels

# Classes of the mask and their colours, told apart with any colour vision (Okabe and Ito). The network knows the first.
CLASSES: dict[str, str] = {
    "target": "#e69f00",
    "class 2": "#57b5e8",
    "class 3": "#cc78a6",
    "class 4": "#009e73",
    "class 5": "#f0e342",
}

_HEX = re.compile(r"#[0-9a-fA-F]{6}")
_OUTLINE_PIXELS = 1  # picture and heatmap stay visible under it
# Of what was painted with a number that is no class.
_NO_CLASS = "#d55e00"


def class_colors() -> dict[str, str]:
    """Return the colour of each class, as ``"#rrggbb"``: the one chosen, or its own where none can be read."""
    chosen = [color.strip() for color in read_settings().class_colors.split(",")]
    return CLASSES | {name: color for name, color in zip(CLASSES, chosen, strict=False) if _HEX.fullmatch(color)}


def contour() -> int:
    """Return the width of a mask's outline in pixels; 0 where masks are filled."""
    return 0 if read_settings().mask_filled else _OUTLINE_PIXELS


def dress(layer: Labels) -> None:
    """Give a mask the look that the user chose."""
    colors: dict[int | None, str] = {None: _NO_CLASS, 0: "transparent"}
    colors.update(enumerate(class_colors().values(), 1))
    layer.colormap = DirectLabelColormap(color_dict=colors)
    layer.opacity = read_settings().mask_opacity
    layer.contour = contour()
