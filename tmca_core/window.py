"""The robust range of an image's intensities: one definition for the network, the viewer and pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

WINDOW_PERCENTILES = (0.5, 99.5)
_ENOUGH = 1_000_000  # values from which percentiles are taken


def robust_window(
    pixels: NDArray[np.generic], percentiles: tuple[float, float] = WINDOW_PERCENTILES
) -> tuple[float, float]:
    """Return the lowest and highest intensity without outliers, in the pixels' own units; equal for a constant image.

    Parameters
    ----------
    pixels : NDArray
        Any shape, any real dtype; of a large one every n-th value counts.
    percentiles : tuple of float
        Low and high, 0..100.

    """
    values = pixels.reshape(-1)
    sample = values[:: max(values.size // _ENOUGH, 1)].astype(np.float64)
    low, high = np.percentile(sample, percentiles)
    return float(low), float(high)
