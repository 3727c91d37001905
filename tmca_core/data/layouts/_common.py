"""What all layouts share: their type, and one sentence that names everything that is missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tmca_core.data.table import count, name_some
from tmca_core.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tmca_core.data.case import Dataset

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")


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
