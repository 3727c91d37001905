"""Pictures that are nearly the same: small grey thumbnails, correlated after what all pictures share is taken off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from tmca_core.display import to_display

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tmca_core.study import Scan

_SIDE = 32
_SHARED_FROM = 30  # pictures; the mean of fewer is no common anatomy
_BLOCK = 1024
ALIKE = 0.95
"""Correlation from which two pictures count as nearly the same."""


def fingerprint(scan: Scan) -> NDArray[np.float32]:
    """Return a picture's thumbnail, shape (1024,), mean 0 and length 1; all 0 for a constant picture.

    Of a volume the middle slice counts. Another size, format, brightness or contrast changes it little.
    """
    pixels = scan.pixels if scan.ndim == 2 else scan.pixels[scan.shape[0] // 2]
    grey = to_display(pixels, is_rgb=scan.is_rgb)
    grey = grey.mean(axis=-1).astype(np.uint8) if scan.is_rgb else grey
    small = Image.fromarray(grey).resize((_SIDE, _SIDE), Image.Resampling.BOX)
    return _unit(np.asarray(small, dtype=np.float32).reshape(1, -1))[0]


def near_duplicates(
    prints: NDArray[np.float32], groups: Sequence[str], *, threshold: float = ALIKE
) -> list[tuple[int, int, float]]:
    """Return the pairs (i, j, correlation), i < j, of nearly equal pictures that stand in different groups.

    Radiographs of different people are alike already, so the mean picture is taken off first where there are enough.

    Parameters
    ----------
    prints : NDArray[np.float32], shape (N, 1024)
        From `fingerprint`.
    groups : sequence of str, length N
        The split of each picture.
    threshold : float
        Least correlation.

    """
    rows = _unit(prints - prints.mean(axis=0)) if len(prints) >= _SHARED_FROM else prints
    numbers = np.unique(np.asarray(groups), return_inverse=True)[1]
    pairs: list[tuple[int, int, float]] = []
    for first in range(0, len(rows), _BLOCK):
        alike = rows[first : first + _BLOCK] @ rows[first:].T
        for a, b in np.argwhere(alike >= threshold):
            i, j = first + int(a), first + int(b)
            if i < j and numbers[i] != numbers[j]:
                pairs.append((i, j, float(alike[a, b])))
    return sorted(pairs, key=lambda pair: -pair[2])


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    centred = rows - rows.mean(axis=1, keepdims=True)
    unit: NDArray[np.float32] = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)
    return unit.astype(np.float32)
