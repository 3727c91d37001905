"""A simulated clinician: corrects a mask to the reference by brush strokes of an erring hand. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from tmca_core.metrics import dice

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_STROKES = 60
GOOD_ENOUGH = 0.95  # Dice at which a clinician goes on to the next case


@dataclass(frozen=True, eq=False)
class Correction:
    """A mask after correction, where it was painted, and what that took."""

    mask: NDArray[np.bool_]
    painted: NDArray[np.bool_]
    num_strokes: int
    num_pixels: int


def correct(
    mask: NDArray[np.bool_], reference: NDArray[np.bool_], rng: np.random.Generator, *, error_px: float = 1.0
) -> Correction:
    """Correct a mask until it is good enough, a stroke at the worst place at a time.

    A stroke paints or erases the widest part of the largest wrong region, with a brush as wide as fits twice into it,
    displaced by a hand that errs by ``error_px`` (standard deviation, pixels, per axis). A stroke that makes nothing
    better is undone, and counts.

    Parameters
    ----------
    mask, reference : NDArray[np.bool_], shape (Y, X)
        What the network drew, and what is right.
    rng : numpy.random.Generator
        Of the hand.
    error_px : float
        How far it errs.

    """
    current, painted = mask.copy(), np.zeros_like(mask)
    strokes = pixels = 0
    while strokes < MAX_STROKES and dice(current, reference) < GOOD_ENOUGH:
        region = _largest(current ^ reference)
        is_missing = bool(reference[region].mean() > 0.5)
        drift = rng.normal(0.0, error_px, 2).round().astype(int)
        stroke = _stroke(region & (reference == is_missing), drift)
        strokes += 1
        pixels += int(stroke.sum())
        after = (current | stroke) if is_missing else (current & ~stroke)
        if np.count_nonzero(after ^ reference) < np.count_nonzero(current ^ reference):
            current, painted = after, painted | stroke
    return Correction(current, painted, strokes, pixels)


def _largest(wrong: NDArray[np.bool_]) -> NDArray[np.bool_]:
    labels, count = ndimage.label(wrong)
    sizes = ndimage.sum_labels(wrong, labels, np.arange(1, count + 1))
    largest: NDArray[np.bool_] = labels == 1 + int(np.argmax(sizes))
    return largest


def _stroke(region: NDArray[np.bool_], drift: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return what a brush of half the region's greatest width covers of it, displaced."""
    depth = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    radius = max(depth.max() / 2.0, 1.0)
    path = depth >= radius  # where the middle of the brush may go
    covered = ndimage.distance_transform_edt(~path) < radius
    moved: NDArray[np.bool_] = ndimage.shift(covered.astype(np.uint8), drift, order=0).astype(bool)
    return moved
