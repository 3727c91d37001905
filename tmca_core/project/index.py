"""The index of a project: an SQLite file that answers filters and sorts, and can be made anew from the case files.

It is a cache. What counts is in ``case.json``; where that file is newer than its row, the row is read again.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import weakref
from typing import TYPE_CHECKING

from tmca_core.errors import ProjectError
from tmca_core.project.files import CASE_NAME
from tmca_core.project.record import CaseRecord, record_from_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

INDEX_NAME = "index.sqlite"
VERSION = 1
SORTS = {
    "id": "id",
    "name": "name COLLATE NOCASE",
    "modality": "modality",
    "size": "num_voxels",
    "status": "status_order",
    "annotator": "annotator COLLATE NOCASE",
    "time": "active_s",
    "dice": "dice_ai",
    "changed": "changed",
}
_ORDER = ("new", "segmented", "flagged", "corrected", "approved")
_TABLE = """
CREATE TABLE IF NOT EXISTS cases (
    id TEXT PRIMARY KEY, name TEXT, modality TEXT, num_voxels INTEGER, status TEXT, status_order INTEGER,
    annotator TEXT, comment TEXT, active_s REAL, dice_ai REAL, changed TEXT, image_sha256 TEXT, report_sha256 TEXT,
    mtime_ns INTEGER, size INTEGER, json TEXT
);
CREATE INDEX IF NOT EXISTS by_image ON cases (image_sha256);
"""


class Index:
    """The index of the project in ``folder``; in memory where the folder cannot be written to.

    For one thread; whichever drops the last reference may close it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._connection = _connect(folder)
        weakref.finalize(self, self._connection.close)
        self.unreadable: tuple[str, ...] = ()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def refresh(self) -> int:
        """Bring the rows up to date with the case files, and return how many were read; the others were as known."""
        known = {row[0]: (row[1], row[2]) for row in self._connection.execute("SELECT id, mtime_ns, size FROM cases")}
        unreadable, count, seen = [], 0, set()
        with self._changes():
            for case_id, path in _case_files(self._folder):
                try:
                    status = path.stat()
                except OSError:
                    continue
                seen.add(case_id)
                if known.get(case_id) == (status.st_mtime_ns, status.st_size):
                    continue
                try:
                    self._put(read_record(self._folder, case_id), status)
                    count += 1
                except ProjectError as error:
                    unreadable.append(str(error))
            for case_id in known.keys() - seen:
                self._connection.execute("DELETE FROM cases WHERE id = ?", (case_id,))
        self.unreadable = tuple(unreadable)
        return count

    def rebuild(self) -> int:
        """Forget all rows and read every case again; return their number."""
        with self._changes():
            self._connection.execute("DELETE FROM cases")
        return self.refresh()

    def put(self, records: Iterable[CaseRecord]) -> None:
        """Enter records whose files were just written."""
        with self._changes():
            for record in records:
                self._put(record, (self._folder / "cases" / record.id / CASE_NAME).stat())

    def find(self, *, status: str = "", text: str = "", sort: str = "id", descending: bool = False) -> list[CaseRecord]:
        """Return the records with a status, and ``text`` in id, name, modality, annotator or comment.

        No file is looked at: ten thousand images on a network share would take their time.
        """
        like = "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        where = " OR ".join(f"{column} LIKE ? ESCAPE '\\'" for column in _SEARCHED)
        rows = self._connection.execute(
            f"SELECT json FROM cases WHERE (? = '' OR status = ?) AND ({where}) "
            f"ORDER BY {SORTS[sort]} {'DESC' if descending else 'ASC'}, id",
            (status, status, *([like] * len(_SEARCHED))),
        )
        return [record_from_json(json.loads(row[0]), None, "index") for row in rows]

    def counts(self) -> dict[str, int]:
        """Return the number of cases per status."""
        return dict(self._connection.execute("SELECT status, count(*) FROM cases GROUP BY status"))

    def with_image(self, sha256: str) -> list[CaseRecord]:
        """Return the records of the cases with this image."""
        rows = self._connection.execute("SELECT json FROM cases WHERE image_sha256 = ? ORDER BY id", (sha256,))
        return [record_from_json(json.loads(row[0]), None, "index") for row in rows]

    @contextlib.contextmanager
    def _changes(self) -> Iterator[None]:
        try:
            with self._connection:
                yield
        except sqlite3.Error as error:
            raise ProjectError(
                f"{INDEX_NAME}: the index could not be updated ({error}); the cases themselves are not touched.",
                hint="Run `tmca project rebuild`.",
            ) from error

    def _put(self, record: CaseRecord, status: os.stat_result) -> None:
        num_voxels = 1
        for length in record.shape:
            num_voxels *= length
        row = (
            record.id, record.name, record.modality, num_voxels, record.status.value,
            _ORDER.index(record.status.value), record.annotator, record.comment, record.active_s, record.dice_ai,
            record.changed, record.image_sha256, record.report_sha256, status.st_mtime_ns, status.st_size,
            json.dumps(record.as_json(self._folder)),
        )  # fmt: skip
        self._connection.execute(f"INSERT OR REPLACE INTO cases VALUES ({', '.join('?' * len(row))})", row)


_SEARCHED = ("id", "name", "modality", "annotator", "comment")


def read_record(folder: Path, case_id: str) -> CaseRecord:
    """Return the record of a case from its file.

    Raises
    ------
    ProjectError
        If there is no such case, or its file is damaged.

    """
    path = folder / "cases" / case_id / CASE_NAME
    source = f"cases/{case_id}/{CASE_NAME}"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ProjectError(f"There is no case {case_id} in this project.", hint="See `tmca project list`.") from error
    except (OSError, ValueError) as error:
        raise ProjectError(f"{source}: the file is damaged ({error}).", hint="Restore it from a backup.") from error
    record = record_from_json(values, folder, source)
    if record.id != case_id:
        raise ProjectError(f"{source}: expected case {case_id}, got {record.id}.", hint="Do not copy case folders.")
    return record


def _case_files(folder: Path) -> Iterator[tuple[str, Path]]:
    with os.scandir(folder / "cases") as entries:
        names = sorted(entry.name for entry in entries if entry.name.isdecimal() and entry.is_dir())
    for name in names:
        yield name, folder / "cases" / name / CASE_NAME


def _connect(folder: Path) -> sqlite3.Connection:
    path = folder / INDEX_NAME
    for attempt in range(2):
        connection = None
        try:
            connection = sqlite3.connect(path, timeout=10.0, check_same_thread=False)
            # Projects lie on network shares, too, where WAL does not work.
            connection.execute("PRAGMA journal_mode=DELETE")
            connection.execute("PRAGMA synchronous=FULL")
            if connection.execute("PRAGMA user_version").fetchone()[0] not in (0, VERSION):
                connection.execute("DROP TABLE IF EXISTS cases")
            connection.executescript(_TABLE)
            connection.execute(f"PRAGMA user_version={VERSION}")
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()
        except sqlite3.DatabaseError as error:
            if connection is not None:
                connection.close()
            cannot_write = isinstance(error, sqlite3.OperationalError)
            if cannot_write or attempt:
                break
            path.unlink(missing_ok=True)  # damaged: it is made anew from the cases
        else:
            return connection
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    connection.executescript(_TABLE)
    return connection
