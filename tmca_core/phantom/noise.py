"""Smooth random textures, cheap at any size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.random import Generator

    from tmca_core.phantom.frame import Frame, Map

SPREAD_OF_SPLINE = 0.48  # standard deviation of a 2-D cubic B-spline surface through unit white noise


def smooth_noise(frame: Frame, scale_mm: float, rng: Generator) -> Map:
    """Return noise of about zero mean and unit spread that varies over ``scale_mm``, (Y, X).

    White noise on a coarse grid under a cubic B-spline, so that its look does not depend on the number of pixels.
    """
    step = max(scale_mm / frame.pixel_mm, 1.0)
    rows, columns = (_spline_weights(size, step, float(rng.random())) for size in frame.shape)
    coarse = rng.standard_normal((rows.shape[1], columns.shape[1])).astype(np.float32)
    return rows @ coarse @ columns.T / np.float32(SPREAD_OF_SPLINE)


def _spline_weights(size: int, step: float, offset: float) -> Map:
    """Return cubic B-spline weights, (size, knots), of pixels that lie ``step`` to a knot."""
    position = offset + np.arange(size, dtype=np.float32) / np.float32(step)
    first = np.floor(position).astype(int)
    t = position - first
    weights = np.zeros((size, int(first[-1]) + 4), np.float32)
    pixels = np.arange(size)
    weights[pixels, first] = (1 - t) ** 3 / 6
    weights[pixels, first + 1] = (3 * t**3 - 6 * t**2 + 4) / 6
    weights[pixels, first + 2] = (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6
    weights[pixels, first + 3] = t**3 / 6
    return weights
