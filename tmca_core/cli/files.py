"""Files that commands write beside what they print."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from tmca_core.errors import StudyWriteError


def check_folder_of(path: Path) -> None:
    """Refuse a file whose folder is not there, before hours of work and not after."""
    if not path.absolute().parent.is_dir():
        raise StudyWriteError(
            f"{path}: expected an existing folder to write into, got none.", hint="Make the folder first."
        )


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows as a table; its columns are all that any row has."""
    from tmca_core.atomic import atomic_write

    text = io.StringIO(newline="")
    columns = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, fieldnames=columns or ["split", "id"], restval="")
    writer.writeheader()
    writer.writerows(rows)
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())


def write_json(path: Path, values: Any) -> None:
    """Write values as indented JSON."""
    from tmca_core.atomic import atomic_write

    with atomic_write(path) as file:
        file.write((json.dumps(values, indent=2) + "\n").encode())
