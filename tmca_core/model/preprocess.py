"""A scan to the network's input, and the network's output back to the scan's grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import interpolate

from tmca_core.window import robust_window

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from tmca_core.model.architecture import PreprocessArchitecture
    from tmca_core.study import Scan


_COLOUR_GRID = 256  # pixels looked at for it, along each axis
_LEAST_COLOUR = 0.02  # mean difference of a pixel's channels, as a share of the window


def intensity_window(pixels: NDArray[np.generic], preprocess: PreprocessArchitecture) -> tuple[float, float]:
    """Return the robust lowest and highest value of a whole scan, in its own units."""
    return robust_window(pixels, (preprocess.low_percentile, preprocess.high_percentile))


def is_coloured(scan: Scan, window: tuple[float, float]) -> bool:
    """Return whether a scan has colour to speak of; grey in three channels, or a coloured mark, is none."""
    if not scan.is_rgb:
        return False
    step = max(1, *(n // _COLOUR_GRID for n in scan.shape))
    some = scan.pixels[(slice(None, None, step),) * scan.ndim]
    spread = np.ptp(some.astype(np.float32), axis=-1).mean()
    return bool(spread > _LEAST_COLOUR * max(window[1] - window[0], 1e-6))


def standardise(pixels: NDArray[np.generic], window: tuple[float, float]) -> NDArray[np.float32]:
    """Clip to the window and bring each slice to mean 0 and deviation 1; a constant slice becomes 0.

    Parameters
    ----------
    pixels : NDArray, shape (Z, Y, X) or (Z, Y, X, 3)
        Slices.
    window : tuple of float
        See `intensity_window`; one for the whole scan.

    """
    clipped = np.clip(pixels.astype(np.float32), *window)
    axes = tuple(range(1, clipped.ndim))
    mean = clipped.mean(axis=axes, keepdims=True)
    deviation = clipped.std(axis=axes, keepdims=True)
    result: NDArray[np.float32] = (clipped - mean) / np.maximum(deviation, 1e-6 * (1.0 + np.abs(mean)))
    return result


def scan_slices(scan: Scan) -> NDArray[np.generic]:
    """Return the slices of a scan, (Z, Y, X) or (Z, Y, X, 3); an image is one slice."""
    return scan.pixels if scan.ndim == 3 else scan.pixels[None]


def to_network(slices: NDArray[np.float32], shape_yx: tuple[int, int]) -> Tensor:
    """Return standardised slices as (Z, 3, H, W); grey is repeated over the three channels."""
    x = torch.from_numpy(np.ascontiguousarray(slices))
    x = x.permute(0, 3, 1, 2) if x.ndim == 4 else x[:, None]
    if tuple(x.shape[-2:]) != shape_yx:
        x = interpolate(x, size=shape_yx, mode="bilinear", antialias=True, align_corners=False)
    return x.expand(-1, 3, -1, -1)


def to_scan(logits: Tensor, shape_yx: tuple[int, int]) -> NDArray[np.float32]:
    """Return (Z, 1, H, W) logits on the scan's own grid, (Z, Y, X)."""
    if tuple(logits.shape[-2:]) != shape_yx:
        logits = interpolate(logits.float(), size=shape_yx, mode="bilinear", align_corners=False)
    result: NDArray[np.float32] = logits[:, 0].float().cpu().numpy()
    return result
