"""From a file's own voxel grid to the reading directions and back, without interpolation. numpy only.

A file stores its voxels in any of 48 orientations. For reading, axes are permuted and flipped, never resampled, so
that (Z, Y, X) run as nearly as possible towards the patient's superior, posterior and left. Drawn slice by slice with Y
downwards that is the radiological view: the patient's right on the left of the picture, the front at the top.
`NativeGrid` remembers the way back.

Affines are 4 x 4 and map voxel indices to RAS millimetres: x grows towards the patient's right, y anterior, z superior,
as in NIfTI. Two index orders occur, and every docstring says which: *native*, the file's own (i, j, k), and *reading*,
(z, y, x).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np

from tmca_core.errors import GeometryError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEFT, POSTERIOR, SUPERIOR = np.diag([-1.0, -1.0, 1.0])  # unit vectors in RAS
VOLUME_DIRECTIONS = np.stack([SUPERIOR, POSTERIOR, LEFT])  # of the reading axes Z, Y, X

# A single slice keeps its plane; (rows, columns) run as each plane is read: axial from below, coronal from the front,
# sagittal with the front at the left. Keyed by the world axis (x, y, z) nearest to the slice's normal.
_SLICE_DIRECTIONS = {
    2: np.stack([SUPERIOR, POSTERIOR, LEFT]),
    1: np.stack([POSTERIOR, -SUPERIOR, LEFT]),
    0: np.stack([LEFT, -SUPERIOR, POSTERIOR]),
}
_SINGULAR = 1e-6  # least volume of the unit-column parallelepiped that still spans space
_SHEARED = 1e-3  # cosine between two axes from which they no longer count as perpendicular
_REPAIR = "Repair the file's header before loading it."
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class NativeGrid:
    """The voxel grid of a file and how it was turned for reading.

    Attributes
    ----------
    shape : tuple of int
        Spatial shape as stored; three axes, or two or three for a single slice.
    affine_ras : NDArray, shape (4, 4), or None
        Native index (i, j, k, 1) to RAS millimetres; ``None`` where the file states no orientation.
    axes : tuple of int
        ``axes[r]`` is the native axis that became reading axis ``r`` of (z, y, x).
    flips : tuple of bool
        Whether reading axis ``r`` runs against its native axis.
    is_slice : bool
        The grid holds one slice, and was read as (Y, X).
    header : object or None
        The source file's header, for the writer of the same format.

    """

    shape: tuple[int, ...]
    affine_ras: NDArray[np.float64] | None
    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    is_slice: bool = False
    header: object | None = None

    @property
    def affine_reading_ras(self) -> NDArray[np.float64] | None:
        """Reading index (z, y, x, 1) to RAS millimetres; ``None`` where the orientation is unknown."""
        return None if self.affine_ras is None else self.affine_ras @ self._native_from_reading()

    def _native_from_reading(self) -> NDArray[np.float64]:
        """Return the 4 x 4 matrix from reading to native indices."""
        matrix = np.zeros((4, 4))
        matrix[3, 3] = 1.0
        for reading, (native, flip) in enumerate(zip(self.axes, self.flips, strict=True)):
            matrix[native, reading] = -1.0 if flip else 1.0
            matrix[native, 3] = _three_axes(self.shape)[native] - 1 if flip else 0
        return matrix


def plan_reading(
    shape: tuple[int, ...], affine_ras: NDArray[np.float64] | None, header: object | None = None
) -> NativeGrid:
    """Choose the permutation and flips that bring a native grid nearest to the reading directions.

    Parameters
    ----------
    shape : tuple of int, length 2 or 3
        Spatial shape as stored, (i, j) or (i, j, k). With two axes, or exactly one of three of length 1, it is one
        slice, which keeps its plane and is read as (Y, X).
    affine_ras : NDArray, shape (4, 4), or None
        Native index to RAS millimetres. ``None``, orientation unknown: (k, j, i) in stored order, nothing flipped.
    header : object, optional
        Kept in the result for the writer.

    Raises
    ------
    GeometryError
        If the affine is not finite, or singular.
    ValueError
        If the shape has neither two nor three axes.

    """
    if len(shape) not in (2, 3):
        raise ValueError(f"expected a shape of 2 or 3 axes, got {shape}")
    slice_axis = _slice_axis(shape)
    is_slice = slice_axis is not None
    if affine_ras is None:
        axes = (2, 1, 0) if slice_axis is None else (slice_axis, *_others_reversed(slice_axis))
        return NativeGrid(shape, None, axes, (False, False, False), is_slice, header)
    affine = np.asarray(affine_ras, dtype=np.float64)
    check_affine(affine)
    axes, flips = _nearest(_unit_columns(affine), slice_axis)
    return NativeGrid(shape, affine, axes, flips, is_slice, header)


def to_reading(array: NDArray[np.generic], grid: NativeGrid) -> NDArray[np.generic]:
    """Return a native array, shape ``grid.shape`` plus trailing axes, as (Z, Y, X, ...) or (Y, X, ...); a view."""
    if array.shape[: len(grid.shape)] != grid.shape:
        raise ValueError(f"expected an array of the native shape {grid.shape}, got {array.shape}")
    trailing = array.shape[len(grid.shape) :]
    array = array.reshape(_three_axes(grid.shape) + trailing)
    array = array.transpose(*grid.axes, *range(3, array.ndim))[_flip_index(grid.flips)]
    return array[0] if grid.is_slice else array


def to_native(array: NDArray[np.generic], grid: NativeGrid) -> NDArray[np.generic]:
    """Return a reading array, (Z, Y, X) or (Y, X), on the file's own grid, shape ``grid.shape``."""
    if grid.is_slice:
        array = array[np.newaxis]
    expected = tuple(_three_axes(grid.shape)[axis] for axis in grid.axes)
    if array.shape != expected:
        raise ValueError(f"expected an array of the reading shape {expected}, got {array.shape}")
    return array[_flip_index(grid.flips)].transpose(*np.argsort(grid.axes)).reshape(grid.shape)


def spacing_from_affine(affine: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the step length along each of the three index axes, in the affine's unit and index order."""
    x, y, z = np.linalg.norm(affine[:3, :3], axis=0)
    return float(x), float(y), float(z)


def check_affine(affine: NDArray[np.float64]) -> None:
    """Raise `GeometryError` unless the affine is 4 x 4, finite and spans three dimensions."""
    if affine.shape != (4, 4):
        raise GeometryError(f"Expected a 4 x 4 affine, got shape {affine.shape}.")
    if not np.isfinite(affine).all():
        raise GeometryError(
            "The affine holds NaN or infinite values.", hint="Repair the file's header before loading it."
        )
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    if not steps.all() or abs(np.linalg.det(affine[:3, :3] / steps)) < _SINGULAR:
        raise GeometryError(
            "The affine is singular: it maps the volume onto a plane, a line or a point.",
            hint=_REPAIR,
        )


def is_sheared(affine: NDArray[np.float64]) -> bool:
    """Return whether the index axes are not perpendicular in space (a gantry tilt, for one)."""
    unit = _unit_columns(affine)
    return bool(np.abs(unit.T @ unit - np.eye(3)).max() > _SHEARED)


def axis_codes(affine_ras: NDArray[np.float64]) -> str:
    """Return the direction nearest to each index axis as letters, such as ``"LPS"``, in the affine's index order."""
    cosines = _unit_columns(affine_ras)
    nearest = np.argmax(np.abs(cosines), axis=0)
    return "".join("LPI"[w] if cosines[w, i] < 0 else "RAS"[w] for i, w in enumerate(nearest))


def ras_from_lps(affine_lps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn an affine to LPS millimetres (DICOM) into one to RAS millimetres; the index order stays."""
    return _LPS_TO_RAS @ affine_lps


def _unit_columns(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the directions of the index axes as the columns of a 3 x 3 matrix."""
    columns: NDArray[np.float64] = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return columns


def _nearest(
    unit_columns: NDArray[np.float64], slice_axis: int | None
) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """Return axes and flips that maximise the sum of cosines between native axes and reading directions.

    Trying all permutations is exact where a greedy choice is not. The sum is rounded so that an oblique volume half-way
    between two orientations does not turn with the last digit of its affine.
    """
    directions = VOLUME_DIRECTIONS
    candidates = list(permutations(range(3)))
    if slice_axis is not None:
        directions = _SLICE_DIRECTIONS[int(np.argmax(np.abs(unit_columns[:, slice_axis])))]
        candidates = [axes for axes in candidates if axes[0] == slice_axis]
    cosines = directions @ unit_columns  # (reading, native)
    z, y, x = max(candidates, key=lambda axes: round(float(np.abs(cosines[range(3), axes]).sum()), 4))
    return (z, y, x), (bool(cosines[0, z] < 0), bool(cosines[1, y] < 0), bool(cosines[2, x] < 0))


def _slice_axis(shape: tuple[int, ...]) -> int | None:
    """Return the axis across a single slice, or None for a volume."""
    if len(shape) == 2:
        return 2
    return shape.index(1) if shape.count(1) == 1 else None


def _others_reversed(axis: int) -> tuple[int, int]:
    """Return the two axes other than ``axis``, last first."""
    first, second = (a for a in range(3) if a != axis)
    return second, first


def _three_axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape with a slice axis of length 1 added where it has only two axes."""
    return shape if len(shape) == 3 else (*shape, 1)


def _flip_index(flips: tuple[bool, bool, bool]) -> tuple[slice, ...]:
    """Return the index that reverses the axes marked in ``flips``."""
    return tuple(slice(None, None, -1 if flip else 1) for flip in flips)
