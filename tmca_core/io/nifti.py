"""NIfTI-1 and -2, plain, gzipped or as a pair, and ANALYZE pairs: voxels and geometry, in and out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, cast

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError

from tmca_core.errors import ChoiceError, GeometryError, StudyReadError, TmcaError
from tmca_core.geometry import (
    NativeGrid,
    axis_codes,
    is_sheared,
    plan_reading,
    spacing_from_affine,
    to_native,
    to_reading,
)
from tmca_core.io._files import Kind, damaged
from tmca_core.io._nifti_file import load_image
from tmca_core.io._values import chosen_frame, usable
from tmca_core.io.raster import ALPHA_DROPPED, drop_alpha
from tmca_core.study import Scan

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import IOBase
    from pathlib import Path
    from typing import BinaryIO

    from numpy.typing import NDArray

    from tmca_core.io._values import Decoded

AffineChoice = Literal["sform", "qform", "ask"]
AFFINES = ("sform", "qform")
_MILLIMETRES = {"meter": 1000.0, "micron": 0.001}
_GRID_FIELDS = (
    *("qform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("sform_code", "srow_x", "srow_y", "srow_z", "xyzt_units"),
)
_READING_ORDER = (2, 1, 0)


def read_nifti(path: Path, kind: Kind, frame: int | None = None, wanted: AffineChoice | None = None) -> Scan:
    """Read one image or volume, turned to the reading directions; `Scan.native` leads back to the file's grid.

    The sform is used, else the qform, unless ``wanted`` names one of them. A file that states neither keeps its stored
    order, (z, y, x) = (k, j, i), and has no affine. Lengths are converted to millimetres.

    Raises
    ------
    StudyReadError
        If the file is damaged or incomplete, holds values that are no image, or does not state the affine wanted.
    ChoiceError
        If it holds several volumes and ``frame``, from 1, chooses none; or if qform and sform disagree and ``wanted``
        is "ask".
    GeometryError
        If the affine is singular or not finite.

    """
    try:
        image = load_image(path, kind)
        shape = _spatial_shape(path.name, image)
        others = tuple(image.shape)[3:]
        number = chosen_frame(path.name, tuple(image.shape), math.prod(others), frame)
        where = np.unravel_index(number, others, order="F") if others else ()
        values, is_rgb, notes = _values(path.name, image, (..., *(int(n) for n in where)))
        notes += (f"Volume {number + 1} of {math.prod(others)}.",) * (math.prod(others) > 1)
        affine, more = _affine(path.name, image.header, wanted)
    except TmcaError:
        raise
    except Exception as error:
        raise damaged(path.name, error) from error
    grid = _plan(path.name, shape, affine, image.header)
    pixels = to_reading(values.reshape(shape + ((3,) if is_rgb else ())), grid)
    pixels, is_rgb, value_notes = usable(path.name, pixels, is_rgb=is_rgb)
    unit, unit_notes = _unit(image.header)
    return Scan(
        pixels,
        is_rgb=is_rgb,
        spacing_mm=_spacing_mm(grid, image.header, unit),
        affine_ras=_affine_mm(grid, unit),
        source=path,
        native=grid,
        notes=notes + more + _turn_notes(grid) + unit_notes + value_notes,
    )


def write_nifti(file: BinaryIO, values: NDArray[np.generic], scan: Scan) -> None:
    """Write values, on the scan's reading grid, to an open file on the scan's native grid.

    The geometry of a NIfTI source is copied field by field, codes of qform and sform included. Its free text and
    extensions, where identities hide, are not.
    """
    array = values.T if scan.native is None else to_native(values, scan.native)
    header = _geometry_header(array.shape, scan)
    header.set_data_dtype(array.dtype)
    header.set_slope_inter(1, 0)
    image_class = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    image_class(array, None, header).to_stream(cast("IOBase", file))


def _spatial_shape(name: str, image: nib.analyze.AnalyzeImage) -> tuple[int, ...]:
    """Return the first three axes, or the two that there are."""
    spatial = tuple(image.shape)[:3]
    if len(spatial) < 2:
        raise StudyReadError(f"{name}: expected a 2-D or 3-D image, got shape {spatial}.", hint="Export it again.")
    return spatial


def _values(name: str, image: nib.analyze.AnalyzeImage, where: tuple[Any, ...]) -> Decoded:
    """Return the scaled voxels of one volume, a trailing axis of 3 for colour; whether they are colour; notes."""
    stored = image.get_data_dtype()
    values: NDArray[np.generic] = np.asanyarray(image.dataobj[where])
    if stored.names is not None:
        colours = np.stack([values[channel] for channel in stored.names], axis=-1)
        return (drop_alpha(name, colours), True, (ALPHA_DROPPED,)) if len(stored.names) == 4 else (colours, True, ())
    is_scaled = values.dtype != stored.newbyteorder("=") and values.dtype.kind == "f"
    if is_scaled and (stored.itemsize <= 2 or stored == np.float32):
        values = values.astype(np.float32)  # exact enough for 16 bits times a slope, at half the memory
    return values, False, ()


def _affine(
    name: str, header: nib.analyze.AnalyzeHeader, wanted: AffineChoice | None
) -> tuple[NDArray[np.float64] | None, tuple[str, ...]]:
    """Return the affine that the header states, in its own unit, and notes."""
    stated = _stated_affines(header)
    if wanted in ("sform", "qform") and wanted not in stated:
        there = f"only a {next(iter(stated))}" if stated else "no orientation"
        raise StudyReadError(f"{name}: the {wanted} was asked for, and the file states {there}.", hint="Leave it out.")
    if not isinstance(header, nib.Nifti1Header):
        return None, ("ANALYZE states no orientation: slices are shown in stored order.",)
    if not stated:
        return None, ("The file states no orientation: slices are shown in stored order.",)
    used = wanted if wanted in stated else next(iter(stated))
    notes = (f"The {used} is used, as asked.",) * (wanted == used)
    if len(stated) == 2 and not _agrees(header, np.asarray(header.get_sform(), dtype=np.float64)):
        if wanted == "ask":
            message = f"{name}: qform and sform disagree about where the image lies."
            raise ChoiceError(message, argument="affine", options=AFFINES)
        other = next(form for form in stated if form != used)
        notes = (f"qform and sform disagree: the {used} is used, as asked.",)
        if wanted != used:
            notes = (
                f'qform and sform disagree: the {used} is used; affine="{other}" (--affine {other}) takes the other.',
            )
    return np.asarray(stated[used](), dtype=np.float64), notes


def _stated_affines(header: nib.analyze.AnalyzeHeader) -> dict[str, Callable[[], Any]]:
    """Return what reads each affine that the header states, the one to prefer first; a qform may be invalid."""
    if not isinstance(header, nib.Nifti1Header):
        return {}
    readers = {"sform": header.get_sform, "qform": header.get_qform}
    return {form: reader for form, reader in readers.items() if int(header[f"{form}_code"]) > 0}


def _agrees(header: nib.Nifti1Header, sform: NDArray[np.float64]) -> bool:
    """Tell whether the qform puts every corner of the volume within a tenth of a voxel of where the sform does."""
    try:
        qform = header.get_qform()
    except (HeaderDataError, np.linalg.LinAlgError):
        return False
    corner = np.ones(4)
    corner[: len(header.get_data_shape()[:3])] = header.get_data_shape()[:3]
    farthest = np.abs(qform - sform)[:3] @ corner
    return bool(farthest.max() <= 0.1 * np.linalg.norm(sform[:3, :3], axis=0).min())


def _plan(
    name: str, shape: tuple[int, ...], affine: NDArray[np.float64] | None, header: nib.analyze.AnalyzeHeader
) -> NativeGrid:
    try:
        return plan_reading(shape, affine, header)
    except GeometryError as error:
        raise GeometryError(f"{name}: {error.message}", hint=error.hint) from error


def _turn_notes(grid: NativeGrid) -> tuple[str, ...]:
    if grid.affine_ras is None:
        return ()
    notes: tuple[str, ...] = ()
    if grid.axes != _READING_ORDER or any(grid.flips):
        notes += (f"Stored as {axis_codes(grid.affine_ras)}: axes turned to the radiological view.",)
    if is_sheared(grid.affine_ras):
        notes += ("The axes are not perpendicular in space: the volume is shown without its shear.",)
    return notes


def _unit(header: nib.analyze.AnalyzeHeader) -> tuple[float, tuple[str, ...]]:
    """Return the length of the header's spatial unit in millimetres; an unstated unit is the millimetre, by custom."""
    if not isinstance(header, nib.Nifti1Header):
        return 1.0, ()
    try:
        name = header.get_xyzt_units()[0]
    except KeyError:
        name = "unknown"
    return _MILLIMETRES.get(name, 1.0), (f"Lengths are converted from {name}s to millimetres.",) * (
        name in _MILLIMETRES
    )


def _affine_mm(grid: NativeGrid, unit: float) -> NDArray[np.float64] | None:
    if grid.is_slice or grid.affine_reading_ras is None:
        return None
    return np.diag([unit, unit, unit, 1.0]) @ grid.affine_reading_ras


def _spacing_mm(grid: NativeGrid, header: nib.analyze.AnalyzeHeader, unit: float) -> tuple[float, ...] | None:
    """Return the spacing in reading order, (y, x) for a slice; ``None`` where the header holds no positive lengths."""
    if grid.affine_reading_ras is not None:
        steps = spacing_from_affine(grid.affine_reading_ras)
    else:
        pixdim = [float(header["pixdim"][1 + axis]) for axis in grid.axes]
        steps = (pixdim[0], pixdim[1], pixdim[2])
    spacing = tuple(step * unit for step in steps)[1 if grid.is_slice else 0 :]
    return spacing if all(np.isfinite(spacing)) and min(spacing) > 0 else None


def _geometry_header(shape: tuple[int, ...], scan: Scan) -> nib.Nifti1Header:
    """Return a fresh header with the geometry of the scan and nothing else of its source."""
    source = scan.native.header if scan.native else None
    needs_64_bit = isinstance(source, nib.Nifti2Header) or max(shape) > np.iinfo(np.int16).max
    header = nib.Nifti2Header() if needs_64_bit else nib.Nifti1Header()
    header.set_data_shape(shape)
    if isinstance(source, nib.Nifti1Header):
        for field in _GRID_FIELDS:
            header[field] = source[field]
        header["pixdim"][:4] = source["pixdim"][:4]
        return header
    header.set_xyzt_units("mm")
    if isinstance(source, nib.analyze.AnalyzeHeader):
        header["pixdim"][1:4] = source["pixdim"][1:4]
    elif scan.native is not None and scan.native.affine_ras is not None:
        header.set_qform(scan.native.affine_ras, code="scanner")
        header.set_sform(scan.native.affine_ras, code="scanner")
    elif scan.spacing_mm is not None:
        header["pixdim"][1 : 1 + len(shape)] = scan.spacing_mm[::-1]
    return header
