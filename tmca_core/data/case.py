"""One case, and a folder of them: frozen values, no files opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tmca_core.errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path

    from tmca_core.study import SideConvention

_USUAL_ORDER = ("train", "val", "test")


@dataclass(frozen=True)
class Case:
    """One image with its text and, where somebody drew one, its reference mask.

    Attributes
    ----------
    id : str
        Unique within the folder.
    image : Path
        The image file.
    mask : Path or None
        The reference mask; ``None`` where nobody drew one. A mask without a single pixel is a statement ("nothing
        to segment") and no ``None``.
    text : str
        The report in the project's convention: the patient's side wherever the picture has one. "" is a case
        without a report.
    split : str
        "train", "val", "test" or whatever the folder says.
    target : str
        What the mask outlines; "" where the folder has one target only and does not name it.
    patient : str
        Patient, or group of near-duplicate images, that must not stand in two splits.
    side_convention : SideConvention
        What "left" means in ``text``.
    instruction : str
        A sentence that names the target where the text alone does not: in folders with several targets. "" elsewhere.
    origin : str
        Where the text comes from, as the folder says it ("human", "derived-from-mask"); "" where it does not.

    """

    id: str
    image: Path
    mask: Path | None
    text: str
    split: str
    target: str
    patient: str
    side_convention: SideConvention
    instruction: str = ""
    origin: str = ""


@dataclass(frozen=True)
class Dataset:
    """The cases of one data folder.

    Attributes
    ----------
    folder : Path
        Where it lies.
    layout : str
        Name of the layout it was read as.
    cases : tuple of Case
        All splits, in the folder's own order.
    notes : tuple of str
        Every decision taken while reading, in sentences ("sides converted", "3 images stand in no split").

    """

    folder: Path
    layout: str
    cases: tuple[Case, ...]
    notes: tuple[str, ...] = ()

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits that have cases: train, val, test, then any others in order of appearance."""
        present = dict.fromkeys(case.split for case in self.cases)
        usual = tuple(name for name in _USUAL_ORDER if name in present)
        return usual + tuple(name for name in present if name not in _USUAL_ORDER)

    def split(self, name: str) -> tuple[Case, ...]:
        """Return the cases of one split.

        Raises
        ------
        DatasetError
            If the folder has no such split.

        """
        cases = tuple(case for case in self.cases if case.split == name)
        if not cases:
            raise DatasetError(
                f"{self.folder}: expected a split named '{name}', the folder has {', '.join(self.splits)}.",
                hint="Choose one of the splits named.",
            )
        return cases
