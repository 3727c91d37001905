"""A mask's outlines as closed polygons, one per connected area, holes joined to the outside by a cut; and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage.draw import polygon as fill_polygon
from skimage.measure import find_contours

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Points = NDArray[np.float64]

_STRAIGHT = 1e-9


def outlines(mask: NDArray[np.bool_]) -> Iterator[tuple[Points, int]]:
    """Yield, for every area connected by edges, its outline and its number of pixels.

    Parameters
    ----------
    mask : NDArray[np.bool_], shape (rows, columns)

    Yields
    ------
    points : NDArray, shape (N, 2)
        (row, column), pixel centres at whole numbers, half-way between the pixels of the area and those outside; closed
        (the first point is not repeated). Holes are part of the same polygon by way of a cut without width, the only
        form of a hole that every program that reads contours understands.
    num_pixels : int

    """
    areas, _ = ndimage.label(mask)
    for number, box in enumerate(ndimage.find_objects(areas), 1):
        area = np.pad(areas[box] == number, 1)
        rings = [_simplified(ring[:-1]) for ring in find_contours(area.astype(np.float64), 0.5)]
        rings.sort(key=lambda ring: -abs(_signed_area(ring)))
        whole = rings[0]
        for hole in rings[1:]:
            whole = _joined(whole, hole)
        corner = np.array([box[0].start, box[1].start]) - 1
        yield whole + corner, int(area.sum())


def filled(points: Points, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels whose centres lie in a polygon of (row, column) points, shape (rows, columns)."""
    mask = np.zeros(shape, dtype=bool)
    mask[fill_polygon(points[:, 0], points[:, 1], shape)] = True
    return mask


def _signed_area(ring: Points) -> float:
    after = np.roll(ring, -1, axis=0)
    return float((ring[:, 0] * after[:, 1] - ring[:, 1] * after[:, 0]).sum() / 2)


def _simplified(ring: Points) -> Points:
    """Return a ring without the points that lie on the straight line between their neighbours."""
    into, out = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    return ring[np.abs(into[:, 0] * out[:, 1] - into[:, 1] * out[:, 0]) > _STRAIGHT]


def _joined(outer: Points, hole: Points) -> Points:
    """Return one polygon that runs around the outside, along a cut to the hole, around it and back."""
    squared = ((outer[:, None] - hole[None]) ** 2).sum(axis=-1)
    i, j = np.unravel_index(int(np.argmin(squared)), squared.shape)
    around = np.roll(hole, -j, axis=0)
    return np.concatenate([outer[: i + 1], around, around[:1], outer[i:]])
