"""The layout of MedCLIPSeg: ``Train_Folder/{img,label}`` and ``Prompts_Folder/Train_text.xlsx``; so for Val and Test.

``Prompts_Folder`` may hold further tables (parts of the training split, other wordings of the test split): the full
``..._text.xlsx`` is read, or ``..._text_original.xlsx``. Sides as in `tmca_core.data.layouts.lvit`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tmca_core.data.layouts._common import Layout
from tmca_core.data.layouts._described import NEEDED, Part, read_described, split_files
from tmca_core.data.table import name_some
from tmca_core.data.workbook import read_workbook

if TYPE_CHECKING:
    from pathlib import Path

    from tmca_core.data.case import Dataset

_SPLITS = ("train", "val", "test")
_PROMPTS = "Prompts_Folder"


def detects(folder: Path) -> bool:
    """Return whether ``folder`` has the prompts and a split with its masks."""
    return (folder / _PROMPTS).is_dir() and any(
        (folder / f"{split.capitalize()}_Folder" / "label").is_dir() for split in _SPLITS
    )


def read(folder: Path) -> Dataset:
    """Read every split that is there.

    Raises
    ------
    DatasetError
        If a table cannot be read, or files or texts are missing (all named).

    """
    prompts, parts = folder / _PROMPTS, []
    for split in _SPLITS:
        place = folder / f"{split.capitalize()}_Folder"
        if place.is_dir():
            table = split_files(folder, split, (prompts,))
            parts.append(Part(split, table, tuple(read_workbook(table, NEEDED)), place / "img", place / "label"))
    unused = sorted({path.name for path in prompts.glob("*.xlsx")} - {part.table.name for part in parts})
    notes = [f"Other tables in {_PROMPTS}, not used: {name_some(unused)}."] if unused else []
    return read_described(folder, LAYOUT.name, parts, notes)


LAYOUT = Layout(
    name="medclipseg",
    expects="Train_Folder/{img,label}, Prompts_Folder/Train_text.xlsx",
    detects=detects,
    read=read,
)
