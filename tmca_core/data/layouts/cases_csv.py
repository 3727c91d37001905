"""The layout of one table: ``cases.csv`` with a row per case, and the files it points at.

Needed columns: ``id, image, mask, text, split``. Known columns: ``target, patient, side_convention, text_origin``.
Paths are relative to the folder. One image may stand in several rows, one per target; an empty ``mask`` cell says that
nobody drew a reference. Other columns are left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tmca_core.data.case import Case, Dataset
from tmca_core.data.layouts._common import Layout, refuse_missing
from tmca_core.data.layouts._sides import SidePolicy, decide_sides
from tmca_core.data.table import read_table
from tmca_core.report import instruction

if TYPE_CHECKING:
    from pathlib import Path

FILE_NAME = "cases.csv"
_NEEDED = ("id", "image", "mask", "text", "split")
_NEVER_BLANK = ("id", "image", "split")


def detects(folder: Path) -> bool:
    """Return whether ``folder`` has the table."""
    return (folder / FILE_NAME).is_file()


def read(folder: Path) -> Dataset:
    """Read every row of the table.

    Raises
    ------
    DatasetError
        If the table cannot be read, lacks a column or a value, repeats an id, or points at missing files (all named).

    """
    table = folder / FILE_NAME
    rows = read_table(table, _NEEDED, _NEVER_BLANK)
    refuse_missing(
        folder, len(rows), {"images": _absent(folder, rows, "image"), "masks": _absent(folder, rows, "mask")}
    )
    policy = decide_sides(table, rows)
    targets = {target for row in rows if (target := row.get("target", "")) and not target.startswith("none")}
    notes = policy.notes
    if len(targets) > 1:
        notes = (*notes, f"{len(targets)} targets: each report is led by a sentence that names its target")
    cases = tuple(_case(folder, row, policy, names_target=len(targets) > 1) for row in rows)
    return Dataset(folder, LAYOUT.name, cases, notes)


def _absent(folder: Path, rows: list[dict[str, str]], column: str) -> list[str]:
    paths = dict.fromkeys(row[column] for row in rows if row[column])
    return [path for path in paths if not (folder / path).is_file()]


def _case(folder: Path, row: dict[str, str], policy: SidePolicy, *, names_target: bool) -> Case:
    text, convention = policy.convert(row)
    target = row.get("target", "")
    return Case(
        id=row["id"],
        image=folder / row["image"],
        mask=folder / row["mask"] if row["mask"] else None,
        text=text,
        split=row["split"],
        target=target,
        patient=row.get("patient", "") or row["id"],
        side_convention=convention,
        instruction=instruction(target) if names_target and target else "",
        origin=row.get("text_origin", ""),
    )


LAYOUT = Layout(
    name="cases.csv",
    expects=f"{FILE_NAME} with the columns {', '.join(_NEEDED)}",
    detects=detects,
    read=read,
)
