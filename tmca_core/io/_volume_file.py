"""What NRRD and MetaImage have in common: a text header, then voxels that are unpacked to their end and checked."""

from __future__ import annotations

import bz2
import io
import math
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tmca_core.errors import GeometryError, StudyReadError
from tmca_core.geometry import axis_codes, is_sheared, plan_reading, spacing_from_affine, to_reading
from tmca_core.io._files import check_unpacked_size, damaged, incomplete, size_text
from tmca_core.io._memory import check_memory
from tmca_core.io._values import chosen_frame, usable
from tmca_core.study import Scan

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

HEADER_LIMIT = 1 << 20
_CHUNK = 1 << 24
_GZIP, _ZLIB = 31, 15


@dataclass(frozen=True)
class Layout:
    """How a header says that voxels are stored.

    Attributes
    ----------
    shape : tuple of int
        Of all axes, the fastest first.
    dtype : np.dtype
        Byte order included.
    spatial : tuple of int
        Which axes lie in space, two or three.
    is_colour : bool
        Whether the one other axis is red, green and blue.
    affine_ras : NDArray, shape (4, 4), or None
        Index along the spatial axes to RAS millimetres; ``None`` where no orientation is stated.
    spacing_mm : tuple of float, or None
        Along the spatial axes.
    notes : tuple of str
        Decisions taken.

    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    spatial: tuple[int, ...]
    is_colour: bool
    affine_ras: NDArray[np.float64] | None
    spacing_mm: tuple[float, ...] | None
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all voxels."""
        return math.prod(self.shape) * self.dtype.itemsize


def data_file(path: Path, name: str) -> Path:
    """Return the file of the voxels that a header names; it must lie in the header's own folder.

    Raises
    ------
    StudyReadError
        If it lies elsewhere or is missing.

    """
    other = path.parent / name
    try:
        is_inside = bool(name) and other.resolve().is_relative_to(path.parent.resolve())
        is_there = other.is_file()
    except (OSError, ValueError) as error:  # a NUL in it, or too long for any disk
        raise damaged(path.name, "the name of its companion file is none") from error
    if not is_inside:
        raise StudyReadError(
            f"{path.name}: the header refers to voxels outside its folder.", hint="Put both files into one folder."
        )
    if not is_there:
        raise StudyReadError(f"{path.name}: the companion file {name} is missing.", hint="Copy both files.")
    return other


def unpack(name: str, data: bytes, encoding: str, layout: Layout) -> NDArray[Any]:
    """Return the voxels, shape ``layout.shape``, from bytes as stored: "raw", "gzip", "zlib" or "bzip2".

    Compressed streams are read to their end, where their checksum is; what follows raw voxels is ignored.

    Raises
    ------
    StudyReadError
        If bytes are missing, a checksum is wrong, or the header declares more than the file can hold.

    """
    size = layout.size
    if encoding == "raw":
        voxels = data[:size]
    else:
        if encoding != "bzip2":  # of which a kilobyte may well hold a gigabyte
            check_unpacked_size(name, size, len(data))
        check_memory(name, f"{size_text(size)} of voxels", 2 * size, shrinks=False)
        voxels = _inflated(name, data, encoding, size)
    if len(voxels) < size:
        raise incomplete(name, len(voxels), size, "bytes of voxels")
    return np.frombuffer(voxels, layout.dtype).reshape(layout.shape, order="F")


def to_scan(path: Path, voxels: NDArray[Any], layout: Layout, frame: int | None) -> Scan:
    """Return a scan of voxels as stored, turned to the reading directions."""
    others = tuple(axis for axis in range(voxels.ndim) if axis not in layout.spatial)
    voxels = voxels.transpose(*layout.spatial, *others)
    shape = voxels.shape[: len(layout.spatial)]
    voxels = voxels.reshape(*shape, -1, order="F")
    notes = layout.notes
    if not layout.is_colour:
        number = chosen_frame(path.name, voxels.shape, voxels.shape[-1], frame)
        notes += (f"Volume {number + 1} of {voxels.shape[-1]}.",) * (voxels.shape[-1] > 1)
        voxels = voxels[..., number]
    try:
        grid = plan_reading(shape, layout.affine_ras)
    except GeometryError as error:
        raise GeometryError(f"{path.name}: {error.message}", hint=error.hint) from error
    pixels, is_rgb, value_notes = usable(path.name, to_reading(voxels, grid), is_rgb=layout.is_colour)
    if grid.affine_ras is None:
        notes += ("The file states no orientation: slices are shown in stored order.",)
    else:
        if grid.axes != (2, 1, 0) or any(grid.flips):
            notes += (f"Stored as {axis_codes(grid.affine_ras)}: axes turned to the radiological view.",)
        if is_sheared(grid.affine_ras):
            notes += ("The axes are not perpendicular in space: the volume is shown without its shear.",)
    affine = grid.affine_reading_ras
    steps: tuple[float, ...] | None = None
    if affine is not None:
        steps = spacing_from_affine(affine)
    elif layout.spacing_mm is not None:
        steps = tuple((*layout.spacing_mm, 1.0)[axis] for axis in grid.axes)
    return Scan(
        pixels,
        is_rgb=is_rgb,
        spacing_mm=steps[1:] if steps and grid.is_slice else steps,
        affine_ras=None if grid.is_slice else affine,
        source=path,
        native=grid,
        notes=notes + value_notes,
    )


def numbers(name: str, field: str, text: str) -> tuple[float, ...]:
    """Return numbers separated by blanks.

    Raises
    ------
    StudyReadError
        That names the field if one is no number.

    """
    try:
        return tuple(float(word) for word in text.split())
    except ValueError as error:
        raise damaged(name, f"{field} holds no numbers") from error


def whole_numbers(name: str, field: str, text: str) -> tuple[int, ...]:
    """Return positive whole numbers separated by blanks."""
    values = numbers(name, field, text)
    if not values or not all(1 <= value < 1 << 40 and value == int(value) for value in values):
        raise StudyReadError(f"{name}: expected {field} with sizes from 1, got {text[:60]!r}.", hint="Export it again.")
    return tuple(int(value) for value in values)


def stated_type(name: str, text: str, known: Mapping[str, str], *, is_big_endian: bool) -> np.dtype[Any]:
    """Return the type of the voxels by the header's word for it.

    Raises
    ------
    StudyReadError
        If the word is none of those known.

    """
    if text not in known:
        raise StudyReadError(
            f"{name}: expected numbers, got values of type {text[:20]!r}.", hint="Export it as binary numbers."
        )
    return np.dtype(("<", ">")[is_big_endian] + known[text])


def stated_shape(name: str, fields: Mapping[str, str], dimension: str, sizes: str) -> tuple[int, ...]:
    """Return the sizes that a header states under one field, as many as it states under the other.

    Raises
    ------
    StudyReadError
        If they are no sizes, or another number of them.

    """
    shape = whole_numbers(name, sizes, fields[sizes])
    if whole_numbers(name, dimension, fields[dimension]) != (len(shape),):
        raise damaged(name, f"{dimension} {fields[dimension][:8]} and {len(shape)} sizes")
    return shape


def require(name: str, fields: Mapping[str, str], *wanted: str) -> None:
    """Raise `StudyReadError` that names the first field that is wanted and lacking."""
    for field in wanted:
        if field not in fields:
            raise StudyReadError(f"{name}: the header lacks {field}.", hint="Export it again.")


def whole_number(name: str, field: str, fields: Mapping[str, str]) -> int:
    """Return the number in a field, 0 where there is none; it may be negative."""
    value = (numbers(name, field, fields.get(field, "0")) or (0.0,))[0]
    if not math.isfinite(value):
        raise damaged(name, f"{field} holds no number")
    return int(value)


def usable_spacing(steps: tuple[float, ...]) -> tuple[float, ...] | None:
    """Return positive finite lengths, or None."""
    return steps if steps and all(math.isfinite(step) and step > 0 for step in steps) else None


def _inflated(name: str, data: bytes, encoding: str, size: int) -> bytes:
    """Unpack up to the size, then on to the end of the stream, where the checksum is compared."""
    unpacker: Any = (
        bz2.BZ2Decompressor() if encoding == "bzip2" else zlib.decompressobj(_GZIP if encoding == "gzip" else _ZLIB)
    )
    out, source = io.BytesIO(), data
    try:
        while not unpacker.eof and out.tell() <= size:
            piece = unpacker.decompress(source, min(_CHUNK, size + 1 - out.tell()))
            source = b"" if isinstance(unpacker, bz2.BZ2Decompressor) else unpacker.unconsumed_tail
            if not piece and not source and not unpacker.eof:
                break
            out.write(piece)
    except (zlib.error, OSError, EOFError) as error:
        raise damaged(name, f"checksum failed: {error}") from error
    if out.tell() > size:
        raise damaged(name, f"{size} bytes declared in its header, and more follow")
    if not unpacker.eof:
        raise incomplete(name, out.tell(), size, "bytes of voxels")
    return out.getvalue()
