"""Where millimetres of the patient fall on the film."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    Map = NDArray[np.floating[Any]]  # (Y, X)

FIELD_MM = 350.0  # the shorter side of the film


@dataclass(frozen=True, eq=False)
class Frame:
    """The film's pixel grid in the patient's own millimetres.

    The patient's frame has its origin in the middle of the thorax, x towards the patient's left (the picture's right)
    and y towards the feet. Anatomy is written for a reference adult; ``size`` says how much larger this patient is.

    Attributes
    ----------
    x, y : NDArray[np.float32], shape (Y, X)
        Reference millimetres of every pixel.
    pixel_mm : float
        Reference millimetres from one pixel to the next.
    spacing_mm : float
        True millimetres on the detector from one pixel to the next.

    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    pixel_mm: float
    spacing_mm: float
    _origin: tuple[float, float]
    _rotation: float

    @classmethod
    def draw(cls, shape: tuple[int, int], rng: Generator) -> Self:
        """Place a patient on the film: size, rotation up to about three degrees, small shifts."""
        spacing_mm = FIELD_MM / min(shape)
        pixel_mm = spacing_mm / rng.uniform(0.92, 1.14)
        rotation = float(np.deg2rad(np.clip(rng.normal(0.0, 1.3), -3.0, 3.0)))
        origin = (
            shape[0] / 2 + rng.normal(0, 5) / spacing_mm,
            shape[1] / 2 + rng.normal(0, 5) / spacing_mm,
        )
        rows = (np.arange(shape[0], dtype=np.float32) + 0.5 - origin[0]) * pixel_mm
        columns = (np.arange(shape[1], dtype=np.float32) + 0.5 - origin[1]) * pixel_mm
        cos, sin = np.float32(np.cos(rotation)), np.float32(np.sin(rotation))
        x = cos * columns[None, :] + sin * rows[:, None]
        y = cos * rows[:, None] - sin * columns[None, :]
        return cls(x, y, float(pixel_mm), spacing_mm, origin, rotation)

    @property
    def shape(self) -> tuple[int, int]:
        """(Y, X) in pixels."""
        return self.x.shape[0], self.x.shape[1]

    def to_pixels(
        self, x: NDArray[np.floating], y: NDArray[np.floating]
    ) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Return (row, column) in pixel indices (centres are whole numbers) of points in reference millimetres."""
        cos, sin = np.cos(self._rotation), np.sin(self._rotation)
        column = (cos * x - sin * y) / self.pixel_mm + self._origin[1] - 0.5
        row = (sin * x + cos * y) / self.pixel_mm + self._origin[0] - 0.5
        return row, column

    def window(self, x: NDArray[np.floating], y: NDArray[np.floating], margin_mm: float) -> tuple[slice, slice]:
        """Return the slices of the film around points in reference millimetres; empty where they miss the film."""
        margin = margin_mm / self.pixel_mm + 1
        slices = []
        for values, size in zip(self.to_pixels(x, y), self.shape, strict=True):
            start, stop = int(values.min() - margin), int(values.max() + margin) + 1
            slices.append(slice(min(max(start, 0), size), min(max(stop, 0), size)))
        return slices[0], slices[1]
