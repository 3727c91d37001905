"""Pictures and slices made smaller by a whole factor: the mean of each block of pixels, and where those then lie."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tmca_core.errors import StudyReadError
from tmca_core.geometry import NativeGrid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tmca_core.study import Scan

_CHUNK = 1 << 24  # pixels that are averaged at once


def block_mean(name: str, pixels: NDArray[np.generic], factor: int, *, is_rgb: bool) -> NDArray[np.generic]:
    """Return the mean of every full block of ``factor`` x ``factor`` pixels, in the type of the pixels.

    Parameters
    ----------
    name : str
        The file's name, for messages.
    pixels : NDArray, shape (Y, X), (Z, Y, X), or either with a trailing 3
        May be a memory map: a few rows are read at once.
    factor : int
        From 1.
    is_rgb : bool
        Whether the last axis is colour.

    Raises
    ------
    StudyReadError
        If a side is shorter than one block.

    """
    axis = pixels.ndim - 2 - is_rgb
    lead, (height, width), colours = pixels.shape[:axis], pixels.shape[axis : axis + 2], pixels.shape[axis + 2 :]
    rows, columns = blocks(name, height, width, factor)
    at_once = max(1, _CHUNK // (factor * width))
    out: NDArray[np.generic] = np.empty(
        (*lead, rows, columns, *colours), np.uint8 if pixels.dtype.kind == "b" else pixels.dtype
    )
    for where in np.ndindex(*lead):
        for row in range(0, rows, at_once):
            strip = np.asarray(pixels[where][row * factor : min(row + at_once, rows) * factor, : columns * factor])
            parts = strip.reshape(len(strip) // factor, factor, columns, factor, *colours)
            out[where][row : row + at_once] = rounded(parts.mean(axis=(1, 3), dtype=np.float64), pixels.dtype)
    return out


def blocks(name: str, height: int, width: int, factor: int) -> tuple[int, int]:
    """Return how many blocks fit into rows and columns; raise `StudyReadError` where none does."""
    if min(height, width) < factor:
        raise StudyReadError(
            f"{name}: expected a picture of at least {factor} x {factor} pixels to shrink by {factor}, got "
            f"{width} x {height}.",
            hint="Shrink it by less.",
        )
    return height // factor, width // factor


def rounded(means: NDArray[np.float64], dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    """Return means in the type of the pixels; of booleans as 0 to 255."""
    if dtype.kind == "b":
        means, dtype = means * 255, np.dtype(np.uint8)
    return (np.rint(means) if dtype.kind in "iu" else means).astype(dtype)


def note_shrunk(factor: int) -> str:
    """Return the note on a scan that was shrunk."""
    return f"Shrunk by {factor}: each pixel is the mean of {factor} x {factor}; what fills no block is left out."


def scaled_spacing(scan: Scan, factor: int) -> Scan:
    """Return a scan whose pixels are shrunk already with the spacing of its pixels now."""
    spacing = scan.spacing_mm
    return scan if spacing is None else replace(scan, spacing_mm=_scaled(spacing, factor))


def shrunk(name: str, scan: Scan, factor: int) -> Scan:
    """Return the scan with its rows and columns shrunk; slices stay as many.

    Its native grid is its own: a mask of it lies in the right place, and does not fit the file voxel by voxel.

    Raises
    ------
    StudyReadError
        If a side is shorter than one block.

    """
    pixels = block_mean(name, scan.pixels, factor, is_rgb=scan.is_rgb)
    turn = np.diag([1.0, factor, factor, 1.0])
    turn[1:3, 3] = (factor - 1) / 2  # the centre of the first block
    native = scan.native
    if native is not None:
        shape = (pixels.shape[:-1] if scan.is_rgb else pixels.shape)[::-1]
        affine = native.affine_reading_ras
        affine = None if affine is None else (affine @ turn)[:, [2, 1, 0, 3]]
        native = NativeGrid(shape, affine, (2, 1, 0), (False, False, False), native.is_slice)
    return replace(
        scan,
        pixels=pixels,
        spacing_mm=None if scan.spacing_mm is None else _scaled(scan.spacing_mm, factor),
        affine_ras=None if scan.affine_ras is None else scan.affine_ras @ turn,
        native=native,
        notes=(*scan.notes, note_shrunk(factor)),
    )


def _scaled(spacing: tuple[float, ...], factor: int) -> tuple[float, ...]:
    return (*spacing[:-2], spacing[-2] * factor, spacing[-1] * factor)
