"""NRRD with an attached header: voxels on the scan's own grid, gzipped, with the directions of their axes in space."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from tmca_core.geometry import spacing_from_affine, to_native

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tmca_core.study import Scan

_TYPES = {"u1": "uint8", "u2": "uint16", "f4": "float"}


def write_nrrd(file: BinaryIO, values: NDArray[np.generic], scan: Scan) -> None:
    """Write values, on the scan's reading grid, to an open file on the scan's native grid.

    Parameters
    ----------
    file : BinaryIO
        Open for writing.
    values : NDArray of uint8, uint16 or float32, shape of the scan
        The first index of the native grid runs fastest, as NRRD has it.
    scan : Scan
        Its affine becomes "space directions" and "space origin" in RAS millimetres; where only a spacing is known it
        becomes "spacings", and no orientation is made up.

    """
    native = values.T if scan.native is None else to_native(values, scan.native)
    lines = [
        "NRRD0005",
        f"type: {_TYPES[native.dtype.str[1:]]}",
        f"dimension: {native.ndim}",
        f"sizes: {' '.join(map(str, native.shape))}",
        "endian: little",
        "encoding: gzip",
        *_geometry(native.ndim, scan),
    ]
    file.write(("\n".join(lines) + "\n\n").encode("ascii"))
    with gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as stream:
        stream.write(np.asfortranarray(native).astype(native.dtype.newbyteorder("<"), copy=False).tobytes(order="F"))


def _geometry(ndim: int, scan: Scan) -> list[str]:
    """Return the lines that place a native grid of so many axes in space."""
    kinds = f"kinds: {' '.join(['domain'] * ndim)}"
    affine = _affine_mm(scan)
    if affine is not None:
        directions = " ".join(_vector(affine[:3, axis]) for axis in range(ndim))
        return [
            "space: right-anterior-superior",
            'space units: "mm" "mm" "mm"',
            f"space directions: {directions}",
            f"space origin: {_vector(affine[:3, 3])}",
            kinds,
        ]
    if scan.spacing_mm is None:
        return [kinds]
    steps = [float("nan")] * ndim  # across a single slice no step is known
    axes = tuple(reversed(range(ndim))) if scan.native is None else scan.native.axes[-scan.ndim :]
    for native, spacing in zip(axes, scan.spacing_mm, strict=True):
        steps[native] = float(spacing)
    units = " ".join(['"mm"'] * ndim)
    return [f"spacings: {' '.join(map(repr, steps))}", f"units: {units}", kinds]


def _affine_mm(scan: Scan) -> NDArray[np.float64] | None:
    """Return native index to RAS millimetres; the source's own affine may be in another unit of length."""
    grid = scan.native
    if grid is None or grid.affine_ras is None or grid.affine_reading_ras is None or scan.spacing_mm is None:
        return None
    unit = scan.spacing_mm[-1] / spacing_from_affine(grid.affine_reading_ras)[-1]
    return np.diag([unit, unit, unit, 1.0]) @ grid.affine_ras


def _vector(values: NDArray[np.float64]) -> str:
    return f"({','.join(repr(float(value)) for value in values)})"
