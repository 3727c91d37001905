"""A CSV table with one row per case, and the sentences that say what is wrong with it."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from tmca_core.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

_NAMED_AT_MOST = 10


def read_table(
    path: Path, needed: tuple[str, ...], never_blank: tuple[str, ...], key: tuple[str, ...] = ("id",)
) -> list[dict[str, str]]:
    """Read a CSV file with a header as one dictionary per row, cells stripped of outer blanks.

    Parameters
    ----------
    path : Path
        UTF-8, with or without a byte-order mark.
    needed : tuple of str
        Columns that must be there, "id" among them.
    never_blank : tuple of str
        Columns that need a value in every row.
    key : tuple of str
        Columns that together stand once.

    Raises
    ------
    DatasetError
        If the file is no such table, has no row, or repeats an id.

    """
    columns, rows = _read_csv(path)
    check_columns(path, columns, needed)
    check_rows(path, rows, never_blank)
    refuse_duplicates(path, ("/".join(row[name].strip() for name in key) for row in rows))
    return [{name: value.strip() for name, value in row.items()} for row in rows]


def read_columns(path: Path, needed: tuple[str, ...]) -> list[dict[str, str]]:
    """Read a CSV file as `read_table`, one that has no "id"; every column needed has a value in every row."""
    columns, rows = _read_csv(path)
    check_columns(path, columns, needed)
    check_rows(path, rows, needed)
    return [{name: value.strip() for name, value in row.items()} for row in rows]


def _read_csv(path: Path) -> tuple[tuple[str, ...], list[dict[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)  # too many cells stand under the key None, missing ones are None
            rows = [dict(row) for row in reader]
            return tuple(reader.fieldnames or ()), rows
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(
            f"{path}: expected a UTF-8 CSV table, it cannot be read ({error}).",
            hint="Save the table as 'CSV UTF-8 (comma delimited)'.",
        ) from error


def check_columns(path: Path, columns: tuple[str, ...], needed: tuple[str, ...]) -> None:
    """Refuse a table that lacks a column."""
    absent = [name for name in needed if name not in columns]
    if absent:
        raise DatasetError(
            f"{path}: expected the columns {', '.join(needed)}; without {', '.join(absent)}, "
            f"it has {', '.join(columns) or 'none'}.",
            hint="Name the columns in the first line, separated by commas.",
        )


def check_rows(path: Path, rows: Sequence[Mapping[str, str]], never_blank: tuple[str, ...]) -> None:
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


def name_some(names: Iterable[str]) -> str:
    """Return the first ten names, and how many more there are."""
    names = list(names)
    shown = ", ".join(names[:_NAMED_AT_MOST])
    more = len(names) - _NAMED_AT_MOST
    return f"{shown} and {more:,} more" if more > 0 else shown


def count(number: int, plural: str) -> str:
    """Return "1 mask", "2 masks" for the plural "masks"."""
    return f"{number:,} {plural if number != 1 else plural.removesuffix('s')}"
