"""Segment one scan with one report and write everything a reader needs into a folder, all of it or nothing."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from tmca_core.atomic import atomic_write, keep_previous
from tmca_core.attention import attention_on_scan
from tmca_core.errors import StudyWriteError
from tmca_core.io import write_map, write_mask
from tmca_core.io.formats import FILE_NAMES, MaskFormat, check_format, write_format
from tmca_core.overlay import draw_overlay
from tmca_core.recipes.result import describe_result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from tmca_core.predictor import Predictor, SlicesDone
    from tmca_core.study import Report, Scan, Segmentation

RESULT_NAME = "result.json"
LEVELS = (1, 2, 3, 4)


@dataclass(frozen=True)
class FileDone:
    """One file is ready; it appears in the folder together with all others, at the end.

    Attributes
    ----------
    name : str
        Its name in the folder.
    done, total : int
        Files ready and files to write.

    """

    name: str
    done: int
    total: int


@dataclass(frozen=True, eq=False)
class PredictionWritten:
    """Everything stands in the folder.

    Attributes
    ----------
    folder : Path
        Where.
    files : tuple of Path
        All files written, ``result.json`` last.
    segmentation : Segmentation
        What was predicted.
    result : dict
        What ``result.json`` says.

    """

    folder: Path
    files: tuple[Path, ...]
    segmentation: Segmentation
    result: dict[str, Any]


def predict_to_folder(
    predictor: Predictor,
    scan: Scan,
    report: Report | None,
    folder: str | os.PathLike[str],
    *,
    threshold: float | None = None,
    formats: Sequence[MaskFormat] = (),
    slices: range | None = None,
) -> Iterator[SlicesDone | FileDone | PredictionWritten]:
    """Segment a scan and write mask, probability, attention of each level, overlay and ``result.json``.

    Files of an earlier run are replaced only when all new ones are ready; until then, and whenever something fails or
    the iterator is closed, the folder stays as it was.

    Parameters
    ----------
    predictor : Predictor
        Loaded weights; its scan becomes this one.
    scan : Scan
        A picture gives PNG files, a volume or a NIfTI file gives ``.nii.gz`` files on the same grid.
    report : Report or None
        ``None`` asks for image-only mode.
    folder : path
        Made where it does not exist.
    threshold : float, optional
        Probability from which a pixel belongs to the mask; the model's own by default.
    formats : sequence of MaskFormat
        Further files to write of the same mask. Whether the scan allows them is checked before anything is computed.
    slices : range, optional
        Of a volume, the slices to look at, from 0; the others stay empty.

    Yields
    ------
    SlicesDone
        After each slice.
    FileDone
        After each file.
    PredictionWritten
        At the end.

    Raises
    ------
    StudyWriteError
        If the folder cannot be made or written to, or the scan does not allow a format.

    """
    folder = Path(folder)
    formats = tuple(dict.fromkeys(formats))
    for mask_format in formats:
        check_format(mask_format, scan)
    with _staged(folder) as stage:
        predictor.set_scan(scan)
        segmentation = yield from predictor.predict_steps(report, threshold, slices=slices)
        result = describe_result(scan, segmentation)
        writers = _writers(scan, segmentation) | _format_writers(scan, segmentation, formats)
        for done, (name, write) in enumerate(writers.items(), 1):
            result["files"][name] = write(stage / name)
            yield FileDone(name, done, len(writers) + 1)
        with atomic_write(stage / RESULT_NAME) as file:
            file.write((json.dumps(result, indent=2) + "\n").encode())
        names = (*writers, RESULT_NAME)
        _publish(stage, folder, names)
    yield PredictionWritten(folder, tuple(folder / name for name in names), segmentation, result)


def suffix_of_results(scan: Scan) -> str:
    """Return ".nii.gz" for volumes and for scans that came as NIfTI, else ".png"."""
    is_nifti = scan.source is not None and scan.source.name.lower().endswith((".nii", ".nii.gz", ".hdr", ".img"))
    return ".nii.gz" if scan.ndim == 3 or is_nifti else ".png"


def _writers(scan: Scan, segmentation: Segmentation) -> dict[str, Callable[[Path], dict[str, Any]]]:
    """Return, for every file name, a function that writes it and says what its values mean."""
    suffix = suffix_of_results(scan)

    def mask(path: Path) -> dict[str, Any]:
        write_mask(path, segmentation.mask, scan)
        return {"values": "0 or 255, 255 is target" if suffix == ".png" else "0 or 1, 1 is target"}

    def probability(path: Path) -> dict[str, Any]:
        write_map(path, segmentation.probability, scan)
        return {"values": _scale_of_maps(suffix)}

    def attention(level: int) -> Callable[[Path], dict[str, Any]]:
        def write(path: Path) -> dict[str, Any]:
            write_map(path, attention_on_scan(segmentation, level=level), scan)
            return {"values": _scale_of_maps(suffix), "level": level, "stride": 2 ** (level + 1)}

        return write

    def overlay(path: Path) -> dict[str, Any]:
        picture, slice_index = draw_overlay(scan, segmentation.mask)
        with atomic_write(path) as file:
            Image.fromarray(picture).save(file, format="PNG")
        return {"values": "8-bit RGB"} | ({} if slice_index is None else {"slice": slice_index})

    levels = {f"attention_level{level}{suffix}": attention(level) for level in LEVELS}
    return {f"mask{suffix}": mask, f"probability{suffix}": probability, **levels, "overlay.png": overlay}


def _format_writers(
    scan: Scan, segmentation: Segmentation, formats: Sequence[MaskFormat]
) -> dict[str, Callable[[Path], dict[str, Any]]]:
    """Return, for the file of every further format, a function that writes it and says what was remarkable."""

    def writer(mask_format: MaskFormat) -> Callable[[Path], dict[str, Any]]:
        def write(path: Path) -> dict[str, Any]:
            notes = write_format(mask_format, path, scan, segmentation)
            return {"format": mask_format.value, "notes": list(notes)}

        return write

    default = f"mask{suffix_of_results(scan)}"
    return {FILE_NAMES[f]: writer(f) for f in formats if FILE_NAMES[f] != default}


def _scale_of_maps(suffix: str) -> str:
    return "16-bit grey, 0..65535 stands for 0..1" if suffix == ".png" else "float32, 0..1"


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """Give an empty folder inside ``folder`` to write into, and take it away afterwards, whatever happened."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=".tmca-", dir=folder))
    except OSError as error:
        raise _cannot_write(folder, error) from error
    try:
        yield stage
    except OSError as error:
        raise _cannot_write(folder, error) from error
    except StudyWriteError as error:
        raise StudyWriteError(error.message.replace(str(stage), str(folder)), hint=error.hint) from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _publish(stage: Path, folder: Path, names: tuple[str, ...]) -> None:
    """Move finished files to their place on the same disk, ``result.json`` last.

    A mask that a new one replaces may have been edited since: it is kept as ``NAME.previous``.
    """
    for name in names:
        if name.startswith("mask"):
            keep_previous(folder / name, stage / name)
        os.replace(stage / name, folder / name)


def _cannot_write(folder: Path, error: OSError) -> StudyWriteError:
    reason = error.strerror or type(error).__name__
    return StudyWriteError(
        f"{folder}: expected a folder that can be written to, got '{reason}'. What stood there before is still there.",
        hint="Free some space or choose another folder.",
    )
