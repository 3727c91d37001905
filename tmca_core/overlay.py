"""The scan with its mask drawn on it, as an ordinary picture for a page or a mail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy.ndimage import binary_erosion

from tmca_core.display import to_display

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tmca_core.study import Scan

MASK_RGB = (230, 159, 0)
"""Orange of the Okabe-Ito palette, told apart from grey with any colour vision."""

_TINT = 0.3


def draw_overlay(scan: Scan, mask: NDArray[np.generic]) -> tuple[NDArray[np.uint8], int | None]:
    """Draw the mask on the scan: tinted inside, outlined at its edge.

    Parameters
    ----------
    scan : Scan
        A picture, or a volume of which one slice is drawn.
    mask : NDArray, shape of the scan
        Whatever is not zero is target; may be empty.

    Returns
    -------
    picture : NDArray[np.uint8], shape (Y, X, 3)
        RGB. Stretched so that its pixels are square where the spacing is known and is not the same in y and x.
    slice_index : int or None
        Z of the slice drawn, the one with most target (the middle one if there is none); ``None`` for a picture.

    """
    target = np.asarray(mask, dtype=bool)
    slice_index = None if scan.ndim == 2 else fullest_slice(target)
    pixels = scan.pixels if slice_index is None else scan.pixels[slice_index]
    target = target if slice_index is None else target[slice_index]
    picture = to_display(pixels, is_rgb=scan.is_rgb).copy()
    if not scan.is_rgb:
        picture = np.repeat(picture[..., None], 3, axis=-1)
    shape = _square_pixel_shape(target.shape, scan.spacing_mm)
    if shape != target.shape:
        picture = _resize(picture, shape, Image.Resampling.BILINEAR)
        target = _resize(target.astype(np.uint8), shape, Image.Resampling.NEAREST).astype(bool)
    colour = np.array(MASK_RGB, dtype=np.float32)
    picture[target] = (1 - _TINT) * picture[target] + _TINT * colour
    picture[target & ~binary_erosion(target, border_value=1)] = MASK_RGB
    return picture, slice_index


def fullest_slice(mask: NDArray[np.bool_]) -> int:
    """Return the Z with most target, the middle one if there is none; ``mask`` is (Z, Y, X)."""
    per_slice = mask.sum(axis=(1, 2))
    return int(per_slice.argmax()) if per_slice.any() else mask.shape[0] // 2


def _square_pixel_shape(shape: tuple[int, ...], spacing_mm: tuple[float, ...] | None) -> tuple[int, int]:
    """Return (Y, X) with square pixels of the smaller spacing; the same shape where they are square or unknown."""
    height, width = shape
    if spacing_mm is None:
        return height, width
    step_y, step_x = spacing_mm[-2:]
    finest = min(step_y, step_x)
    return round(height * step_y / finest), round(width * step_x / finest)


def _resize(picture: NDArray[np.uint8], shape: tuple[int, int], how: Image.Resampling) -> NDArray[np.uint8]:
    height, width = shape
    return np.array(Image.fromarray(picture).resize((width, height), how))
