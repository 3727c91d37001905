"""DICOM: one file with one or many frames, or a folder with the slices of one series."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tmca_core.errors import ChoiceError, SpacingError, StudyReadError, TmcaError
from tmca_core.geometry import plan_reading, spacing_from_affine, to_reading
from tmca_core.io._dicom_header import (
    check_image,
    frame_count,
    is_directory,
    pixel_spacing_mm,
    read_dataset,
    undecodable,
    unpacked_size,
)
from tmca_core.io._dicom_pixels import Frames, bright_is_dense, decode, functional_group, join
from tmca_core.io._dicom_series import Series, Slices, choose, find_series, listed_series
from tmca_core.io._dicom_stack import Plane, read_plane, stack
from tmca_core.io._dicom_view import plan_projection, plan_slice
from tmca_core.io._files import changed_meanwhile, size_text
from tmca_core.io._memory import check_memory
from tmca_core.io._steps import FilesRead
from tmca_core.io._values import usable
from tmca_core.io.spacing import check_step, note_by_hand
from tmca_core.study import Scan

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from numpy.typing import NDArray
    from pydicom import Dataset


_TELLING = ("SOPInstanceUID", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns")


def read_dicom(
    path: Path,
    series: int | str | None = None,
    frame: int | None = None,
    by_hand: tuple[float, ...] | None = None,
) -> Generator[FilesRead, None, Scan]:
    """Read a DICOM file: one frame as an image, several as a volume; or, file by file, those that a DICOMDIR lists.

    An image with a place in space, or a frontal radiograph that states its orientation, is turned so that the patient's
    right is at the left. Frames with positions are put in order and turned to the reading directions. Without positions
    they keep their order, and neither spacing nor affine is known.

    Parameters
    ----------
    path : Path
        The file.
    series : int or str, optional
        Which series of a DICOMDIR, from 1 or by its SeriesInstanceUID.
    frame : int, optional
        Which frame, from 1, to read as an image.
    by_hand : tuple of float, optional
        Lengths of a pixel, (y, x), perhaps with the distance of slices before them, for frames with positions and
        without spacing.

    Raises
    ------
    StudyReadError
        If the file is no image, damaged, incomplete, or in a compression that nothing here decodes.
    ChoiceError
        If a DICOMDIR lists several series, or there is no such frame.
    GeometryError
        If the frames have positions that make no regular volume.

    """
    try:
        dataset = read_dataset(path)
        if is_directory(dataset):
            every, notes = yield from listed_series(path)
            return (yield from _read_series(path, every, notes, series, frame, by_hand))
        check_image(path.name, dataset)
        check_memory(
            path.name, f"{size_text(unpacked := unpacked_size(dataset))} of pixels", 2 * unpacked, shrinks=False
        )
        count = frame_count(path.name, dataset)
        if frame is not None and not 1 <= frame <= count:
            message = f"{path.name}: expected a frame from 1 to {count}, got {frame}."
            raise ChoiceError(message, argument="frame", options=[f"frame {n}" for n in range(1, count + 1)])
        frames = decode(path.name, dataset)
        if count > 1 and frame is None:
            return _multi_frame(path, dataset, frames, count, by_hand)
        notes = (f"Frame {frame} of {count}.",) if count > 1 else ()
        scan = _image(path, dataset, frames, (frame or 1) - 1)
        return replace(scan, notes=notes + scan.notes)
    except TmcaError:
        raise
    except Exception as error:
        raise undecodable(path.name) from error


def read_dicom_folder(
    folder: Path,
    series: int | str | None = None,
    frame: int | None = None,
    by_hand: tuple[float, ...] | None = None,
) -> Generator[FilesRead, None, Scan]:
    """Read the slices of one series in a folder as a volume, file by file; others are left out, and counted.

    Parameters
    ----------
    folder : Path
        With a DICOMDIR, with slices directly in it, or with folders of slices.
    series : int or str, optional
        Which of several series, from 1 in the order of `ChoiceError.options`, or by its SeriesInstanceUID.
    frame : int, optional
        Where the series is one file of several frames, which of them, from 1, to read as an image.
    by_hand : tuple of float, optional
        As for `read_dicom`.

    Raises
    ------
    StudyReadError
        If there is no slice, a damaged slice, or one of another size or kind.
    SpacingError
        If the slices have positions and no pixel spacing, and none was given.
    ChoiceError
        If there are several series, and none is chosen.
    GeometryError
        If the slices have no positions, or positions that make no regular volume.

    """
    try:
        every, notes = yield from find_series(folder)
        return (yield from _read_series(folder, every, notes, series, frame, by_hand))
    except TmcaError:
        raise
    except OSError as error:
        raise StudyReadError(
            f"{folder.name}: {error.strerror}.", hint="Check the permissions of the folder."
        ) from error
    except Exception as error:
        raise undecodable(folder.name) from error


def _read_series(
    source: Path,
    every: list[Series],
    notes: tuple[str, ...],
    wanted: int | str | None,
    frame: int | None,
    by_hand: tuple[float, ...] | None,
) -> Generator[FilesRead, None, Scan]:
    """Read the series wanted; ``source`` is the folder or DICOMDIR."""
    slices = choose(source.name, every, wanted).slices
    if len(every) > 1:
        notes += (f"One of {len(every)} series is read.",)
    if len(slices) == 1:
        scan = yield from read_dicom(next(iter(slices)), frame=frame, by_hand=by_hand)
        return replace(scan, notes=notes + scan.notes)
    if frame is not None:
        raise StudyReadError(
            f"{source.name}: a frame was asked for, and the series is {len(slices)} files of one volume.",
            hint="Leave frame out, or choose one file.",
        )
    planes = [_plane_of(source.name, path, header, by_hand) for path, header in slices.items()]
    order, affine = stack(source.name, planes)
    if by_hand is not None and any(pixel_spacing_mm(header)[0] is None for header in slices.values()):
        check_step(source.name, float(np.linalg.norm(affine[:3, 2])), by_hand)
        notes += (note_by_hand(by_hand),)
    unpacked = sum(unpacked_size(header) for header in slices.values())
    check_memory(source.name, f"{len(slices)} slices of {size_text(unpacked)}", 2 * unpacked, shrinks=False)
    frames = yield from _decode_slices(source, {path: slices[path] for path in (list(slices)[i] for i in order)})
    scan = _volume(source, frames, affine, _modality(next(iter(slices.values()))))
    return replace(scan, notes=notes + scan.notes)


def _image(path: Path, dataset: Dataset, frames: Frames, index: int) -> Scan:
    """Return one frame as an image, turned as such images are read."""
    padding = None if frames.padding is None else frames.padding[index : index + 1]
    values, notes = bright_is_dense(replace(frames, values=frames.values[index : index + 1], padding=padding))
    spacing, spacing_notes = pixel_spacing_mm(dataset, functional_group(dataset, index, "PixelMeasuresSequence"))
    rows, columns = values.shape[1:3]
    grid, view_notes = plan_projection(dataset, rows, columns)
    position = functional_group(dataset, index, "PlanePositionSequence") or dataset
    orientation = functional_group(dataset, index, "PlaneOrientationSequence") or dataset
    plane = read_plane(path.name, position, orientation, spacing)
    if plane is not None:
        grid, view_notes = plan_slice(plane, rows, columns, _thickness_mm(dataset)), ()
        if grid.axes != (2, 1, 0) or any(grid.flips[1:]):
            view_notes = ("Turned to the radiological view, the patient's right at the left.",)
        if grid.affine_reading_ras is not None:
            spacing = spacing_from_affine(grid.affine_reading_ras)[1:]
    picture = values[0] if grid is None else to_reading(values[0].swapaxes(0, 1), grid)
    pixels, is_rgb, value_notes = usable(path.name, picture, is_rgb=frames.is_rgb)
    return Scan(
        pixels,
        is_rgb=is_rgb,
        spacing_mm=spacing,
        modality=_modality(dataset),
        source=path,
        native=grid,
        notes=notes + spacing_notes + view_notes + value_notes,
    )


def _thickness_mm(dataset: Dataset) -> float | None:
    try:
        thickness = float(dataset["SliceThickness"].value)
    except (KeyError, TypeError, ValueError):
        return None
    return thickness if 0 < thickness < 1e4 else None


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


def _multi_frame(path: Path, dataset: Dataset, frames: Frames, count: int, by_hand: tuple[float, ...] | None) -> Scan:
    modality = _modality(dataset)
    planes = [plane for frame in range(count) if (plane := _frame_plane(dataset, frame, by_hand)) is not None]
    if len(planes) == count:
        order, affine = stack(path.name, planes)
        notes: tuple[str, ...] = ()
        if by_hand is not None and any(_frame_spacing(dataset, frame) is None for frame in range(count)):
            check_step(path.name, float(np.linalg.norm(affine[:3, 2])), by_hand)
            notes = (note_by_hand(by_hand),)
        padding = None if frames.padding is None else frames.padding[order]
        ordered = Frames(frames.values[order], padding, frames.is_rgb, frames.is_inverted, frames.notes + notes)
        return _volume(path, ordered, affine, modality)
    if by_hand is None and all(_frame_plane(dataset, frame, (1.0, 1.0)) is not None for frame in range(count)):
        raise SpacingError(f"{path.name}: its {count} frames state no pixel spacing.")
    values, notes = bright_is_dense(frames)
    pixels, is_rgb, value_notes = usable(path.name, values, is_rgb=frames.is_rgb)
    notes += (f"The {count} frames state no positions: shown in stored order, lengths are unknown.",)
    return Scan(pixels, is_rgb=is_rgb, modality=modality, source=path, notes=notes + value_notes)


def _frame_plane(dataset: Dataset, frame: int, by_hand: tuple[float, ...] | None) -> Plane | None:
    position = functional_group(dataset, frame, "PlanePositionSequence")
    orientation = functional_group(dataset, frame, "PlaneOrientationSequence")
    if position is None or orientation is None:
        return None
    return read_plane(f"frame {frame + 1}", position, orientation, _frame_spacing(dataset, frame) or _pixel(by_hand))


def _frame_spacing(dataset: Dataset, frame: int) -> tuple[float, float] | None:
    return pixel_spacing_mm(dataset, functional_group(dataset, frame, "PixelMeasuresSequence"))[0]


def _plane_of(source: str, path: Path, header: Dataset, by_hand: tuple[float, ...] | None) -> Plane:
    spacing = pixel_spacing_mm(header)[0] or _pixel(by_hand)
    plane = read_plane(path.name, header, header, spacing)
    if plane is not None:
        return plane
    if spacing is None and read_plane(path.name, header, header, (1.0, 1.0)) is not None:
        raise SpacingError(f"{source}: its slices state no pixel spacing.")
    raise StudyReadError(
        f"{path.name}: expected a slice with position and orientation, got none.",
        hint="Open the file alone, or export the series with its geometry.",
    )


def _pixel(by_hand: tuple[float, ...] | None) -> tuple[float, float] | None:
    """Return the lengths of a pixel, (y, x), of those given."""
    return None if by_hand is None else (by_hand[-2], by_hand[-1])


def _decode_slices(folder: Path, slices: Slices) -> Generator[FilesRead, None, Frames]:
    """Decode the slices in order and join them; each must still be the one whose header was read before."""
    frames: list[Frames] = []
    first = next(iter(slices))
    for done, (path, header) in enumerate(slices.items(), 1):
        if not path.is_file():
            raise changed_meanwhile(path.name)
        dataset = read_dataset(path)
        if any(dataset.get(keyword) != header.get(keyword) for keyword in _TELLING):
            raise changed_meanwhile(path.name)
        check_image(path.name, dataset)
        frames.append(decode(path.name, dataset))
        shape, expected = frames[-1].values.shape, (1, *frames[0].values.shape[1:])
        if shape != expected or (frames[-1].is_rgb, frames[-1].is_inverted) != (
            frames[0].is_rgb,
            frames[0].is_inverted,
        ):
            raise StudyReadError(
                f"{folder.name}: expected slices of one size and kind, got {first.name} and {path.name}.",
                hint="Choose a folder with one series.",
            )
        yield FilesRead("reading slices", done, len(slices))
    return join(frames)
