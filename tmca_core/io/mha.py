"""MetaImage: .mha with its voxels attached, or .mhd with a file beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tmca_core.errors import StudyReadError
from tmca_core.geometry import ras_from_lps
from tmca_core.io._files import damaged, read_bytes
from tmca_core.io._volume_file import (
    HEADER_LIMIT,
    Layout,
    data_file,
    numbers,
    require,
    stated_shape,
    stated_type,
    to_scan,
    unpack,
    usable_spacing,
    whole_number,
    whole_numbers,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from tmca_core.study import Scan

    Fields = dict[str, str]

_TYPES = {
    **{"MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4"},
    **{"MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4", "MET_DOUBLE": "f8"},
}
_LAST = "ElementDataFile"


def read_mha(path: Path, frame: int | None = None) -> Scan:
    """Read one image or volume, turned to the reading directions.

    Raises
    ------
    StudyReadError
        If the file is damaged or incomplete, or of a type not read here.
    ChoiceError
        If it holds several volumes and ``frame`` chooses none.
    GeometryError
        If its directions are singular or not finite.

    """
    content = read_bytes(path)
    fields, start = _header(path.name, content)
    layout = _layout(path.name, fields)
    name = fields[_LAST]
    if name.split()[:1] == ["LIST"] or "%" in name:
        raise StudyReadError(f"{path.name}: its voxels are in many files.", hint="Save it as one .mha file.")
    is_attached = name.upper() in ("LOCAL", "LOCAL_FILE")
    data = content[start:] if is_attached else read_bytes(data_file(path, name))
    is_packed = _is_true(fields.get("CompressedData", ""))
    skip = whole_number(path.name, "HeaderSize", fields)
    if skip == -1 and not is_packed:
        data = data[-layout.size :]
    elif skip > 0 and not is_attached:
        data = data[skip:]
    return to_scan(path, unpack(path.name, data, "zlib" if is_packed else "raw", layout), layout, frame)


def _header(name: str, content: bytes) -> tuple[Fields, int]:
    """Return the fields, and where attached voxels begin."""
    fields: Fields = {}
    place = 0
    for line in content[:HEADER_LIMIT].split(b"\n"):
        place += len(line) + 1
        field, equals, value = line.decode("utf-8", "replace").partition("=")
        if not equals:
            continue
        fields[field.strip()] = value.strip()
        if field.strip() == _LAST:
            return fields, place
    raise damaged(name, f"its header has no {_LAST}")


def _layout(name: str, fields: Fields) -> Layout:
    require(name, fields, "NDims", "DimSize", "ElementType")
    shape = stated_shape(name, fields, "NDims", "DimSize")
    if not 2 <= len(shape) <= 4:
        raise StudyReadError(
            f"{name}: expected a 2-D or 3-D image, got DimSize {shape}.", hint="Save one volume of it."
        )
    if not _is_true(fields.get("BinaryData", "True")):
        raise StudyReadError(f"{name}: expected binary numbers, got text.", hint="Save it as binary numbers.")
    is_big = any(_is_true(fields.get(key, "")) for key in ("BinaryDataByteOrderMSB", "ElementByteOrderMSB"))
    dtype = stated_type(name, fields["ElementType"].removesuffix("_ARRAY"), _TYPES, is_big_endian=is_big)
    channels = whole_numbers(name, "ElementNumberOfChannels", fields.get("ElementNumberOfChannels", "1"))[0]
    first = 0 if channels == 1 else 1  # channels run fastest
    spatial = tuple(range(first, first + min(3, len(shape))))
    affine, spacing, notes = _geometry(name, fields, len(shape))
    full = shape if channels == 1 else (channels, *shape)
    is_colour = channels == 3 and dtype.itemsize == 1 and len(shape) < 4
    return Layout(full, dtype, spatial, is_colour, affine, spacing, notes)


def _geometry(
    name: str, fields: Fields, ndim: int
) -> tuple[NDArray[np.float64] | None, tuple[float, ...] | None, tuple[str, ...]]:
    """Return the affine of the first three axes, their spacing, and notes."""
    steps = numbers(name, "ElementSpacing", fields.get("ElementSpacing", fields.get("ElementSize", "")))
    count = min(3, ndim)
    spacing = usable_spacing(steps[:count]) if len(steps) == ndim else None
    matrix = next((fields[key] for key in ("TransformMatrix", "Rotation", "Orientation") if key in fields), None)
    if ndim == 2 or matrix is None or spacing is None:
        return None, spacing, ()
    turn = numbers(name, "TransformMatrix", matrix)
    origin = next((fields[key] for key in ("Offset", "Position", "Origin") if key in fields), "")
    offset = numbers(name, "Offset", origin) if origin else (0.0,) * ndim
    if len(turn) != ndim * ndim or len(offset) != ndim:
        raise damaged(name, f"TransformMatrix or Offset do not fit {ndim} dimensions")
    affine = np.eye(4)
    # Row by row, the direction of each axis in LPS.
    affine[:3, :3] = np.array(turn).reshape(ndim, ndim)[:3, :3].T * np.array(spacing)
    affine[:3, 3] = offset[:3]
    return ras_from_lps(affine), spacing, ()


def _is_true(text: str) -> bool:
    return text.lower() in ("true", "1", "yes")
