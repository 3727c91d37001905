"""Window and level of an image layer: named windows, and the drag with the right button."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_tmca.layers import SCAN_KEY
from napari_tmca.settings import read_settings
from tmca_core.study import Scan
from tmca_core.window import parse_windows, window_presets

if TYPE_CHECKING:
    from pathlib import Path

    from napari.layers import Image

_STEPS = 500  # pixels of the mouse for the whole range


def presets_of(layer: Image | None) -> dict[str, tuple[float, float]]:
    """Return the named windows of an image, lowest and highest intensity; none for a coloured one.

    Those of the preferences and those that its own DICOM header recommends come behind the automatic one.
    """
    if layer is None or layer.rgb:
        return {}
    scan = layer.metadata.get(SCAN_KEY)
    pixels = np.asarray(layer.data[-1] if layer.multiscale else layer.data)
    presets = window_presets(pixels, scan.modality if isinstance(scan, Scan) else "")
    source = scan.source if isinstance(scan, Scan) and scan.modality else None
    own = _recommended(source) if source is not None else {}
    chosen, _ = parse_windows(read_settings().own_windows)
    return dict([*presets.items()][:1]) | chosen | own | dict([*presets.items()][1:])


def _recommended(source: Path) -> dict[str, tuple[float, float]]:
    from tmca_core.io.dicom_windows import read_windows

    return read_windows(source)


def set_window(layer: Image | None, low: float, high: float) -> None:
    """Show intensities from ``low`` to ``high``."""
    if layer is not None and high > low:
        layer.contrast_limits_range = (
            min(low, layer.contrast_limits_range[0]),
            max(high, layer.contrast_limits_range[1]),
        )
        layer.contrast_limits = (low, high)


def drag_window(layer: Image | None, right: float, up: float) -> None:
    """Widen the window to the right, raise its level upwards, as radiologists' viewers do; in pixels of the mouse."""
    if layer is None or layer.rgb:
        return
    low, high = (float(v) for v in layer.contrast_limits)
    step = (layer.contrast_limits_range[1] - layer.contrast_limits_range[0]) / _STEPS
    level, width = (low + high) / 2 - up * step, max(high - low + right * step, step)
    set_window(layer, level - width / 2, level + width / 2)
