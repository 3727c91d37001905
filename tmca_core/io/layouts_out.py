"""Many finished cases as one folder that training programs read: nnU-Net's raw data, or COCO with its pictures.

A report may name its patient: it is written only where that is asked for.
"""

from __future__ import annotations

import gzip
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from PIL import Image
from scipy import ndimage

from tmca_core.atomic import atomic_write
from tmca_core.display import to_display
from tmca_core.errors import StudyWriteError
from tmca_core.io._contours import outlines
from tmca_core.io.nifti import write_nifti
from tmca_core.io.write import check_shape, labels_of, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from tmca_core.study import Scan

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PIECE = 1 << 22  # bytes: a small part of a second
_CORNER = 0.5  # COCO counts from the corner of the first pixel, we from its centre


def _go_on() -> None:
    """Let an export go on."""


@dataclass(frozen=True, eq=False)
class ExportCase:
    """One finished case.

    Attributes
    ----------
    id : str
        Letters, digits, ``.``, ``_`` and ``-``; becomes a file name, so never a patient's name.
    scan : Scan
    mask : NDArray of bool or whole numbers, shape of the scan
        Labels, zero is background.
    report : str
        As pasted; "" where there is none.

    """

    id: str
    scan: Scan
    mask: NDArray[np.generic]
    report: str = ""


def export_nnunet(
    folder: Path | str,
    cases: Iterable[ExportCase],
    labels: Mapping[str, int],
    *,
    modality: str,
    has_reports: bool = False,
    stop: Callable[[], object] = _go_on,
) -> tuple[Path, ...]:
    """Write cases as a raw dataset of nnU-Net v2: ``imagesTr``, ``labelsTr``, ``dataset.json``.

    Volumes become ``.nii.gz`` on their own grid, pictures 8-bit ``.png`` (three channels where they are colour, as
    nnU-Net's reader of natural images wants); a dataset is of one kind.

    Parameters
    ----------
    folder : Path or str
        Such as ``Dataset501_Opacity``; made if needed.
    cases : iterable of ExportCase
        Taken one by one, so that only one is in memory.
    labels : Mapping of str to int
        Name and number of every label, consecutive from 1; background is added.
    modality : str
        What nnU-Net normalises by: "CT" for Hounsfield units, else any name.
    has_reports : bool
        Whether to write ``reports/ID.txt``, too.
    stop : callable
        Called again and again, also amid a file; what it raises ends the export.

    Returns
    -------
    tuple of Path
        All files written, ``dataset.json`` last.

    Raises
    ------
    StudyWriteError
        If an identifier is no file name or comes twice, kinds are mixed, or a file cannot be written.
    GeometryError
        If a mask has another shape than its scan.
    ValueError
        If the labels are not 1, 2, ..., or a mask holds others, or there is no case.

    """
    folder = Path(folder)
    if sorted(labels.values()) != list(range(1, len(labels) + 1)):
        raise ValueError(f"expected labels 1, 2, ..., got {sorted(labels.values())}")
    written: list[Path] = []
    kinds: set[tuple[int, bool]] = set()
    _make_folders(folder, "imagesTr", "labelsTr", *(["reports"] if has_reports else []))
    for case in _checked(cases):
        kinds.add((case.scan.ndim, case.scan.is_rgb))
        if len(kinds) > 1:
            raise StudyWriteError(
                f"{case.id}: nnU-Net wants cases of one kind: volumes, grey pictures or colour pictures.",
                hint="Export them into datasets of their own.",
            )
        values = _values_within(case, len(labels))
        suffix = ".nii.gz" if case.scan.ndim == 3 else ".png"
        image, label = folder / "imagesTr" / f"{case.id}_0000{suffix}", folder / "labelsTr" / f"{case.id}{suffix}"
        _write_image(image, case.scan, stop)
        _write_values(label, values, case.scan, stop)
        written += [image, label, *_report_file(folder, case, has_reports)]
    if not kinds:
        raise ValueError("expected at least one case, got none")
    ((ndim, is_rgb),) = kinds
    channels = {"0": "R", "1": "G", "2": "B"} if is_rgb else {"0": modality}
    description = {
        "channel_names": channels,
        "labels": {"background": 0, **labels},
        "numTraining": sum(path.parent.name == "labelsTr" for path in written),
        "file_ending": ".nii.gz" if ndim == 3 else ".png",
    }
    write_json(folder / "dataset.json", description)
    return (*written, folder / "dataset.json")


def export_coco(
    folder: Path | str,
    cases: Iterable[ExportCase],
    labels: Mapping[str, int],
    *,
    has_reports: bool = False,
    stop: Callable[[], object] = _go_on,
) -> tuple[Path, ...]:
    """Write pictures as COCO: ``images/ID.png`` (8 bits) and ``annotations.json`` with one object per connected area.

    Outlines are polygons in (x, y) from the corner of the first pixel; holes are joined to the outside by a cut.

    Parameters
    ----------
    folder, cases, labels, has_reports, stop
        As for `export_nnunet`; labels need not be consecutive. Reports become the image's ``report``.

    Returns
    -------
    tuple of Path
        All files written, ``annotations.json`` last.

    Raises
    ------
    StudyWriteError
        If a case is a volume, an identifier is no file name or comes twice, or a file cannot be written.
    GeometryError
        If a mask has another shape than its scan.
    ValueError
        If a mask holds a label that has no name.

    """
    folder = Path(folder)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    written: list[Path] = []
    _make_folders(folder, "images")
    for case in _checked(cases):
        if case.scan.ndim != 2:
            raise StudyWriteError(
                f"{case.id}: COCO holds pictures, and this is a volume.", hint="Export volumes for nnU-Net."
            )
        values = labels_of(case.mask)
        unknown = set(np.unique(values).tolist()) - {0, *labels.values()}
        if unknown:
            raise ValueError(f"{case.id}: labels without a name: {sorted(unknown)}")
        path = folder / "images" / f"{case.id}.png"
        _write_image(path, case.scan, stop)
        written.append(path)
        height, width = case.scan.shape
        image = {"id": len(images) + 1, "file_name": path.name, "height": height, "width": width}
        images.append(image | ({"report": case.report} if has_reports else {}))
        for number in labels.values():
            for item in _coco_objects(values == number):
                item |= {"id": len(annotations) + 1, "image_id": image["id"], "category_id": number}
                annotations.append(item)
    categories = [{"id": number, "name": name} for name, number in labels.items()]
    whole = {"images": images, "annotations": annotations, "categories": categories}
    write_json(folder / "annotations.json", whole)
    return (*written, folder / "annotations.json")


def _coco_objects(mask: NDArray[np.bool_]) -> Iterator[dict[str, Any]]:
    areas, _ = ndimage.label(mask)
    for (points, num_pixels), (rows, columns) in zip(outlines(mask), ndimage.find_objects(areas), strict=True):
        xy = points[:, ::-1] + _CORNER
        yield {
            "segmentation": [xy.ravel().tolist()],
            "bbox": [columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start],
            "area": num_pixels,
            "iscrowd": 0,
        }


def _checked(cases: Iterable[ExportCase]) -> Iterator[ExportCase]:
    """Yield cases whose identifiers are file names, each once, whatever the disk thinks of capitals."""
    seen: set[str] = set()
    for case in cases:
        if not _ID.fullmatch(case.id) or case.id.lower() in seen:
            raise StudyWriteError(
                f"'{case.id}': expected an identifier of letters, digits, '.', '_' and '-' that no other case has.",
                hint="Rename the case.",
            )
        seen.add(case.id.lower())
        check_shape(Path(case.id), case.mask.shape, case.scan)
        yield case


def _values_within(case: ExportCase, highest: int) -> NDArray[np.integer[Any]]:
    values = labels_of(case.mask)
    if values.max(initial=0) > highest:
        raise ValueError(f"{case.id}: expected labels 0..{highest}, got {values.max()}")
    return values


def _write_image(path: Path, scan: Scan, stop: Callable[[], object]) -> None:
    pixels = scan.pixels
    stop()
    if path.suffix == ".png":
        with atomic_write(path) as file:
            Image.fromarray(to_display(pixels, is_rgb=scan.is_rgb)).save(file, "PNG")
        return
    if scan.is_rgb:
        raise StudyWriteError(f"{path.name}: expected a grey volume, got colour.", hint="Convert it to grey first.")
    if pixels.dtype.kind in "iu" and pixels.dtype.itemsize > 4:
        pixels = pixels.astype(np.float64)  # programs that read NIfTI often refuse 64-bit integers
    _write_values(path, pixels, scan, stop)


class _Watched(io.BufferedIOBase):
    """A stream that calls ``stop`` before every piece that is written."""

    def __init__(self, stream: gzip.GzipFile, stop: Callable[[], object]) -> None:
        self._stream, self._stop = stream, stop

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._stream.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def write(self, data: Any) -> int:
        view, done = memoryview(data).cast("B"), 0
        while done < len(view):
            self._stop()
            done += self._stream.write(view[done : done + _PIECE])
        return done


def _write_values(path: Path, values: NDArray[np.generic], scan: Scan, stop: Callable[[], object]) -> None:
    with atomic_write(path) as file:
        if path.suffix == ".png":
            Image.fromarray(values).save(file, "PNG")
        else:
            with gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as stream:
                write_nifti(cast("BinaryIO", _Watched(stream, stop)), values, scan)


def _report_file(folder: Path, case: ExportCase, has_reports: bool) -> list[Path]:
    if not has_reports:
        return []
    path = folder / "reports" / f"{case.id}.txt"
    with atomic_write(path) as file:
        file.write(case.report.encode("utf-8", "surrogatepass"))
    return [path]


def _make_folders(folder: Path, *names: str) -> None:
    try:
        for name in names:
            (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyWriteError(
            f"{folder}: expected a folder that can be written to, got '{error.strerror}'.",
            hint="Choose another folder.",
        ) from error
