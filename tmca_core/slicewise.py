"""Answers given slice by slice, brought together: a range of slices, probabilities smoothed across them, flicker."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import gaussian_filter1d

from tmca_core.errors import ConfigError
from tmca_core.metrics import dice

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Gaussian, in slices. By benchmarks/volume.py neighbours agree better with it, and no volume's Dice falls.
SMOOTHING = 1.0
NOT_LOOKED_AT = -30.0  # logit of slices outside the range: a probability of zero in any calibration
_ROWS = 8  # smoothed at once, so that memory does not grow with the volume
_LEAST = 1e-9
_RANGE = re.compile(r"(\d*)\s*:\s*(\d*)")


def parse_range(text: str, count: int) -> range:
    """Return the slices that "10:40" names: from the 10th to the 40th, both included, either end may be left out.

    Parameters
    ----------
    text : str
        Slices count from 1, from the feet upwards in a volume with a place in space.
    count : int
        Of slices in the scan.

    Raises
    ------
    ConfigError
        If it is something else, or holds no slice of the scan.

    """
    found = _RANGE.fullmatch(text.strip())
    first, last = (int(found[1] or 1), int(found[2] or count)) if found else (0, 0)
    if not 1 <= first <= last <= count:
        raise ConfigError(
            f"slices: expected a range such as 10:40 within 1:{count}, got '{text}'.",
            hint="Slices count from 1; both ends are included.",
        )
    return range(first - 1, last)


def smooth_across(logits: NDArray[np.float32], sigma: float = SMOOTHING) -> None:
    """Smooth probabilities across slices and not within them, in place.

    Parameters
    ----------
    logits : NDArray[np.float32], shape (Z, Y, X)
        Of neighbouring slices; becomes the logits of the smoothed probabilities. Beyond the ends the last slice counts.
    sigma : float
        Of the Gaussian, in slices.

    """
    for row in range(0, logits.shape[1], _ROWS):
        part = 0.5 * (1.0 + np.tanh(0.5 * logits[:, row : row + _ROWS].astype(np.float64)))
        part = np.clip(gaussian_filter1d(part, sigma, axis=0, mode="nearest"), _LEAST, 1 - _LEAST)
        logits[:, row : row + _ROWS] = np.log(part) - np.log1p(-part)


def neighbour_dice(mask: NDArray[Any]) -> float:
    """Return the mean Dice of neighbouring slices, of pairs where either holds any; ``nan`` where there is none.

    Parameters
    ----------
    mask : NDArray, shape (Z, Y, X)
        Whatever is not zero is target.

    """
    target = np.asarray(mask, dtype=bool)
    pairs = [(a, b) for a, b in pairwise(target) if a.any() or b.any()]
    return float(np.mean([dice(a, b) for a, b in pairs])) if pairs else float("nan")
