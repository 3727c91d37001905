"""The layout of one table: ``cases.csv`` with a row per case, and the files it points at.

Needed columns: ``id, image, mask, text, split``. Known columns: ``target, patient, side_convention``. Paths are
relative to the folder. One image may stand in several rows, one per target; an empty ``mask`` cell says that nobody
drew a reference. Other columns are left alone.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from tmca_core.data.case import Case, Dataset
from tmca_core.data.layouts._common import Layout, name_some, refuse_duplicates, refuse_missing
from tmca_core.data.layouts._sides import SidePolicy, decide_sides
from tmca_core.errors import DatasetError

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
    refuse_duplicates(table, (row["id"] for row in rows))
    refuse_missing(
        folder, len(rows), {"images": _absent(folder, rows, "image"), "masks": _absent(folder, rows, "mask")}
    )
    policy = decide_sides(table, rows)
    return Dataset(folder, LAYOUT.name, tuple(_case(folder, row, policy) for row in rows), policy.notes)


def read_table(path: Path, needed: tuple[str, ...], never_blank: tuple[str, ...]) -> list[dict[str, str]]:
    """Read a CSV file with a header as one dictionary per row, cells stripped of outer blanks.

    Parameters
    ----------
    path : Path
        UTF-8, with or without a byte-order mark.
    needed : tuple of str
        Columns that must be there.
    never_blank : tuple of str
        Columns that need a value in every row.

    Raises
    ------
    DatasetError
        If the file is no such table, or has no row.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)  # too many cells stand under the key None, missing ones are None
            rows = [dict(row) for row in reader]
            columns = tuple(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(
            f"{path}: expected a UTF-8 CSV table, it cannot be read ({error}).",
            hint="Save the table as 'CSV UTF-8 (comma delimited)'.",
        ) from error
    _check_columns(path, columns, needed)
    _check_rows(path, rows, never_blank)
    return [{name: value.strip() for name, value in row.items()} for row in rows]


def _check_columns(path: Path, columns: tuple[str, ...], needed: tuple[str, ...]) -> None:
    absent = [name for name in needed if name not in columns]
    if absent:
        raise DatasetError(
            f"{path}: expected the columns {', '.join(needed)}; without {', '.join(absent)}, "
            f"it has {', '.join(columns) or 'none'}.",
            hint="Name the columns in the first line, separated by commas.",
        )


def _check_rows(path: Path, rows: list[dict[str, str]], never_blank: tuple[str, ...]) -> None:
    """Refuse a table with no row, ragged rows or blank cells; rows are counted from 1, below the header."""
    if not rows:
        raise DatasetError(f"{path}: expected at least one row below the header, got none.", hint="Add the cases.")
    ragged = [str(n) for n, row in enumerate(rows, 1) if None in row or None in row.values()]
    if ragged:
        raise DatasetError(
            f"{path}: expected as many cells as columns, rows {name_some(ragged)} have more or fewer.",
            hint="Put texts that hold commas or line breaks between double quotes.",
        )
    for column in never_blank:
        blank = [str(n) for n, row in enumerate(rows, 1) if not row[column].strip()]
        if blank:
            raise DatasetError(
                f"{path}: expected a value for '{column}' in every row, it is blank in rows {name_some(blank)}.",
                hint="Fill the cells.",
            )


def _absent(folder: Path, rows: list[dict[str, str]], column: str) -> list[str]:
    paths = dict.fromkeys(row[column] for row in rows if row[column])
    return [path for path in paths if not (folder / path).is_file()]


def _case(folder: Path, row: dict[str, str], policy: SidePolicy) -> Case:
    text, convention = policy.convert(row)
    return Case(
        id=row["id"],
        image=folder / row["image"],
        mask=folder / row["mask"] if row["mask"] else None,
        text=text,
        split=row["split"],
        target=row.get("target", ""),
        patient=row.get("patient", "") or row["id"],
        side_convention=convention,
    )


LAYOUT = Layout(
    name="cases.csv",
    expects=f"{FILE_NAME} with the columns {', '.join(_NEEDED)}",
    detects=detects,
    read=read,
)
