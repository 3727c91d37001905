"""DICOM: one file with one or many frames, or a folder with the slices of one series."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from tmca_core.errors import StudyReadError, TmcaError
from tmca_core.geometry import plan_reading, spacing_from_affine, to_reading
from tmca_core.io._dicom_header import (
    check_image,
    frame_count,
    holds_an_image,
    pixel_spacing_mm,
    read_dataset,
    undecodable,
)
from tmca_core.io._dicom_pixels import Frames, bright_is_dense, decode, functional_group, join
from tmca_core.io._dicom_stack import Plane, read_plane, stack
from tmca_core.io._values import usable
from tmca_core.study import Scan

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from pydicom import Dataset


def read_dicom(path: Path) -> Scan:
    """Read a DICOM file: one frame as an image in its stored orientation, several as a volume.

    Frames with positions are put in order and turned to the reading directions. Without positions they keep their
    order, and neither spacing nor affine is known.

    Raises
    ------
    StudyReadError
        If the file is no image, damaged, incomplete, or in a compression that nothing here decodes.
    GeometryError
        If the frames have positions that make no regular volume.

    """
    try:
        dataset = read_dataset(path)
        check_image(path.name, dataset)
        count = frame_count(path.name, dataset)
        frames = decode(path.name, dataset)
        if count > 1:
            return _multi_frame(path, dataset, frames, count)
        values, notes = bright_is_dense(frames)
        spacing, spacing_notes = pixel_spacing_mm(dataset, functional_group(dataset, 0, "PixelMeasuresSequence"))
        pixels, is_rgb, value_notes = usable(path.name, values[0], is_rgb=frames.is_rgb)
        notes += spacing_notes + value_notes
        return Scan(pixels, is_rgb=is_rgb, spacing_mm=spacing, modality=_modality(dataset), source=path, notes=notes)
    except TmcaError:
        raise
    except Exception as error:
        raise undecodable(path.name) from error


def read_dicom_folder(folder: Path) -> Scan:
    """Read the slices of one series that lie directly in a folder as a volume; other files are left out, and counted.

    Raises
    ------
    StudyReadError
        If there is no slice, more than one series, a damaged slice, or one of another size or kind.
    GeometryError
        If the slices have no positions, or positions that make no regular volume.

    """
    try:
        slices, notes = _series_in(folder)
        if len(slices) == 1:
            scan = read_dicom(next(iter(slices)))
            return replace(scan, notes=notes + scan.notes)
        order, affine = stack(folder.name, [_plane_of(path, header) for path, header in slices.items()])
        paths = [list(slices)[i] for i in order]
        frames = _decode_slices(folder, paths)
        modality = _modality(next(iter(slices.values())))
        scan = _volume(folder, frames, affine, modality)
    except TmcaError:
        raise
    except OSError as error:
        raise StudyReadError(
            f"{folder.name}: {error.strerror}.", hint="Check the permissions of the folder."
        ) from error
    except Exception as error:
        raise undecodable(folder.name) from error
    return replace(scan, notes=notes + scan.notes)


def is_dicom(path: Path) -> bool:
    """Tell whether a file has DICOM's preamble; whatever cannot be opened has not."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _modality(dataset: Dataset) -> str:
    return str(dataset.get("Modality") or "")


def _volume(source: Path, frames: Frames, affine_ras: NDArray[np.float64], modality: str) -> Scan:
    """Return ordered frames as a volume in the reading directions."""
    values, notes = bright_is_dense(frames)
    native = values.swapaxes(0, 2)  # (k, j, i, ...) to (i, j, k, ...)
    grid = plan_reading(native.shape[:3], affine_ras)
    pixels, is_rgb, value_notes = usable(source.name, to_reading(native, grid), is_rgb=frames.is_rgb)
    affine = grid.affine_reading_ras
    steps = None if affine is None else spacing_from_affine(affine)
    return Scan(
        pixels,
        is_rgb=is_rgb,
        spacing_mm=steps[1:] if steps and grid.is_slice else steps,
        affine_ras=None if grid.is_slice else affine,
        modality=modality,
        source=source,
        native=grid,
        notes=notes + value_notes,
    )


def _multi_frame(path: Path, dataset: Dataset, frames: Frames, count: int) -> Scan:
    planes = [plane for frame in range(count) if (plane := _frame_plane(dataset, frame)) is not None]
    if len(planes) == count:
        order, affine = stack(path.name, planes)
        padding = None if frames.padding is None else frames.padding[order]
        ordered = Frames(frames.values[order], padding, frames.is_rgb, frames.is_inverted, frames.notes)
        return _volume(path, ordered, affine, _modality(dataset))
    values, notes = bright_is_dense(frames)
    pixels, is_rgb, value_notes = usable(path.name, values, is_rgb=frames.is_rgb)
    notes += (f"The {count} frames state no positions: shown in stored order, lengths are unknown.",)
    return Scan(pixels, is_rgb=is_rgb, modality=_modality(dataset), source=path, notes=notes + value_notes)


def _frame_plane(dataset: Dataset, frame: int) -> Plane | None:
    position = functional_group(dataset, frame, "PlanePositionSequence")
    orientation = functional_group(dataset, frame, "PlaneOrientationSequence")
    if position is None or orientation is None:
        return None
    spacing, _ = pixel_spacing_mm(dataset, functional_group(dataset, frame, "PixelMeasuresSequence"))
    return read_plane(f"frame {frame + 1}", position, orientation, spacing)


def _series_in(folder: Path) -> tuple[dict[Path, Dataset], tuple[str, ...]]:
    """Return the slices of the only series, each with its header, and a note on what was left out."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    headers = {path: read_dataset(path, is_header_only=True) for path in files if is_dicom(path)}
    slices = {path: header for path, header in headers.items() if holds_an_image(header)}
    if not slices:
        raise StudyReadError(
            f"{folder.name}: expected a folder with DICOM slices, got {len(files)} files and no slice among them.",
            hint="Choose the folder that holds the slices themselves.",
        )
    series = Counter(str(header.get("SeriesInstanceUID") or "") for header in slices.values())
    if len(series) > 1:
        counts = ", ".join(str(count) for count in series.values())
        raise StudyReadError(
            f"{folder.name}: expected one series, got {len(series)} (of {counts} images).",
            hint="Put each series into a folder of its own.",
        )
    left_out = len(files) - len(slices)
    return slices, (f"{left_out} other files in the folder are left out.",) * bool(left_out)


def _plane_of(path: Path, header: Dataset) -> Plane:
    spacing, _ = pixel_spacing_mm(header)
    plane = read_plane(path.name, header, header, spacing)
    if plane is None:
        raise StudyReadError(
            f"{path.name}: expected a slice with position, orientation and pixel spacing, got none.",
            hint="Open the file alone, or export the series with its geometry.",
        )
    return plane


def _decode_slices(folder: Path, paths: Sequence[Path]) -> Frames:
    """Decode the slices in order and join them."""
    frames = []
    for path in paths:
        dataset = read_dataset(path)
        check_image(path.name, dataset)
        frames.append(decode(path.name, dataset))
        shape, expected = frames[-1].values.shape, (1, *frames[0].values.shape[1:])
        if shape != expected or (frames[-1].is_rgb, frames[-1].is_inverted) != (
            frames[0].is_rgb,
            frames[0].is_inverted,
        ):
            raise StudyReadError(
                f"{folder.name}: expected slices of one size and kind, got {paths[0].name} and {path.name}.",
                hint="Choose a folder with one series.",
            )
    return join(frames)
