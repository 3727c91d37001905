"""Stand-ins until tmca_core.report and tmca_core.io are there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

try:
    from tmca_core.report import read_report, swap_sides
except ImportError:
    _OTHER = {"left": "right", "right": "left", "Left": "Right", "Right": "Left", "LEFT": "RIGHT", "RIGHT": "LEFT"}

    def swap_sides(text: str) -> str:  # type: ignore[misc]
        """Exchange left and right."""
        return re.sub(r"\b(left|right|Left|Right|LEFT|RIGHT)\b", lambda found: _OTHER[found[0]], text)

    def read_report(path: str | Path) -> str:  # type: ignore[misc]
        """Read a text file."""
        return path.read_text(encoding="utf-8-sig")  # type: ignore[union-attr]


try:
    from tmca_core.io import read_mask
except ImportError:

    def read_mask(path: Path) -> NDArray[np.bool_]:  # type: ignore[misc]
        """Read a mask picture."""
        from PIL import Image

        with Image.open(path) as image:
            return np.asarray(image.convert("L")) > 0


__all__ = ["read_mask", "read_report", "swap_sides"]
