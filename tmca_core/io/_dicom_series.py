"""Which DICOM files belong together: those of a folder or a DICOMDIR, sorted into series that can be volumes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from tmca_core.errors import ChoiceError, StudyReadError
from tmca_core.io._dicom_header import holds_an_image, read_dataset
from tmca_core.io._steps import FilesRead

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from numpy.typing import NDArray
    from pydicom import Dataset

    _Cosines = NDArray[np.float64]
    Found = tuple[list["Series"], tuple[str, ...]]

Slices = dict[Path, "Dataset"]
_MOST_FILES = 20_000
_MOST_LOOKED = 300
_SAME_DIRECTION = 1e-2
_SAME_PLACE_MM = 1e-3
_PLANES = ("sagittal", "coronal", "axial")
# What tells images at one place apart, the most telling first.
_TELLING = {
    "EchoTime": "echo time",
    "TemporalPositionIdentifier": "time point",
    "DiffusionBValue": "b-value",
    "TriggerTime": "trigger time",
    "AcquisitionNumber": "acquisition",
    "ImageType": "image type",
}


@dataclass(frozen=True, eq=False)
class Series:
    """Slices of one series, of one size and direction.

    Attributes
    ----------
    slices : dict of Path to Dataset
        Files and their headers.
    told : str
        What sets it apart from others of the same series, "" where nothing does.

    """

    slices: Slices
    told: str = ""

    @property
    def uid(self) -> str:
        """The series' identifier, "" where none is stated."""
        return str(self._first.get("SeriesInstanceUID") or "")

    @property
    def label(self) -> str:
        """The series in words that speak of no patient."""
        first, count = self._first, len(self.slices)
        words = [
            str(first.get("Modality") or "unknown modality"),
            f"{count} image{'s' * (count != 1)} of {first.get('Columns')} x {first.get('Rows')}",
        ]
        if (direction := _direction(first)) is not None:
            normal = np.abs(np.cross(direction[:3], direction[3:]))
            words.append(_PLANES[int(np.argmax(normal))] if normal.max() > 0.9 else "oblique")
        number = first.get("SeriesNumber")
        words += [f"series {int(number)}"] if isinstance(number, (int, float)) else []
        return ", ".join(words + [self.told] * bool(self.told))

    @property
    def _first(self) -> Dataset:
        return next(iter(self.slices.values()))


def find_series(folder: Path) -> Generator[FilesRead, None, Found]:
    """Return the series in a folder, and notes on what was left out, in steps of one file.

    Those that a DICOMDIR in it lists; else those of the files directly in it; else those in folders below.

    Raises
    ------
    StudyReadError
        If there is no slice, or more files than can be looked through.

    """
    index = next((path for path in sorted(folder.iterdir()) if path.name.upper() == "DICOMDIR"), None)
    if index is not None and is_dicom(index):
        return (yield from listed_series(index))
    files = sorted(path for path in folder.iterdir() if path.is_file())
    slices = yield from _headers(files)
    where = ""
    if not slices:
        files = _files_below(folder)
        slices = yield from _headers(files)
        where = " and its subfolders"
    if not slices:
        raise StudyReadError(
            f"{folder.name}: expected a folder with DICOM slices, got {len(files)} files and no slice among them.",
            hint="Choose the folder that holds the slices themselves.",
        )
    left_out = len(files) - len(slices)
    return _sorted(slices), (f"{left_out} other files in the folder{where} are left out.",) * bool(left_out)


def listed_series(index: Path) -> Generator[FilesRead, None, Found]:
    """Return the series that a DICOMDIR lists, and notes on what was left out, in steps of one file.

    A name in it that leads out of its folder is ignored.

    Raises
    ------
    StudyReadError
        If it lists no image, or none of those is there.

    """
    names = _listed_names(read_dataset(index))
    if not names:
        raise StudyReadError(
            f"{index.name}: a DICOMDIR, the index of a disc, that lists no image.",
            hint="Choose the folder that holds the slices.",
        )
    inside = [path for name in names if (path := _inside(index.parent, name)) is not None]
    present = [path for path in inside if path.is_file()]
    notes = ("The DICOMDIR refers to files outside the folder: ignored.",) * (len(inside) < len(names))
    notes += (f"{len(inside) - len(present)} of {len(names)} listed files are missing.",) * (len(present) < len(inside))
    slices = yield from _headers(present)
    if not slices:
        why = "refers to files outside the folder" if not inside else "lists images that are not there"
        raise StudyReadError(f"{index.name}: the DICOMDIR {why}.", hint="Copy the whole disc, with its folders.")
    return _sorted(slices), notes


def choose(name: str, every: Sequence[Series], wanted: int | str | None) -> Series:
    """Return the series wanted, by its number from 1 or its SeriesInstanceUID; the only one if none is named.

    Raises
    ------
    ChoiceError
        If there are several and none is named, or there is no such one.

    """
    if wanted is None and len(every) == 1:
        return every[0]
    labels = [series.label for series in every]
    if wanted is None:
        raise ChoiceError(f"{name}: expected one series, got {len(every)}.", argument="series", options=labels)
    if isinstance(wanted, int) or wanted.isdecimal():
        number = int(wanted)
        found = [every[number - 1]] if 1 <= number <= len(every) else []
    else:
        found = [series for series in every if series.uid == wanted]
    if len(found) != 1:
        message = f"{name}: there is no one series {wanted} among its {len(every)}."
        raise ChoiceError(message, argument="series", options=labels)
    return found[0]


def is_dicom(path: Path) -> bool:
    """Tell whether a file has DICOM's preamble; whatever cannot be opened has not."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def holds_dicom(folder: Path) -> bool:
    """Tell whether a DICOM file lies in a folder or below it, after a look at no more than the first few hundred."""
    looked = 0
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            looked += 1
            if path.is_file() and is_dicom(path):
                return True
            if looked >= _MOST_LOOKED:
                return False
    return False


def _headers(files: Sequence[Path]) -> Generator[FilesRead, None, Slices]:
    headers: Slices = {}
    for done, path in enumerate(files, 1):
        if path.is_file() and is_dicom(path):
            header = read_dataset(path, is_header_only=True)
            if holds_an_image(header):
                headers[path] = header
        yield FilesRead("looking through files", done, len(files))
    return headers


def _files_below(folder: Path) -> list[Path]:
    """Return regular files in subfolders, links to folders not followed."""
    files: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders.sort()
        files += [path for name in sorted(names) if (path := Path(parent, name)).is_file()]
        if len(files) > _MOST_FILES:
            raise StudyReadError(
                f"{folder.name}: more than {_MOST_FILES} files lie in it and its subfolders.",
                hint="Choose the folder of one study or series.",
            )
    return files


def _listed_names(index: Dataset) -> list[tuple[str, ...]]:
    """Return the file names, as their parts, of the images that a DICOMDIR lists."""
    names = []
    for record in index.get("DirectoryRecordSequence") or ():
        value = record.get("ReferencedFileID")
        if value and record.get("DirectoryRecordType") == "IMAGE":
            names.append((value,) if isinstance(value, str) else tuple(str(part) for part in value))
    return names


def _inside(folder: Path, parts: tuple[str, ...]) -> Path | None:
    """Return the path of a listed file, whatever the case of its name, or None if it leads out of the folder."""
    parts = tuple(part for name in parts for part in PurePosixPath(name.replace("\\", "/")).parts)
    path = folder
    for part in parts:
        if part in ("..", "/") or ":" in part:
            return None
        step = path / part
        if not step.exists() and path.is_dir():
            step = next((other for other in path.iterdir() if other.name.lower() == part.lower()), step)
        path = step
    return path if path.resolve().is_relative_to(folder.resolve()) else None


def _sorted(slices: Slices) -> list[Series]:
    """Return what can be one volume each: of one series, size and direction, once at each place if anything tells."""
    groups: list[tuple[tuple[str, ...], _Cosines | None, Slices]] = []
    for path, header in slices.items():
        key = tuple(str(header.get(element) or "") for element in ("SeriesInstanceUID", "Rows", "Columns"))
        direction = _direction(header)
        group = next((g for g in groups if g[0] == key and _is_same_direction(g[1], direction)), None)
        if group is None:
            groups.append((key, direction, {path: header}))
        else:
            group[2][path] = header
    return [series for *_, members in groups for series in _apart(members)]


def _apart(slices: Slices) -> list[Series]:
    """Return slices that lie several times at one place as several series, by the first element that tells them."""
    if not _is_doubled(slices):
        return [Series(slices)]
    for keyword, word in _TELLING.items():
        parts: dict[str, Slices] = {}
        for path, header in slices.items():
            parts.setdefault(_value(header, keyword), {})[path] = header
        if len(parts) > 1 and not any(_is_doubled(part) for part in parts.values()):
            return [Series(part, f"{word} {value or 'not stated'}") for value, part in parts.items()]
    return [Series(slices)]


def _value(header: Dataset, keyword: str) -> str:
    value = header.get(keyword)
    return "" if value is None else " ".join(map(str, value)) if keyword == "ImageType" else str(value)


def _is_doubled(slices: Slices) -> bool:
    """Tell whether two of the slices lie at one place."""
    places = []
    for header in slices.values():
        try:
            places.append([float(value) for value in header["ImagePositionPatient"].value])
        except (KeyError, TypeError, ValueError):
            return False
    if any(len(place) != 3 for place in places):
        return False
    ordered = np.array(sorted(places))
    return bool((np.abs(np.diff(ordered, axis=0)).max(axis=1) < _SAME_PLACE_MM).any()) if len(places) > 1 else False


def _direction(header: Dataset) -> _Cosines | None:
    try:
        cosines = np.array([float(value) for value in header["ImageOrientationPatient"].value])
    except (KeyError, TypeError, ValueError):
        return None
    return cosines if cosines.shape == (6,) and np.isfinite(cosines).all() else None


def _is_same_direction(one: _Cosines | None, other: _Cosines | None) -> bool:
    if one is None or other is None:
        return one is other
    return bool(np.abs(one - other).max() < _SAME_DIRECTION)
