"""NRRD, with its voxels attached or in a file beside it. An own reader: pynrrd checks neither sizes nor checksums."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from tmca_core.errors import StudyReadError
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
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from tmca_core.study import Scan

    Fields = dict[str, str]

_TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("longlong", "long long", "long long int", "int64", "int64_t"), "i8"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), "u8"),
    **{"float": "f4", "double": "f8"},
}
_ENCODINGS = {"raw": "raw", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2"}
_TO_RAS = {
    **dict.fromkeys(("right-anterior-superior", "ras"), (1, 1, 1)),
    **dict.fromkeys(("left-anterior-superior", "las"), (-1, 1, 1)),
    **dict.fromkeys(("left-posterior-superior", "lps"), (-1, -1, 1)),
}
_COLOURS = {"rgb-color", "3-color"}
_UNITS_MM = {"": 1.0, "mm": 1.0, "m": 1000.0, "cm": 10.0, "um": 0.001, "\u00b5m": 0.001, "micron": 0.001}
_VECTOR = re.compile(r"\(([^()]*)\)|none", re.IGNORECASE)


def read_nrrd(path: Path, frame: int | None = None) -> Scan:
    """Read one image or volume, turned to the reading directions.

    Raises
    ------
    StudyReadError
        If the file is damaged or incomplete, or in a type or encoding not read here.
    ChoiceError
        If it holds several volumes and ``frame`` chooses none.
    GeometryError
        If its directions are singular or not finite.

    """
    content = read_bytes(path)
    fields, start = _header(path.name, content)
    layout = _layout(path.name, fields)
    encoding = fields.get("encoding", "").lower()
    if encoding not in _ENCODINGS:
        raise StudyReadError(
            f"{path.name}: expected the encoding raw, gzip or bzip2, got {encoding[:20]!r}.", hint="Save it as raw."
        )
    name = fields.get("data file", fields.get("datafile"))
    data = content[start:] if name is None else read_bytes(data_file(path, name))
    data = _skipped(path.name, fields, data, _ENCODINGS[encoding], layout.size)
    return to_scan(path, unpack(path.name, data, _ENCODINGS[encoding], layout), layout, frame)


def _header(name: str, content: bytes) -> tuple[Fields, int]:
    """Return the fields in lower case, and where the voxels begin."""
    fields: Fields = {}
    place = 0
    for line in content[:HEADER_LIMIT].splitlines(keepends=True):
        place += len(line)
        text = line.decode("utf-8", "replace").strip()
        if not text and line.endswith(b"\n"):
            return fields, place
        field, colon, value = text.partition(": ")
        if colon and not text.startswith("#") and ":=" not in field:
            fields[field.lower()] = value.strip()
    if "data file" in fields or "datafile" in fields:
        return fields, len(content)
    raise damaged(name, "its header has no end")


def _layout(name: str, fields: Fields) -> Layout:
    require(name, fields, "type", "dimension", "sizes")
    shape = stated_shape(name, fields, "dimension", "sizes")
    is_big = fields.get("endian", "little").lower() == "big"
    dtype = stated_type(name, fields["type"].lower(), _TYPES, is_big_endian=is_big)
    kinds = fields.get("kinds", "").lower().split()
    kinds = kinds if len(kinds) == len(shape) else [""] * len(shape)
    vectors = _vectors(name, fields, len(shape))
    spatial = _spatial(name, shape, kinds, vectors)
    others = [axis for axis in range(len(shape)) if axis not in spatial]
    # A vector of three bytes is what ITK makes of colours.
    colours = _COLOURS | ({"vector"} if dtype.itemsize == 1 else set())
    is_colour = len(others) == 1 and kinds[others[0]] in colours and shape[others[0]] == 3
    affine, spacing, notes = _geometry(name, fields, [vectors[axis] for axis in spatial], spatial)
    return Layout(shape, dtype, spatial, is_colour, affine, spacing, notes)


def _vectors(name: str, fields: Fields, count: int) -> list[tuple[float, ...] | None]:
    """Return the direction of each axis in space, None where it has none."""
    found = [match.group(1) for match in _VECTOR.finditer(fields.get("space directions", ""))]
    if found and len(found) != count:
        raise damaged(name, f"{len(found)} space directions for {count} axes")
    vectors = [None if text is None else numbers(name, "space directions", text.replace(",", " ")) for text in found]
    if count == 4 and all(vector is not None and len(vector) == 4 for vector in vectors):
        return [None if vector is None else vector[:3] for vector in vectors[:3]] + [None]  # the fourth is time
    return vectors or [None] * count


def _spatial(
    name: str, shape: tuple[int, ...], kinds: list[str], vectors: list[tuple[float, ...] | None]
) -> tuple[int, ...]:
    """Return the axes in space: those with a direction, else those that are no colours, no vectors, no list."""
    axes = [axis for axis, vector in enumerate(vectors) if vector is not None]
    if not axes:
        axes = [axis for axis, kind in enumerate(kinds) if kind in ("domain", "space", "???", "none", "")][:3]
    if not 2 <= len(axes) <= 3:
        raise StudyReadError(f"{name}: expected a 2-D or 3-D image, got sizes {shape}.", hint="Save one volume of it.")
    return tuple(axes)


def _geometry(
    name: str, fields: Fields, vectors: list[tuple[float, ...] | None], spatial: tuple[int, ...]
) -> tuple[NDArray[np.float64] | None, tuple[float, ...] | None, tuple[str, ...]]:
    """Return the affine, the spacing along the spatial axes, and notes."""
    unit, notes = _unit(fields)
    stated = [vector for vector in vectors if vector is not None]
    if not stated:
        every = numbers(name, "spacings", fields.get("spacings", ""))
        steps = tuple(every[axis] * unit for axis in spatial if axis < len(every))
        return None, usable_spacing(steps if len(steps) == len(spatial) else ()), notes
    if len({len(vector) for vector in stated}) != 1 or len(stated[0]) not in (2, 3):
        raise damaged(name, "space directions of several lengths")
    columns: NDArray[Any] = np.array(stated, dtype=np.float64).T * unit  # (world, index)
    spacing = usable_spacing(tuple(float(step) for step in np.linalg.norm(columns, axis=0)))
    signs = _TO_RAS.get(fields.get("space", "").lower())
    if signs is None or columns.shape[0] != 3:
        return None, spacing, notes
    if columns.shape[1] == 2:  # one slice in space: across it 1 mm, as nothing is stated
        normal = np.cross(columns[:, 0], columns[:, 1])
        columns = np.column_stack([columns, normal / (np.linalg.norm(normal) or 1.0)])
    origin = numbers(name, "space origin", re.sub(r"[(),]", " ", fields.get("space origin", "")))
    affine = np.eye(4)
    affine[:3, :3] = columns
    if len(origin) == 3:
        affine[:3, 3] = np.array(origin) * unit
    else:
        notes += ("The file states no origin: taken to be 0.",)
    return np.diag([*signs, 1.0]) @ affine, spacing, notes


def _unit(fields: Fields) -> tuple[float, tuple[str, ...]]:
    text = fields.get("space units") or fields.get("units") or ""
    names = {word.strip().lower() for word in re.findall(r'"([^"]*)"', text)} - {""}
    name = names.pop() if len(names) == 1 else ""
    unit = _UNITS_MM.get(name, 1.0)
    return unit, (f"Lengths are converted from {name} to millimetres.",) * (unit != 1.0)


def _skipped(name: str, fields: Fields, data: bytes, encoding: str, size: int) -> bytes:
    """Return the data after the lines and bytes that the header says to skip."""
    for _ in range(whole_number(name, "line skip", fields)):
        data = data.partition(b"\n")[2]
        if not data:
            break
    skip = whole_number(name, "byte skip", fields)
    if skip == -1 and encoding == "raw":
        return data[-size:]
    return data[max(0, skip) :]
