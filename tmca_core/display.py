"""A scan as 8-bit grey or colour, for pictures of it; never for the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tmca_core.window import robust_window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tmca_core.study import Scan

_HEAT = np.array([[0, 0, 0], [120, 0, 60], [230, 60, 20], [255, 170, 0], [255, 255, 160]], dtype=np.float32)
_HEAT_OPACITY = 0.6


def to_display(pixels: NDArray[np.generic], *, is_rgb: bool = False) -> NDArray[np.uint8]:
    """Return pixels as 8 bits, through a window between two robust percentiles.

    8-bit colour stays as it is; a constant image becomes black.

    Parameters
    ----------
    pixels : NDArray
        Of a whole scan or of one slice, with a trailing axis of 3 for colour.
    is_rgb : bool
        Whether the last axis is colour.

    Returns
    -------
    NDArray[np.uint8], same shape

    """
    if is_rgb and pixels.dtype == np.uint8:
        return pixels.astype(np.uint8, copy=False)
    low, high = robust_window(pixels)
    if high <= low:
        low, high = float(pixels.min()), float(pixels.max())
    if high <= low:
        return np.zeros(pixels.shape, dtype=np.uint8)
    scaled = (pixels.astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low))
    display: NDArray[np.uint8] = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return display


def with_heat(scan: Scan, attention: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the displayed scan with an attention map over it: the stronger, the more opaque and the brighter.

    Parameters
    ----------
    scan : Scan
    attention : NDArray[np.float32], shape of the scan
        0..1.

    Returns
    -------
    NDArray[np.uint8], shape of the scan plus 3
        RGB.

    """
    grey = to_display(scan.pixels, is_rgb=scan.is_rgb)
    base = (grey if scan.is_rgb else np.repeat(grey[..., np.newaxis], 3, axis=-1)).astype(np.float32)
    strength = np.clip(attention, 0, 1).astype(np.float32)
    stops = np.linspace(0, 1, len(_HEAT))
    heat = np.stack([np.interp(strength, stops, _HEAT[:, channel]) for channel in range(3)], axis=-1)
    alpha = _HEAT_OPACITY * strength[..., np.newaxis]
    return np.rint((1 - alpha) * base + alpha * heat).astype(np.uint8)
