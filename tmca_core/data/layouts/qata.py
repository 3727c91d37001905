"""The layout of QaTa-COV19 with texts: ``images/ masks/ reports/*.txt split.json``.

The texts say "left" for the left of the *picture* although the pictures are radiographs (99 % of the one-sided
cases); they are turned to the patient's side here, once, at reading.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tmca_core.data.case import Case, Dataset
from tmca_core.data.layouts._common import IMAGE_SUFFIXES, Layout, refuse_missing
from tmca_core.data.layouts._described import patient_of
from tmca_core.data.table import count, name_some, refuse_duplicates
from tmca_core.errors import DatasetError
from tmca_core.report import read_report, swap_sides
from tmca_core.study import SideConvention

if TYPE_CHECKING:
    from pathlib import Path

_FOLDERS = ("images", "masks", "reports")


def detects(folder: Path) -> bool:
    """Return whether ``folder`` has the layout's split file and report folder."""
    return (folder / "split.json").is_file() and (folder / "reports").is_dir()


def read(folder: Path) -> Dataset:
    """Read every case that ``split.json`` lists.

    Raises
    ------
    DatasetError
        If ``split.json`` is no object of id lists, an id stands twice, or any file is missing (all named).

    """
    split_of = _read_splits(folder / "split.json")
    images = _images_by_id(folder / "images")
    refuse_missing(
        folder,
        len(split_of),
        {
            "images": [f"images/{i}.png" for i in split_of if i not in images],
            "masks": _absent(folder, "masks", split_of, ".png"),
            "reports": _absent(folder, "reports", split_of, ".txt"),
        },
    )
    cases = tuple(_case(folder, case_id, split, images[case_id]) for case_id, split in split_of.items())
    return Dataset(folder, LAYOUT.name, cases, _notes(images, split_of))


def _read_splits(path: Path) -> dict[str, str]:
    """Return the split of every id, in the file's order."""
    try:
        lists = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{path}: expected a JSON file, it cannot be read ({error}).", hint="Restore the file from its source."
        ) from error
    if not _is_object_of_id_lists(lists):
        raise DatasetError(
            f'{path}: expected an object of id lists like {{"train": ["case_1"], "val": ["case_2"]}}.',
            hint="Write one list of ids for each split.",
        )
    refuse_duplicates(path, (case_id for ids in lists.values() for case_id in ids))
    return {case_id: split for split, ids in lists.items() for case_id in ids}


def _is_object_of_id_lists(lists: object) -> bool:
    if not isinstance(lists, dict) or not any(lists.values()):
        return False
    return all(isinstance(ids, list) and all(isinstance(i, str) and i for i in ids) for ids in lists.values())


def _images_by_id(folder: Path) -> dict[str, Path]:
    """Return the image file of every id; one listing instead of a question per case and suffix."""
    if not folder.is_dir():
        return {}
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    refuse_duplicates(folder, (path.stem for path in files))
    return {path.stem: path for path in files}


def _absent(folder: Path, kind: str, ids: dict[str, str], suffix: str) -> list[str]:
    present = {path.name for path in (folder / kind).iterdir()} if (folder / kind).is_dir() else set()
    return [f"{kind}/{i}{suffix}" for i in ids if f"{i}{suffix}" not in present]


def _case(folder: Path, case_id: str, split: str, image: Path) -> Case:
    return Case(
        id=case_id,
        image=image,
        mask=folder / "masks" / f"{case_id}.png",
        text=swap_sides(read_report(folder / "reports" / f"{case_id}.txt")),
        split=split,
        target="",
        patient=patient_of(case_id),
        side_convention=SideConvention.PATIENT,
    )


def _notes(images: dict[str, Path], split_of: dict[str, str]) -> tuple[str, ...]:
    sides = 'Sides: "left" in these reports is the left of the picture; they were turned to the patient\'s side.'
    unused = [case_id for case_id in images if case_id not in split_of]
    if not unused:
        return (sides,)
    return (sides, f"In no split and not used: {count(len(unused), 'images')} ({name_some(unused)}).")


LAYOUT = Layout(
    name="qata",
    expects="split.json, " + ", ".join(f"{name}/" for name in _FOLDERS),
    detects=detects,
    read=read,
)
