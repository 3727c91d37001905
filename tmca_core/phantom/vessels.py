"""The vessel trees of both lungs, grown from the hila and stamped as millimetres of blood along each ray."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter

from tmca_core.phantom.noise import smooth_noise

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from tmca_core.phantom.frame import Frame, Map

HILA = ((-27.0, -12.0), (29.0, -20.0))  # right, left; the left one lies higher
TRUNKS = 8
GENERATIONS = 6
SAMPLES = 12  # along each branch


@dataclass(frozen=True, eq=False)
class _Branches:
    """Branches of one generation: starts (N, 2) as x, y in mm, headings in radians, lengths and radii in mm."""

    start: NDArray[np.float64]
    heading: NDArray[np.float64]
    length: NDArray[np.float64]
    radius: NDArray[np.float64]


def build_vessels(frame: Frame, depth_mm: Map, rng: Generator) -> Map:
    """Return the chord through vessels and hila inside the lungs, (Y, X) in millimetres."""
    chord = np.zeros(frame.shape, np.float32)
    branches = _trunks(rng)
    for _ in range(GENERATIONS):
        points = _points(branches, rng)
        chord += _stamp(frame, points, branches.radius)
        branches = _split(branches, points[:, -1], rng)
    chord += 2.5 * smooth_noise(frame, 5, rng)  # vessels and septa too fine to be told apart
    for x, y in HILA:
        chord += 26 * np.exp(-((frame.x - np.float32(x)) ** 2) / 200 - (frame.y - np.float32(y)) ** 2 / 420)
    return (chord * np.clip((depth_mm + 3) / 6, 0, 1)).astype(np.float32)


def _trunks(rng: Generator) -> _Branches:
    """Return the first branches, fanned out from both hila, more of them downwards."""
    fan = np.deg2rad(np.linspace(-80, 84, TRUNKS))  # from steeply up to steeply down, towards the chest wall
    heading = np.concatenate([np.pi - fan, fan]) + rng.normal(0, 0.12, 2 * TRUNKS)
    return _Branches(
        start=np.repeat(np.array(HILA), TRUNKS, axis=0) + rng.normal(0, 4, (2 * TRUNKS, 2)),
        heading=heading,
        length=rng.uniform(20, 32, 2 * TRUNKS),
        radius=rng.uniform(2.8, 4.2, 2 * TRUNKS),
    )


def _points(branches: _Branches, rng: Generator) -> NDArray[np.float64]:
    """Return points along slightly bent branches, (N, SAMPLES, 2)."""
    step = np.linspace(0, 1, SAMPLES)
    bend = rng.normal(0, 0.25, len(branches.heading))
    heading = branches.heading[:, None] + bend[:, None] * step
    direction = np.stack([np.cos(heading), np.sin(heading)], axis=-1)
    return branches.start[:, None] + direction * (branches.length[:, None] * step)[..., None]


def _split(branches: _Branches, ends: NDArray[np.float64], rng: Generator) -> _Branches:
    """Return two children of every branch, thinner and shorter."""
    count = len(ends)
    spread = rng.uniform(0.15, 0.65, (2, count)) * np.array([[-1], [1]])
    return _Branches(
        start=np.tile(ends, (2, 1)),
        heading=(branches.heading + spread).ravel(),
        length=(branches.length * rng.uniform(0.62, 0.92, (2, count))).ravel(),
        radius=(branches.radius * rng.uniform(0.62, 0.8, (2, count))).ravel(),
    )


def _stamp(frame: Frame, points: NDArray[np.float64], radius: NDArray[np.float64]) -> Map:
    """Return the blood of one generation: its volume dropped on the pixels and spread to its mean radius."""
    spacing = np.linalg.norm(points[:, 1] - points[:, 0], axis=-1)
    volume = np.repeat(np.pi * radius**2 * spacing, SAMPLES) / frame.pixel_mm**2
    row, column = frame.to_pixels(points[..., 0].ravel(), points[..., 1].ravel())
    blood = _splat(frame.shape, row, column, volume)
    return gaussian_filter(blood, max(0.55 * float(radius.mean()) / frame.pixel_mm, 0.4), truncate=3.0)


def _splat(
    shape: tuple[int, int],
    row: NDArray[np.floating],
    column: NDArray[np.floating],
    weight: NDArray[np.floating],
) -> Map:
    """Share each weight among the four pixels around its point; what falls off the film is lost."""
    film = np.zeros(shape[0] * shape[1])
    for row_step in (0, 1):
        for column_step in (0, 1):
            r, c = (
                np.floor(row).astype(int) + row_step,
                np.floor(column).astype(int) + column_step,
            )
            share = weight * (1 - np.abs(row - r)) * (1 - np.abs(column - c))
            on_film = (r >= 0) & (r < shape[0]) & (c >= 0) & (c < shape[1])
            film += np.bincount(r[on_film] * shape[1] + c[on_film], share[on_film], film.size)
    return film.reshape(shape).astype(np.float32)
