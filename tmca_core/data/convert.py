"""Write a data folder in a layout of ours: files are copied as they are, texts in the project's convention."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from typing import TYPE_CHECKING, Literal

from tmca_core.atomic import atomic_write
from tmca_core.data.layouts._common import IMAGE_SUFFIXES
from tmca_core.data.layouts._sides import COLUMN
from tmca_core.data.table import count, name_some
from tmca_core.errors import DatasetError, StudyWriteError
from tmca_core.report import swap_sides
from tmca_core.study import SideConvention

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tmca_core.data.case import Case, Dataset

Target = Literal["cases-csv", "qata"]
_COLUMNS = ("id", "image", "mask", "text", "split", "target", "patient", COLUMN, "text_origin")


def convert_dataset(dataset: Dataset, out: Path, to: Target) -> Iterator[tuple[int, int]]:
    """Copy every case into ``out``; the table or ``split.json`` comes last, so a broken copy is no data folder.

    Parameters
    ----------
    dataset : Dataset
        What to write; its folder is not changed.
    out : Path
        A folder that is not there yet, or is empty.
    to : {"cases-csv", "qata"}
        "qata" holds one target, a mask for every case, and pictures that have a patient's side.

    Yields
    ------
    tuple of int
        Cases copied, and all.

    Raises
    ------
    DatasetError
        If the layout cannot hold these cases.
    StudyWriteError
        If ``out`` holds something already.

    """
    if to == "qata":
        _refuse_what_qata_cannot_hold(dataset)
    names = _names(dataset)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise StudyWriteError(f"{out}: expected a new or an empty folder, it holds something.", hint="Choose another.")
    for folder in ("images", "masks", *(["reports"] if to == "qata" else [])):
        (out / folder).mkdir(parents=True, exist_ok=True)
    rows = []
    for done, case in enumerate(dataset.cases, 1):
        rows.append(_copy(case, names, out))
        if to == "qata":
            # What the layout's reader turns back: its texts speak of the picture's side.
            _write(out / "reports" / f"{names[case.id]}.txt", swap_sides(case.text))
        yield done, len(dataset.cases)
    if to == "qata":
        splits = {split: [names[case.id] for case in dataset.split(split)] for split in dataset.splits}
        _write(out / "split.json", json.dumps(splits, indent=1) + "\n")
    else:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, _COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
        _write(out / "cases.csv", text.getvalue())


def _copy(case: Case, names: dict[str, str], out: Path) -> dict[str, str]:
    name = names[case.id]
    image = f"images/{name}{case.image.suffix.lower()}"
    shutil.copyfile(case.image, out / image)
    mask = ""
    if case.mask is not None:
        mask = f"masks/{name}{case.mask.suffix.lower()}"
        shutil.copyfile(case.mask, out / mask)
    return {
        "id": name,
        "image": image,
        "mask": mask,
        "text": case.text,
        "split": case.split,
        "target": case.target,
        "patient": case.patient,
        COLUMN: case.side_convention.value,
        "text_origin": case.origin,
    }


def _names(dataset: Dataset) -> dict[str, str]:
    """Return a name that every file system takes, by case id."""
    names = {case.id: re.sub(r"[^\w.-]", "_", case.id).strip(".") for case in dataset.cases}
    odd = [case_id for case_id, name in names.items() if not name]
    if odd or len({name.lower() for name in names.values()}) < len(names):
        raise DatasetError(
            f"{dataset.folder}: expected ids that can be told apart as file names, some cannot.",
            hint="Use letters, digits, '.', '-' and '_' in ids.",
        )
    return names


def _refuse_what_qata_cannot_hold(dataset: Dataset) -> None:
    targets = dict.fromkeys(case.target for case in dataset.cases)
    if len(targets) > 1:
        raise DatasetError(
            f"{dataset.folder}: the layout 'qata' holds one target, got {name_some(targets)}.",
            hint="Convert to cases-csv.",
        )
    for what, ids in (
        ("without a mask", [c.id for c in dataset.cases if c.mask is None]),
        ("whose mask is no PNG file", [c.id for c in dataset.cases if c.mask and c.mask.suffix.lower() != ".png"]),
        ("of another format", [c.id for c in dataset.cases if c.image.suffix.lower() not in IMAGE_SUFFIXES]),
        ("without a patient's side", [c.id for c in dataset.cases if c.side_convention is SideConvention.PICTURE]),
    ):
        if ids:
            raise DatasetError(
                f"{dataset.folder}: the layout 'qata' holds no cases {what}, got {count(len(ids), 'cases')}: "
                f"{name_some(ids)}.",
                hint="Convert to cases-csv.",
            )


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text.encode())
