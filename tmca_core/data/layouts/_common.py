"""What all layouts share: their type, and one sentence that names everything that is missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tmca_core.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from tmca_core.data.case import Dataset

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
_NAMED_AT_MOST = 10


@dataclass(frozen=True)
class Layout:
    """One way to lay out a data folder.

    Attributes
    ----------
    name : str
        What ``open_dataset(layout=...)`` and ``tmca evaluate --layout`` call it.
    expects : str
        The files it needs, for the message that says why a folder was not recognised.
    detects : Callable
        Whether a folder has this layout, from file names alone.
    read : Callable
        The folder as a ``Dataset``; raises ``DatasetError`` naming everything that is wrong at once.
    """

    name: str
    expects: str
    detects: Callable[[Path], bool]
    read: Callable[[Path], Dataset]


def name_some(names: Iterable[str]) -> str:
    """Return the first ten names, and how many more there are."""
    names = list(names)
    shown = ", ".join(names[:_NAMED_AT_MOST])
    more = len(names) - _NAMED_AT_MOST
    return f"{shown} and {more:,} more" if more > 0 else shown


def count(number: int, plural: str) -> str:
    """Return "1 mask", "2 masks" for the plural "masks"."""
    return f"{number:,} {plural if number != 1 else plural.removesuffix('s')}"


def refuse_missing(folder: Path, num_cases: int, missing: Mapping[str, list[str]]) -> None:
    """Raise one error that names every missing file, by kind.

    Parameters
    ----------
    folder : Path
        The data folder.
    num_cases : int
        How many cases it should hold.
    missing : Mapping of str to list of str
        Kind in the plural ("masks") to the relative paths that are not there; empty lists are fine.

    Raises
    ------
    DatasetError
        If anything is missing.
    """
    parts = [f"{count(len(paths), kind)} ({name_some(paths)})" for kind, paths in missing.items() if paths]
    if parts:
        raise DatasetError(
            f"{folder}: expected {' and '.join(missing)} for {count(num_cases, 'cases')}; missing: {'; '.join(parts)}.",
            hint="Add the files, or take these cases out of the list.",
        )


def refuse_duplicates(source: Path, ids: Iterable[str]) -> None:
    """Raise an error that names every id that stands more than once in ``source``."""
    seen: set[str] = set()
    twice: dict[str, None] = {}
    for case_id in ids:
        if case_id in seen:
            twice[case_id] = None
        seen.add(case_id)
    if twice:
        raise DatasetError(
            f"{source}: expected every id once, {len(twice):,} stand more than once: {name_some(twice)}.",
            hint="Keep one entry for each id.",
        )
