"""The layout of LanGuideMedSeg: ``Images/ GTs/ prompt/{train,test}.csv`` with the columns ``Image, Description``.

``Images`` and ``GTs`` lie in the folder itself or in ``Train`` and ``Test`` (or ``Train Set`` and ``Test Set``, with
``Ground-truths``, as QaTa-COV19-v2 is published). Without a ``prompt/val.csv`` the last fifth of ``train.csv`` is the
validation split, as LanGuideMedSeg's own loader takes it. Sides as in `tmca_core.data.layouts.lvit`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tmca_core.data.layouts._common import Layout
from tmca_core.data.layouts._described import NEEDED, Part, read_described
from tmca_core.data.table import read_columns

if TYPE_CHECKING:
    from pathlib import Path

    from tmca_core.data.case import Dataset

_IMAGES, _MASKS = "Images", ("GTs", "Ground-truths")
_ROOTS = {"train": ("Train", "Train Set", "."), "test": ("Test", "Test Set", ".")}


def detects(folder: Path) -> bool:
    """Return whether ``folder`` has a table of prompts and pictures."""
    has_table = any((folder / "prompt" / f"{split}.csv").is_file() for split in _ROOTS)
    return has_table and any((folder / root / _IMAGES).is_dir() for roots in _ROOTS.values() for root in roots)


def read(folder: Path) -> Dataset:
    """Read every split that has a table.

    Raises
    ------
    DatasetError
        If a table cannot be read, or files or texts are missing (all named).

    """
    tables = {
        split: folder / "prompt" / f"{split}.csv"
        for split in ("train", "val", "test")
        if (folder / "prompt" / f"{split}.csv").is_file()
    }
    rows = {split: read_columns(table, NEEDED) for split, table in tables.items()}
    notes = []
    if "train" in rows and "val" not in rows:
        first = int(0.8 * len(rows["train"]))
        rows["train"], rows["val"] = rows["train"][:first], rows["train"][first:]
        tables["val"] = tables["train"]
        notes.append(f"The last {len(rows['val']):,} rows of prompt/train.csv are the split 'val'.")
    parts = []
    for split in (name for name in ("train", "val", "test") if name in rows):
        roots = _ROOTS["test" if split == "test" else "train"]
        place = next((folder / root for root in roots if (folder / root / _IMAGES).is_dir()), folder)
        masks = next((place / name for name in _MASKS if (place / name).is_dir()), place / _MASKS[0])
        # A folder that other splits share says nothing about which files should be here.
        parts.append(Part(split, tables[split], tuple(rows[split]), place / _IMAGES, masks, is_shared=True))
    return read_described(folder, LAYOUT.name, [part for part in parts if part.rows], notes)


LAYOUT = Layout(
    name="languidemedseg",
    expects="Images/, GTs/, prompt/train.csv with the columns Image, Description",
    detects=detects,
    read=read,
)
