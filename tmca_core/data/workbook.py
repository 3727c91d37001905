"""An Excel workbook's first sheet as rows of text: read-only, values alone, no more than is safe.

An .xlsx file is a zip of XML: one of a few kilobytes can unpack to gigabytes, or name entities that do. Both are
refused before anything is parsed; formulas are never computed.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING
from zipfile import BadZipFile, ZipFile

from tmca_core.data.table import check_columns, check_rows
from tmca_core.errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path

_MOST_BYTES = 256 * 1024 * 1024
_DECLARATIONS = ("<!DOCTYPE", "<!ENTITY")
_FORBIDDEN = tuple(word.encode(code) for word in _DECLARATIONS for code in ("ascii", "utf-16-le", "utf-16-be"))


def read_workbook(path: Path, needed: tuple[str, ...]) -> list[dict[str, str]]:
    """Read the first sheet as one dictionary per row: cells as text without outer blanks, empty rows left out.

    Parameters
    ----------
    path : Path
        An .xlsx file. The first line names the columns.
    needed : tuple of str
        Columns that must be there, with a value in every row. Their case does not matter; they come back as given here,
        all others in lower case.

    Raises
    ------
    DatasetError
        If the file is no such workbook, or unpacks to more than 256 MiB, or a column or a needed value is missing.

    """
    lines = [[_text(cell) for cell in line] for line in _cells(path)]
    lines = [line for line in lines if any(line)]
    spelling = {name.lower(): name for name in needed}
    columns = [spelling.get(name.lower(), name.lower()) for name in (lines[0] if lines else ())]
    check_columns(path, tuple(columns), needed)
    rows = [{name: value for name, value in zip(columns, line, strict=False) if name} for line in lines[1:]]
    check_rows(path, rows, needed)
    return rows


def _cells(path: Path) -> list[tuple[object, ...]]:
    # Only these layouts need it, and it takes a while to load.
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        _refuse_unsafe(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # styles and validations that it does not know: only values matter here
            workbook = load_workbook(path, read_only=True, data_only=True)
            try:
                return list(workbook.worksheets[0].iter_rows(values_only=True))
            finally:
                workbook.close()
    except (
        OSError,
        BadZipFile,
        InvalidFileException,
        KeyError,
        IndexError,
        ValueError,
        TypeError,
        SyntaxError,
    ) as error:
        # SyntaxError is the parent of both XML libraries' parse errors.
        raise DatasetError(
            f"{path}: expected an Excel workbook (.xlsx), it cannot be read ({type(error).__name__}: {error}).",
            hint="Open it in a spreadsheet program and save it as .xlsx.",
        ) from error


def _refuse_unsafe(path: Path) -> None:
    with ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
        if size > _MOST_BYTES:
            raise DatasetError(
                f"{path}: expected a workbook of texts, it unpacks to {size / 2**20:,.0f} MiB.",
                hint="Save the sheet with the texts alone.",
            )
        for member in archive.infolist():
            if member.filename.endswith((".xml", ".rels")) and any(word in archive.read(member) for word in _FORBIDDEN):
                raise DatasetError(
                    f"{path}: expected a workbook; {member.filename} declares entities.",
                    hint="Do not trust this file; save the texts in a new one.",
                )


def _text(cell: object) -> str:
    if cell is None:
        return ""
    return str(int(cell) if isinstance(cell, float) and cell.is_integer() else cell).strip()
