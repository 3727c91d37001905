"""Smooth random textures, cheap at any size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import zoom

if TYPE_CHECKING:
    from numpy.random import Generator

    from tmca_core.phantom.frame import Frame, Map


def smooth_noise(frame: Frame, scale_mm: float, rng: Generator) -> Map:
    """Return noise of about zero mean and unit spread that varies over ``scale_mm``, (Y, X).

    Drawn on a coarse grid and interpolated, so that its look does not depend on the number of pixels.
    """
    step = max(scale_mm / frame.pixel_mm, 1.0)
    coarse = [int(np.ceil(size / step)) + 4 for size in frame.shape]
    values = zoom(
        rng.standard_normal(coarse).astype(np.float32),
        step,
        order=3,
        mode="nearest",
        grid_mode=True,
    )
    rows, columns = (int(offset) for offset in rng.uniform(step, 2 * step, 2))
    return values[
        rows : rows + frame.shape[0], columns : columns + frame.shape[1]
    ] / np.float32(0.6)
