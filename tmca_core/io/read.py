"""From a path to a scan or a mask, whatever the format."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tmca_core.errors import StudyReadError
from tmca_core.io._files import Kind, changed_meanwhile, file_size, size_text, sniff
from tmca_core.io._memory import check_memory
from tmca_core.io.dicom import read_dicom, read_dicom_folder
from tmca_core.io.mha import read_mha
from tmca_core.io.nifti import AFFINES, read_nifti
from tmca_core.io.nrrd import read_nrrd
from tmca_core.io.picture import read_picture
from tmca_core.io.shrink import scaled_spacing, shrunk
from tmca_core.io.spacing import check_spacing, with_spacing
from tmca_core.steps import finished
from tmca_core.study import Reading

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from numpy.typing import NDArray

    from tmca_core.io._steps import FilesRead
    from tmca_core.io.nifti import AffineChoice
    from tmca_core.study import Scan

_NIFTI_KINDS = {Kind.NIFTI, Kind.NIFTI_GZ, Kind.NIFTI_PAIR}
_VOLUME_KINDS = _NIFTI_KINDS | {Kind.NRRD, Kind.MHA}
_PICTURE_KINDS = {Kind.PNG, Kind.JPEG, Kind.TIFF, Kind.BMP, Kind.WEBP}
_NOISE = 32  # 8-bit values below this in a mask without brighter ones are compression noise on an empty mask


def read_scan(
    path: Path | str,
    *,
    series: int | str | None = None,
    frame: int | None = None,
    affine: AffineChoice | None = None,
    spacing: Sequence[float] | None = None,
    shrink: int = 1,
    in_process: bool = False,
) -> Scan:
    """Read an image or a volume, oriented for reading.

    The format is told from the content. A folder is read as the slices of one DICOM series. Every decision taken on the
    way is in `Scan.notes`. What holds several scans is not mixed: `ChoiceError` lists them to choose from.

    Parameters
    ----------
    path : Path or str
        A file of one of `SCAN_SUFFIXES` (DICOM also without suffix), or a folder.
    series : int or str, optional
        Which of several DICOM series, from 1 in the order of `ChoiceError.options`, or by its SeriesInstanceUID.
    frame : int, optional
        Which frame of a DICOM file, volume of a 4-D NIfTI, NRRD or MHA file, or page of a TIFF, from 1.
    affine : {"sform", "qform", "ask"}, optional
        Which of a NIfTI's two affines to use. By default the sform, else the qform; where both are stated and disagree,
        a note says so, or with "ask" `ChoiceError` is raised.
    spacing : sequence of float, optional
        Where the file states none: lengths in mm, (y, x) or (z, y, x). Of slices with positions, the height and width
        of a pixel as stored, with or without the distance of slices, which the positions say.
    shrink : int
        Of a picture, or of each slice of a volume, read the means of blocks of so many rows and columns, for images too
        large for the memory. TIFF is read strip by strip or tile by tile, every other format whole before it shrinks.
    in_process : bool
        Whether to decode pictures in this process and not in the limited child, for loaders that read thousands of
        small files and have nothing to lose where a damaged one ends them.

    Raises
    ------
    ChoiceError
        If there are several to choose from and none is chosen, or there is none such.
    SpacingError
        If a DICOM series or volume has positions and no pixel spacing, and none is given.
    StudyReadError
        If it cannot be read, or is not one image or volume of finite numbers, or states the spacing that is given. No
        part of a damaged file is returned.
    GeometryError
        If its affine or its slice positions describe no real grid.

    """
    return finished(
        read_scan_steps(
            path,
            series=series,
            frame=frame,
            affine=affine,
            spacing=spacing,
            shrink=shrink,
            in_process=in_process,
        )
    )


def read_scan_steps(
    path: Path | str,
    *,
    series: int | str | None = None,
    frame: int | None = None,
    affine: AffineChoice | None = None,
    spacing: Sequence[float] | None = None,
    shrink: int = 1,
    in_process: bool = False,
) -> Generator[FilesRead, None, Scan]:
    """Read as `read_scan` does, in steps of one file of a series; closing the generator cancels."""
    path, by_hand = Path(path), None if spacing is None else check_spacing(spacing)
    if shrink < 1:
        raise ValueError(f"expected shrink from 1, got {shrink}")
    scan = yield from _read_steps(path, series, frame, affine, by_hand, shrink, in_process=in_process)
    return replace(scan, reading=Reading(series, frame, None if affine == "ask" else affine, by_hand, shrink))


def _read_steps(
    path: Path,
    series: int | str | None,
    frame: int | None,
    affine: AffineChoice | None,
    by_hand: tuple[float, ...] | None,
    shrink: int,
    *,
    in_process: bool,
) -> Generator[FilesRead, None, Scan]:
    if path.is_dir():
        _check_affine_choice(path.name, None, affine)
        scan = yield from read_dicom_folder(path, series, frame, by_hand)
        scan = scan if by_hand is None else with_spacing(path.name, scan, by_hand)
        return scan if shrink == 1 else shrunk(path.name, scan, shrink)
    kind, notes = sniff(path)
    _check_affine_choice(path.name, kind, affine)
    if series is not None and kind != Kind.DICOM:
        raise StudyReadError(
            f"{path.name}: a series was asked for, and {kind} holds none.", hint="Leave series out, or choose a folder."
        )
    if kind != Kind.TIFF:  # which is read in parts
        size = file_size(path)
        check_memory(path.name, f"the {size_text(size)} of the file", size, shrinks=False)
    before = _state(path)
    if kind == Kind.DICOM:
        scan = yield from read_dicom(path, series, frame, by_hand)
    elif kind in _PICTURE_KINDS:
        scan = read_picture(path, kind, frame, shrink=shrink, in_process=in_process)
    else:
        scan = _read_file(path, kind, frame, affine)
    if _state(path) != before:
        raise changed_meanwhile(path.name)
    scan = replace(scan, notes=notes + scan.notes) if notes else scan
    scan = scan if by_hand is None else with_spacing(path.name, scan, by_hand)
    if shrink == 1:
        return scan
    return scaled_spacing(scan, shrink) if kind in _PICTURE_KINDS else shrunk(path.name, scan, shrink)


def read_mask(path: Path | str, *, in_process: bool = False) -> NDArray[np.bool_]:
    """Read a mask from a picture, NIfTI, NRRD or MHA file, in the same orientation as `read_scan` reads the scan.

    Parameters
    ----------
    path : Path or str
        Of whole numbers. Zero is background and every other number target; in 8-bit pictures with soft edges or
        compression noise, the brighter half is target.
    in_process : bool
        As for `read_scan`.

    Returns
    -------
    NDArray[np.bool_], shape (Y, X) or (Z, Y, X)

    Raises
    ------
    StudyReadError
        If it cannot be read, or holds fractions, or is DICOM.
    GeometryError
        If its affine describes no real grid.

    """
    path = Path(path)
    kind, _ = sniff(path)
    if kind == Kind.DICOM:
        raise StudyReadError(
            f"{path.name}: expected a mask as a picture or NIfTI, got DICOM.", hint="Export it as PNG or NIfTI."
        )
    scan = _read_file(path, kind, in_process=in_process)
    values: NDArray[Any] = scan.pixels.max(axis=-1) if scan.is_rgb else scan.pixels
    if values.dtype.kind == "f" and np.any(values % 1 != 0):
        raise StudyReadError(
            f"{path.name}: expected a mask of whole numbers, got fractions.",
            hint="Apply a threshold to it first; a probability map is not a mask.",
        )
    if kind not in _VOLUME_KINDS and values.dtype == np.uint8 and (kind == Kind.JPEG or _is_soft(values)):
        return _brighter_half(values)
    target: NDArray[np.bool_] = values != 0
    return target


def _check_affine_choice(name: str, kind: Kind | None, affine: AffineChoice | None) -> None:
    if affine in AFFINES and kind not in _NIFTI_KINDS:
        raise StudyReadError(
            f"{name}: the {affine} was asked for, and only NIfTI has one; this is {kind or 'a folder'}.",
            hint="Leave affine out.",
        )
    if affine is not None and affine not in (*AFFINES, "ask"):
        raise ValueError(f"expected affine to be sform, qform or ask, got {affine!r}")


def _state(path: Path) -> tuple[int, int] | None:
    """Return size and time of a file, None where it is gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _read_file(
    path: Path,
    kind: Kind,
    frame: int | None = None,
    affine: AffineChoice | None = None,
    *,
    in_process: bool = False,
) -> Scan:
    """Read any file but DICOM."""
    if kind in _NIFTI_KINDS:
        return read_nifti(path, kind, frame, affine)
    if kind == Kind.NRRD:
        return read_nrrd(path, frame)
    if kind == Kind.MHA:
        return read_mha(path, frame)
    return read_picture(path, kind, frame, in_process=in_process)


def _is_soft(values: NDArray[np.uint8]) -> bool:
    """Tell a black and white mask with values in between from one of labels."""
    return bool(values.max() == 255) and len(np.unique(values)) > 2


def _brighter_half(values: NDArray[np.uint8]) -> NDArray[np.bool_]:
    top = int(values.max())
    bright: NDArray[np.bool_] = values.astype(np.int16) * 2 > top
    return bright if top >= _NOISE else np.zeros(values.shape, dtype=bool)
