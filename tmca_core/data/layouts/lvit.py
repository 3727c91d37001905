"""The layout of LViT: ``Train_Folder/{img,labelcol}`` and ``Train_text.xlsx``, the same for Val and Test.

The tables' columns are ``Image`` and ``Description``; they lie in the split's folder or beside it. A column
``side_convention`` may say "patient" or "picture"; without it "left" is taken for the picture's left, which is what
LViT's annotation of QaTa-COV19 means by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tmca_core.data.layouts._common import Layout
from tmca_core.data.layouts._described import NEEDED, Part, read_described, split_files
from tmca_core.data.workbook import read_workbook

if TYPE_CHECKING:
    from pathlib import Path

    from tmca_core.data.case import Dataset

_SPLITS = ("train", "val", "test")


def _folder_of(folder: Path, split: str) -> Path:
    return folder / f"{split.capitalize()}_Folder"


def detects(folder: Path) -> bool:
    """Return whether ``folder`` has a split with its masks."""
    return any((_folder_of(folder, split) / "labelcol").is_dir() for split in _SPLITS)


def read(folder: Path) -> Dataset:
    """Read every split that is there.

    Raises
    ------
    DatasetError
        If a table cannot be read, or files or texts are missing (all named).

    """
    parts = []
    for split in _SPLITS:
        place = _folder_of(folder, split)
        if place.is_dir():
            table = split_files(folder, split, (place, folder))
            rows = tuple(read_workbook(table, NEEDED))
            parts.append(Part(split, table, rows, place / "img", place / "labelcol"))
    return read_described(folder, LAYOUT.name, parts)


LAYOUT = Layout(
    name="lvit",
    expects="Train_Folder/{img,labelcol}, Train_text.xlsx",
    detects=detects,
    read=read,
)
