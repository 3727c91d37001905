"""Masks, maps, overlays and JSON to files, each complete or not at all."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
import tifffile
from PIL import Image

from tmca_core.atomic import atomic_write
from tmca_core.display import with_heat
from tmca_core.errors import GeometryError, StudyWriteError
from tmca_core.io._files import suffix_of
from tmca_core.io.nifti import write_nifti
from tmca_core.io.nrrd_write import write_nrrd
from tmca_core.names import json_text
from tmca_core.overlay import draw_overlay, fullest_slice

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from tmca_core.study import Scan

WRITE_SUFFIXES = (".png", ".tif", ".tiff", ".nii", ".nii.gz", ".nrrd")
_NIFTI_SUFFIXES = (".nii", ".nii.gz")
_VOLUME_SUFFIXES = (*_NIFTI_SUFFIXES, ".nrrd")


def write_mask(path: Path | str, mask: NDArray[np.generic], scan: Scan) -> None:
    """Write a mask on the grid of the scan's own file; a mask that it replaces is kept as ``NAME.previous``.

    Parameters
    ----------
    path : Path or str
        ``.png``, ``.tif`` for an image, ``.nii``, ``.nii.gz`` for a volume or whatever came as NIfTI, ``.nrrd`` for
        any.
    mask : NDArray of bool or whole numbers, shape of the scan
        Two values, 0 and 1 (or ``True``): written as 0 and 255 to a picture, as 0 and 1 to NIfTI and NRRD. With labels
        above 1 every label keeps its number; 8 bits up to 255, else 16.
    scan : Scan
        What the mask belongs to.

    Raises
    ------
    GeometryError
        If the mask has another shape than the scan.
    StudyWriteError
        If the suffix does not fit the scan, or the file cannot be written; an old file is then unchanged.
    ValueError
        If the mask holds fractions, or labels outside 0..65535.

    """
    path = Path(path)
    check_target(path, mask.shape, scan)
    labels = labels_of(mask)
    if suffix_of(path) not in _VOLUME_SUFFIXES and labels.max(initial=0) <= 1:
        labels *= 255
    _write_array(path, labels, scan, keeps_previous=True)


def write_map(path: Path | str, values: NDArray[np.floating[Any]], scan: Scan) -> None:
    """Write a map of values 0..1, such as a probability or an attention map, on the grid of the scan's own file.

    Parameters
    ----------
    path : Path or str
        As for `write_mask`. NIfTI, NRRD and TIFF hold float32; PNG holds 16-bit grey, 0..65535 for 0..1.
    values : NDArray of float, shape of the scan
        0..1.
    scan : Scan
        What the map belongs to.

    Raises
    ------
    GeometryError, StudyWriteError
        As for `write_mask`.
    ValueError
        If a value is NaN or outside 0..1.

    """
    path = Path(path)
    check_target(path, values.shape, scan)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"expected values 0..1, got {values.min()} to {values.max()}")
    is_png = suffix_of(path) == ".png"
    _write_array(path, np.rint(values * 65535).astype(np.uint16) if is_png else values.astype(np.float32), scan)


def write_overlay(
    path: Path | str, scan: Scan, mask: NDArray[np.generic], attention: NDArray[np.float32] | None = None
) -> None:
    """Write an RGB PNG of the scan with the mask tinted and outlined, over an attention map if one is given.

    Parameters
    ----------
    path : Path or str
        ``.png``.
    scan : Scan
        Of a volume, the slice with most mask is drawn, the middle one if there is none.
    mask : NDArray, shape of the scan
        Whatever is not zero is target.
    attention : NDArray[np.float32], shape of the scan, optional
        0..1.

    Raises
    ------
    GeometryError
        If mask or attention have another shape than the scan.
    StudyWriteError
        If the suffix is another, or the file cannot be written; an old file is then unchanged.

    """
    path = Path(path)
    if suffix_of(path) != ".png":
        raise StudyWriteError(f"{path.name}: an overlay is written as .png only.", hint="Choose a name ending in .png.")
    check_shape(path, mask.shape, scan)
    if attention is not None:
        check_shape(path, attention.shape, scan)
        scan, mask = heated_slice(scan, np.asarray(mask, dtype=bool), attention)
    picture, _ = draw_overlay(scan, mask)
    with atomic_write(path) as file:
        Image.fromarray(picture).save(file, "PNG")


def write_json(path: Path | str, mapping: Mapping[str, Any]) -> None:
    """Write a mapping as JSON in UTF-8, keys in their order; NumPy numbers become plain ones.

    Raises
    ------
    StudyWriteError
        If the file cannot be written; an old file is then unchanged.
    ValueError, TypeError
        If a number is NaN or infinite, or a value has no JSON form; nothing is written.

    """
    text = json_text(mapping, indent=2, allow_nan=False, default=_plain)
    with atomic_write(path) as file:
        file.write(f"{text}\n".encode())


def check_shape(path: Path, shape: tuple[int, ...], scan: Scan) -> None:
    """Raise `GeometryError` unless values to be written have the scan's shape."""
    if shape != scan.shape:
        raise GeometryError(
            f"{path.name}: expected values of the scan's shape {scan.shape}, got {shape}.",
            hint="Save it with the scan that it belongs to.",
        )


def check_target(path: Path, shape: tuple[int, ...], scan: Scan) -> None:
    """Check that the values have the scan's shape, and that the suffix can hold them on its grid."""
    check_shape(path, shape, scan)
    suffix = suffix_of(path)
    if suffix not in WRITE_SUFFIXES:
        raise StudyWriteError(
            f"{path.name}: expected a name ending in {', '.join(WRITE_SUFFIXES)}.",
            hint=f"Choose a name ending in {'.png' if scan.ndim == 2 else '.nii.gz'}.",
        )
    if suffix in _NIFTI_SUFFIXES and scan.ndim == 2 and scan.native is None:
        raise StudyWriteError(
            f"{path.name}: this scan is a picture without a place in space, and NIfTI needs one.",
            hint="Choose a name ending in .png or .tif.",
        )
    if suffix not in _VOLUME_SUFFIXES and scan.ndim == 3:
        raise StudyWriteError(
            f"{path.name}: this scan is a volume of {scan.shape[0]} slices, and {suffix} would hold one.",
            hint="Choose a name ending in .nii.gz.",
        )


def labels_of(mask: NDArray[np.generic]) -> NDArray[np.integer[Any]]:
    """Return the mask as unsigned integers, as small as its labels."""
    values = np.asarray(mask)
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    low, high = values.min(initial=0), values.max(initial=0)
    if values.dtype.kind == "f" and (values != np.rint(values)).any():
        raise ValueError("expected a mask of whole numbers, got fractions")
    if low < 0 or high > np.iinfo(np.uint16).max:
        raise ValueError(f"expected labels 0..65535, got {low} to {high}")
    return values.astype(np.uint8 if high <= np.iinfo(np.uint8).max else np.uint16)


def _write_array(path: Path, array: NDArray[np.generic], scan: Scan, *, keeps_previous: bool = False) -> None:
    suffix = suffix_of(path)
    with atomic_write(path, keeps_previous=keeps_previous) as file:
        if suffix == ".png":
            Image.fromarray(array).save(file, "PNG")
        elif suffix == ".nii":
            write_nifti(file, array, scan)
        elif suffix == ".nii.gz":
            # No name and no time in the stream: equal masks give equal files. Level 1 is nibabel's own choice.
            with gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as stream:
                write_nifti(cast("BinaryIO", stream), array, scan)
        elif suffix == ".nrrd":
            write_nrrd(file, array, scan)
        else:
            tifffile.imwrite(file, array, photometric="minisblack", metadata=None, compression="zlib")


def heated_slice(scan: Scan, mask: NDArray[np.bool_], attention: NDArray[np.float32]) -> tuple[Scan, NDArray[np.bool_]]:
    """Return one slice as a colour scan with the attention in it, and its mask."""
    if scan.ndim == 3:
        z = fullest_slice(mask)
        spacing = scan.spacing_mm[1:] if scan.spacing_mm else None
        scan = replace(scan, pixels=scan.pixels[z], spacing_mm=spacing, affine_ras=None, native=None)
        mask, attention = mask[z], attention[z]
    return replace(scan, pixels=with_heat(scan, attention), is_rgb=True), mask


def _plain(value: object) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no JSON form")
