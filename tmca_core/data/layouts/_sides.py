"""What "left" means in the texts of a table: stated by a column, else decided by what its masks outline.

Radiographs, CT and MRI show a patient from a known direction, and their reports speak of the patient's side. Endoscopy,
ultrasound and histology have no patient side: "left" is the left of the picture. The words below stand in the
``target`` column; one folder holds one kind of picture.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tmca_core.data.table import name_some
from tmca_core.errors import DatasetError
from tmca_core.report import swap_sides
from tmca_core.study import SideConvention

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

COLUMN = "side_convention"

WORDS: dict[SideConvention, tuple[str, ...]] = {
    SideConvention.PATIENT: (
        "lung",
        "lungs",
        "infection",
        "pneumonia",
        "opacity",
        "ggo",
        "consolidation",
        "effusion",
        "pneumothorax",
        "heart",
        "mediastinum",
        "ett",
        "glioma",
        "brain",
        "flair",
        "mri",
        "ct",
    ),
    SideConvention.PICTURE: (
        "polyp",
        "breast",
        "nuclei",
        "nucleus",
        "gland",
        "cell",
        "skin",
        "ultrasound",
        "endoscopy",
        "histology",
    ),
}
"""Words of a target that say which kind of picture it stands in."""


@dataclass(frozen=True)
class SidePolicy:
    """How the texts of one table become texts in the project's convention.

    Attributes
    ----------
    pictures : SideConvention or None
        What the targets say about the pictures; ``None`` where no known word stands in them.
    notes : tuple of str
        What the user should know about the decision.
    unstated : str
        What "left" means where no column says it: "patient" or "picture"; "" is what the pictures call for.

    """

    pictures: SideConvention | None
    notes: tuple[str, ...] = ()
    unstated: str = ""

    def convert(self, row: dict[str, str]) -> tuple[str, SideConvention]:
        """Return the row's text in the project's convention, and that convention.

        A text that uses the picture's side of a radiograph is swapped; all others stay as they are.
        """
        pictures = self.pictures or SideConvention.PATIENT
        word = row.get(COLUMN) or self.unstated
        if not word:
            return row["text"], pictures
        stated = SideConvention(word.lower())
        if stated is SideConvention.PICTURE and self.pictures is SideConvention.PATIENT:
            return swap_sides(row["text"]), SideConvention.PATIENT
        return row["text"], stated


def decide_sides(table: Path, rows: Sequence[dict[str, str]]) -> SidePolicy:
    """Decide what "left" means in the texts of one table.

    Raises
    ------
    DatasetError
        If the ``side_convention`` column holds something else than "patient" or "picture", or if it is blank and the
        targets speak of both kinds of picture.

    """
    _check_column(table, rows)
    targets = dict.fromkeys(row.get("target", "") for row in rows)
    kinds = {kind for target in targets for kind in _kinds(target)}
    pictures = kinds.pop() if len(kinds) == 1 else None
    if all(row.get(COLUMN) for row in rows):
        return SidePolicy(pictures)
    if kinds:
        raise DatasetError(
            f"{table}: expected one kind of picture, the targets {name_some(targets)} stand in pictures with and "
            "without a patient side.",
            hint=f"Add a column '{COLUMN}' with 'patient' or 'picture' in every row.",
        )
    if pictures is None:
        guess = f"Sides: the targets do not say what 'left' means; the patient's side is taken. A column '{COLUMN}' "
        return SidePolicy(None, (guess + "with 'patient' or 'picture' would say it.",))
    return SidePolicy(pictures, (f"Sides: 'left' in these texts is read as the {_whose(pictures)} left.",))


def decide_described_sides(table: Path, rows: Sequence[dict[str, str]]) -> SidePolicy:
    """Decide for texts that were written by looking at the picture, as LViT's: "left" is the picture's left.

    Where their words say that the picture shows a patient ("lung", "brain"), they are turned to the patient's side. A
    column `COLUMN` overrules.

    Raises
    ------
    DatasetError
        If that column holds something else than "patient" or "picture".

    """
    _check_column(table, rows)
    found = [_kinds(row["text"]) for row in rows]
    of_patients, of_pictures = (
        sum(kinds == {kind} for kinds in found) for kind in (SideConvention.PATIENT, SideConvention.PICTURE)
    )
    pictures = SideConvention.PATIENT if of_patients > of_pictures else SideConvention.PICTURE
    stated = SideConvention.PICTURE.value
    if pictures is SideConvention.PATIENT:
        note = "'left' in these texts was taken for the left of the picture, and they were turned to the patient's side"
    elif of_pictures:
        note = "'left' in these texts is read as the picture's left"
    else:
        note = "the texts do not say what the pictures show; 'left' is read as the picture's left"
    return SidePolicy(pictures, (f"Sides: {note}.",), stated)


def _check_column(table: Path, rows: Sequence[dict[str, str]]) -> None:
    known = [convention.value for convention in SideConvention]
    odd = dict.fromkeys(row[COLUMN] for row in rows if row.get(COLUMN) and row[COLUMN].lower() not in known)
    if odd:
        raise DatasetError(
            f"{table}: expected {' or '.join(known)} in the column '{COLUMN}', got {name_some(odd)}.",
            hint="Correct these cells, or take the column out.",
        )


def _kinds(target: str) -> set[SideConvention]:
    words = set(re.findall(r"[a-z]+", target.lower()))
    return {kind for kind, known in WORDS.items() if words.intersection(known)}


def _whose(convention: SideConvention) -> str:
    return "patient's" if convention is SideConvention.PATIENT else "picture's"
