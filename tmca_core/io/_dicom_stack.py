"""Slices in space: put in order along their normal, and refused where they are no regular volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tmca_core.errors import GeometryError
from tmca_core.geometry import ras_from_lps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from pydicom import Dataset

_SAME_PLACE_MM = 1e-3
_SAME_DIRECTION = 1e-3
_UNEVEN = 0.02  # of the median gap
_TILT_DEGREES = 0.5


@dataclass(frozen=True, eq=False)
class Plane:
    """Where one slice lies, as DICOM states it, in LPS millimetres.

    Attributes
    ----------
    label : str
        What to call the slice in a message.
    position : NDArray, shape (3,)
        Centre of the first pixel.
    along_row, along_column : NDArray, shape (3,)
        Unit vectors of increasing column and of increasing row index.
    spacing_mm : tuple of float
        (y, x).

    """

    label: str
    position: NDArray[np.float64]
    along_row: NDArray[np.float64]
    along_column: NDArray[np.float64]
    spacing_mm: tuple[float, float]

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector across the slice, right-handed with rows and columns."""
        return np.cross(self.along_row, self.along_column)


def read_plane(
    label: str, position: Dataset, orientation: Dataset, spacing_mm: tuple[float, float] | None
) -> Plane | None:
    """Return the plane that the two items state, or None where position, orientation or spacing is not stated."""
    place = _numbers(position, "ImagePositionPatient", 3)
    cosines = _numbers(orientation, "ImageOrientationPatient", 6)
    if place is None or cosines is None or spacing_mm is None:
        return None
    row, column = cosines[:3], cosines[3:]
    if abs(np.linalg.norm(row) - 1) > 1e-2 or abs(np.linalg.norm(column) - 1) > 1e-2 or abs(row @ column) > 1e-2:
        return None
    return Plane(label, place, row / np.linalg.norm(row), column / np.linalg.norm(column), spacing_mm)


def stack(name: str, planes: Sequence[Plane]) -> tuple[list[int], NDArray[np.float64]]:
    """Return the order of the slices along their normal, and the affine of the ordered stack.

    Returns
    -------
    order : list of int
        Indices into ``planes``.
    affine_ras : NDArray, shape (4, 4)
        Native index (i = column, j = row, k = slice in order) to RAS millimetres.

    Raises
    ------
    GeometryError
        If the slices differ in direction or spacing, lie at one place, leave gaps, or are sheared by a gantry tilt.

    """
    first = planes[0]
    for plane in planes:
        _check_parallel(name, first, plane)
    heights = np.array([plane.position @ first.normal for plane in planes])
    order = [int(i) for i in np.argsort(heights, kind="stable")]
    ordered = [planes[i] for i in order]
    _check_gaps(name, ordered, np.diff(heights[order]))
    step = (ordered[-1].position - ordered[0].position) / (len(planes) - 1)
    _check_tilt(name, step, first.normal)
    affine = np.eye(4)
    affine[:3, 0] = first.along_row * first.spacing_mm[1]
    affine[:3, 1] = first.along_column * first.spacing_mm[0]
    affine[:3, 2] = step
    affine[:3, 3] = ordered[0].position
    return order, ras_from_lps(affine)


def _check_parallel(name: str, first: Plane, plane: Plane) -> None:
    turn = max(np.abs(first.along_row - plane.along_row).max(), np.abs(first.along_column - plane.along_column).max())
    if turn > _SAME_DIRECTION:
        raise GeometryError(
            f"{name}: expected parallel slices, got {first.label} and {plane.label} in different directions.",
            hint="Choose a folder with one series; a localiser belongs in another.",
        )
    if not np.allclose(first.spacing_mm, plane.spacing_mm, rtol=_SAME_DIRECTION):
        raise GeometryError(
            f"{name}: expected one pixel spacing, got {first.spacing_mm} in {first.label} and {plane.spacing_mm} in "
            f"{plane.label}.",
            hint="Choose a folder with one series.",
        )


def _check_gaps(name: str, planes: Sequence[Plane], gaps: NDArray[np.float64]) -> None:
    smallest = int(np.argmin(gaps))
    if gaps[smallest] < _SAME_PLACE_MM:
        raise GeometryError(
            f"{name}: {planes[smallest].label} and {planes[smallest + 1].label} lie at the same position.",
            hint="Remove copies, or choose one phase, echo or reconstruction.",
        )
    usual = float(np.median(gaps))
    worst = int(np.argmax(np.abs(gaps - usual)))
    if abs(gaps[worst] - usual) > max(_UNEVEN * usual, _SAME_PLACE_MM):
        raise GeometryError(
            f"{name}: uneven slices: {gaps[worst]:.3g} mm from {planes[worst].label} to {planes[worst + 1].label} "
            f"(slices {worst + 1} and {worst + 2}), {usual:.3g} mm elsewhere.",
            hint="Slices are missing or doubled: copy or export the whole series again.",
        )


def _check_tilt(name: str, step: NDArray[np.float64], normal: NDArray[np.float64]) -> None:
    degrees = float(np.degrees(np.arccos(np.clip(step @ normal / np.linalg.norm(step), -1, 1))))
    if degrees > _TILT_DEGREES:
        raise GeometryError(
            f"{name}: the slices are sheared by a gantry tilt of {degrees:.1f} degrees.",
            hint="Correct the tilt with another program first; no volume is made up here.",
        )


def _numbers(dataset: Dataset, keyword: str, count: int) -> NDArray[np.float64] | None:
    """Return an element of exactly this many finite numbers, or None."""
    try:
        numbers = np.array([float(value) for value in dataset[keyword].value])
    except (KeyError, TypeError, ValueError):
        return None
    return numbers if len(numbers) == count and np.isfinite(numbers).all() else None
