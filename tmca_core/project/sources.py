"""What is to be added to a project: files, folders and tables, as a list of sources. Nothing is read but names."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, cast

from tmca_core.errors import ConfigError, ProjectError
from tmca_core.io import SCAN_SUFFIXES
from tmca_core.io.nifti import AFFINES
from tmca_core.io.spacing import parse_spacing
from tmca_core.study import AS_IT_IS, Reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
_MASK_ENDINGS = ("_mask", "-mask", "_seg")
_IMAGE_COLUMNS, _REPORT_COLUMNS, _MASK_COLUMNS = ("image", "scan"), ("report", "text"), ("mask", "labels")
_READING_COLUMNS = ("spacing", "affine", "shrink")
_PATIENT_COLUMNS = ("patient", "patient_id", "subject")
# Folders of these names hold images of many patients; others hold one patient's where they are many and small.
_NO_PATIENT = {"images", "image", "img", "imgs", "scans", "train", "training", "val", "validation", "test", "data"}
_LEAST_FOLDERS, _MOST_PER_FOLDER = 3, 20


@dataclass(frozen=True)
class Source:
    """An image to add.

    Attributes
    ----------
    image : Path
        A file, or the folder of a DICOM series.
    report_text : str
        "" without a report.
    report_path, mask_path : Path or None
        Files with the report's text and an existing mask.
    alternatives : tuple of Path
        For a folder of DICOM files: what to add one by one where they are no series.
    patient, patient_folder : str
        The patient as a table names him, and the folder that seems to hold one patient's images; "" for none.
    reading : Reading
        How to read the image, where something was chosen.

    """

    image: Path
    report_text: str = ""
    report_path: Path | None = None
    mask_path: Path | None = None
    alternatives: tuple[Path, ...] = ()
    patient: str = ""
    patient_folder: str = ""
    reading: Reading = AS_IT_IS


def find_sources(paths: Iterable[Path], reading: Reading = AS_IT_IS) -> list[Source]:
    """Return the images in files, folders (with all below them) and CSV tables, in a stable order.

    All are to be read as ``reading`` says, where a table says nothing else.

    In a folder, ``name.txt`` beside ``name.png`` is taken for its report, ``name_mask.png`` for its mask, and two or
    more DICOM files for one series. A table has a column ``image`` and, if wanted, ``report`` (a text, or the path of
    a text file), ``mask``, ``patient``, and ``spacing`` (mm, "z y x"), ``affine`` and ``shrink`` as
    `tmca_core.io.read_scan` takes them; paths are seen from the table's folder.

    Raises
    ------
    ProjectError
        If a path does not exist, or a table cannot be read.

    """
    found: list[Source] = []
    for path in paths:
        if path.is_dir():
            found.extend(_with_patients(path, list(_in_folder(path))))
        elif not path.exists():
            raise ProjectError(f"{path.name}: no such file or folder.", hint="Check the path.")
        elif path.suffix.lower() == ".csv":
            found.extend(_in_table(path))
        else:
            found.append(_with_company(path))
    return [source if source.reading != AS_IT_IS else replace(source, reading=reading) for source in found]


def _in_folder(folder: Path) -> Iterator[Source]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here = [folder / root / name for name in sorted(names) if not name.startswith(".")]
        slices = tuple(path for path in here if path.name.lower().endswith(_DICOM_SUFFIXES))
        if len(slices) > 1:
            yield Source(slices[0].parent, alternatives=slices)
        for path in here:
            is_image = path.name.lower().endswith(SCAN_SUFFIXES) and not _stem(path).endswith(_MASK_ENDINGS)
            if is_image and (len(slices) < 2 or path not in slices):
                yield _with_company(path)


def _with_patients(folder: Path, sources: list[Source]) -> list[Source]:
    """Name the folder below ``folder`` that each image is in, where such a folder seems to be a patient's own."""
    parts = [source.image.relative_to(folder).parts for source in sources]
    names = {part[0] for part in parts if part}
    are_folders = all(len(part) > 1 or source.image.is_dir() for part, source in zip(parts, sources, strict=True))
    is_plausible = len(names) >= _LEAST_FOLDERS and len(sources) <= _MOST_PER_FOLDER * len(names)
    if not are_folders or not is_plausible or {name.lower() for name in names} & _NO_PATIENT:
        return sources
    return [replace(source, patient_folder=part[0]) for part, source in zip(parts, sources, strict=True)]


def _with_company(image: Path) -> Source:
    """Return an image with the report and mask that lie beside it under its name."""
    stem = _stem(image)
    report = image.with_name(f"{stem}.txt")
    masks = [image.with_name(f"{stem}{ending}{suffix}") for ending in _MASK_ENDINGS for suffix in (".png", ".nii.gz")]
    return Source(
        image,
        report_path=report if report.is_file() else None,
        mask_path=next((mask for mask in masks if mask.is_file()), None),
    )


def _stem(path: Path) -> str:
    return path.name[:-7] if path.name.lower().endswith(".nii.gz") else path.stem


def _in_table(path: Path) -> list[Source]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            rows = list(reader)
            columns = [name for name in reader.fieldnames or () if name is not None]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ProjectError(
            f"{path.name}: expected a table in UTF-8, and it cannot be read ({error}).",
            hint="Save it as 'CSV UTF-8 (comma delimited)'.",
        ) from error
    by_lower = {name.strip().lower(): name for name in columns}
    image = _first(by_lower, _IMAGE_COLUMNS)
    if image is None:
        raise ProjectError(
            f"{path.name}: expected the columns image, report, mask (the last two if wanted), "
            f"got {', '.join(columns) or 'none'}.",
            hint="Name the columns in the first line, separated by commas.",
        )
    report, mask = _first(by_lower, _REPORT_COLUMNS), _first(by_lower, _MASK_COLUMNS)
    patient = _first(by_lower, _PATIENT_COLUMNS)
    how = {name: by_lower[name] for name in _READING_COLUMNS if name in by_lower}
    return [
        replace(
            _in_row(path.parent, row, image, report, mask),
            patient=((row.get(patient) if patient else "") or "").strip(),
            reading=_reading(path.name, {name: (row.get(column) or "").strip() for name, column in how.items()}),
        )
        for row in rows
        if (row.get(image) or "").strip()
    ]


def _in_row(folder: Path, row: dict[str, str], image: str, report: str | None, mask: str | None) -> Source:
    told = ((row.get(report) if report else "") or "").strip()
    drawn = ((row.get(mask) if mask else "") or "").strip()
    is_path = told.lower().endswith(".txt") and "\n" not in told
    return Source(
        folder / row[image].strip(),
        report_text="" if is_path else told,
        report_path=folder / told if is_path else None,
        mask_path=folder / drawn if drawn else None,
    )


def _reading(name: str, told: dict[str, str]) -> Reading:
    """Return what a row says of how to read its image."""
    affine, shrink = told.get("affine", ""), told.get("shrink", "")
    if affine not in ("", *AFFINES) or not (shrink or "1").isdecimal() or int(shrink or "1") < 1:
        raise ProjectError(
            f"{name}: expected the affine sform or qform and a whole number from 1 to shrink by, "
            f"got '{affine}' and '{shrink}'.",
            hint="Leave blank what the file itself says.",
        )
    try:
        spacing = parse_spacing(told["spacing"]) if told.get("spacing") else None
    except ConfigError as error:
        raise ProjectError(f"{name}: {error.message}", hint=error.hint) from error
    chosen = cast("Literal['sform', 'qform'] | None", affine or None)
    return Reading(affine=chosen, spacing=spacing, shrink=int(shrink or "1"))


def _first(by_lower: dict[str, str], names: tuple[str, ...]) -> str | None:
    return next((by_lower[name] for name in names if name in by_lower), None)
