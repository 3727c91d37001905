"""Look through a data folder before anything is trained or scored on it: a generator of events."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from skimage.measure import label

from tmca_core.data.datasets import patients_in_two_splits, read_reference
from tmca_core.data.fingerprint import fingerprint
from tmca_core.data.leaks import find_twins
from tmca_core.data.table import count
from tmca_core.errors import DatasetError, GeometryError, StudyReadError
from tmca_core.io import read_scan
from tmca_core.metrics import is_mostly_in_half, stated_half_of_picture
from tmca_core.report import parse_report

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from tmca_core.data.case import Case, Dataset

Kind = Literal[
    "unreadable", "misfit", "patients", "duplicates", "sides", "made-from-masks", "empty", "full", "no-mask", "no-text"
]
_NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBER = re.compile(rf"\b({'|'.join(_NUMBERS)}|many|multiple)\b", re.IGNORECASE)
_ENOUGH = 10  # cases that a suspicion takes
_FOLLOWS, _CONTRADICTS = 0.75, 0.4  # share of the one-sided texts whose masks lie on that side
_COUNTED = 0.95  # share of the stated numbers that are the mask's parts: nobody counts like that
_MADE = ("derived-from-mask", "from-mask")
_FULL = 0.98  # share of the picture from which a mask may be inverted
_ASPECT = 0.02


@dataclass(frozen=True)
class Remark:
    """One thing that was noticed.

    Attributes
    ----------
    kind : str
        What it is about.
    is_fault : bool
        Whether scores or trainings on the folder go wrong by it; the others are good to know.
    text : str
        One sentence.
    ids : tuple of str
        Cases, patients or pairs that it is about; empty where it is about all.

    """

    kind: Kind
    is_fault: bool
    text: str
    ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class SplitCount:
    """How much one split holds."""

    cases: int
    images: int
    patients: int
    empty_masks: int
    without_mask: int
    without_text: int


@dataclass(frozen=True)
class CaseSeen:
    """One case was looked at."""

    case: Case
    done: int
    total: int


@dataclass(frozen=True)
class Checked:
    """The folder was looked through.

    Attributes
    ----------
    folder : Path
        Which one.
    layout : str
        What it was read as.
    splits : dict of str to SplitCount
        By name.
    remarks : tuple of Remark
        Faults first.
    notes : tuple of str
        What reading it decided.

    """

    folder: Path
    layout: str
    splits: dict[str, SplitCount]
    remarks: tuple[Remark, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def has_faults(self) -> bool:
        """Whether anything makes scores or trainings wrong."""
        return any(remark.is_fault for remark in self.remarks)

    def as_json(self) -> dict[str, Any]:
        """Return all of it for ``tmca data check --json``; folders by name alone."""
        return {
            "folder": self.folder.name,
            "layout": self.layout,
            "splits": {name: asdict(counts) for name, counts in self.splits.items()},
            "remarks": [asdict(remark) for remark in self.remarks],
            "notes": list(self.notes),
        }


@dataclass
class _Seen:
    """What adds up over the cases."""

    unreadable: dict[str, str] = field(default_factory=dict)
    misfit: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    full: list[str] = field(default_factory=list)
    sided: dict[str, bool] = field(default_factory=dict)
    counted: dict[str, bool] = field(default_factory=dict)
    prints: dict[Path, NDArray[np.float32]] = field(default_factory=dict)
    shapes: dict[Path, tuple[int, ...]] = field(default_factory=dict)


def check_data(dataset: Dataset) -> Iterator[CaseSeen | Checked]:
    """Read every image and mask once, and say what is wrong with the folder.

    Yields
    ------
    CaseSeen
        After every case.
    Checked
        At the end.

    """
    seen = _Seen()
    for done, case in enumerate(dataset.cases, 1):
        try:
            _look(case, seen)
        except (StudyReadError, GeometryError, DatasetError) as error:
            seen.unreadable[case.id] = error.message
        yield CaseSeen(case, done, len(dataset.cases))
    remarks = [*_file_remarks(dataset, seen), *_leaks(dataset, seen), *_text_remarks(dataset, seen)]
    remarks.sort(key=lambda remark: not remark.is_fault)
    empty = set(seen.empty)
    counts = {name: _count(dataset.split(name), empty) for name in dataset.splits}
    yield Checked(dataset.folder, dataset.layout, counts, tuple(remarks), dataset.notes)


def _look(case: Case, seen: _Seen) -> None:
    if case.image not in seen.prints:
        scan = read_scan(case.image)
        seen.prints[case.image], seen.shapes[case.image] = fingerprint(scan), scan.shape
    if case.mask is None:
        return
    mask = read_reference(case)
    shape = seen.shapes[case.image]
    if len(shape) != mask.ndim or abs(mask.shape[-1] * shape[-2] / (mask.shape[-2] * shape[-1]) - 1) > _ASPECT:
        seen.misfit.append(case.id)
    if not mask.any():
        seen.empty.append(case.id)
        return
    if mask.mean() > _FULL:
        seen.full.append(case.id)
    half = stated_half_of_picture(parse_report(case.text), case.side_convention)
    if half:
        seen.sided[case.id] = is_mostly_in_half(mask, half)
    stated = _NUMBER.search(case.text)
    if stated:
        parts = int(label(mask, connectivity=mask.ndim).max())
        word = stated.group().lower()
        seen.counted[case.id] = parts == _NUMBERS.index(word) + 1 if word in _NUMBERS else parts > 1


def _count(cases: tuple[Case, ...], empty: set[str]) -> SplitCount:
    return SplitCount(
        cases=len(cases),
        images=len({case.image for case in cases}),
        patients=len({case.patient for case in cases}),
        empty_masks=sum(case.id in empty for case in cases),
        without_mask=sum(case.mask is None for case in cases),
        without_text=sum(not case.text.strip() for case in cases),
    )


def _file_remarks(dataset: Dataset, seen: _Seen) -> Iterator[Remark]:
    if seen.unreadable:
        first = next(iter(seen.unreadable.values()))
        text = f"{count(len(seen.unreadable), 'cases')} cannot be read. The first: {first}"
        yield Remark("unreadable", True, text, tuple(seen.unreadable))
    if seen.misfit:
        text = f"{count(len(seen.misfit), 'masks')} have another height-to-width ratio than their image."
        yield Remark("misfit", True, text, tuple(seen.misfit))
    if seen.full:
        text = f"{count(len(seen.full), 'masks')} cover nearly the whole picture; they may be inverted."
        yield Remark("full", False, text, tuple(seen.full))
    if seen.empty:
        text = f"{count(len(seen.empty), 'masks')} are empty: nothing to segment there, or a mask was lost."
        yield Remark("empty", False, text, tuple(seen.empty))
    for kind, ids, what in (
        ("no-mask", tuple(case.id for case in dataset.cases if case.mask is None), "no mask"),
        ("no-text", tuple(case.id for case in dataset.cases if not case.text.strip()), "no text"),
    ):
        if ids:
            yield Remark(kind, False, f"{count(len(ids), 'cases')} have {what}.", ids)  # type: ignore[arg-type]


def _leaks(dataset: Dataset, seen: _Seen) -> Iterator[Remark]:
    patients = patients_in_two_splits(dataset)
    if patients:
        text = f"{count(len(patients), 'patients')} stand in more than one split; scores on these splits are too high."
        yield Remark("patients", True, text, tuple(patients))
    twins = find_twins(dataset, seen.prints)
    if twins:
        where = Counter(" and ".join(sorted(pair.splits)) for pair in twins)
        listed = ", ".join(f"{name}: {num:,}" for name, num in where.items())
        text = (
            f"{count(len(twins), 'pairs')} of nearly equal pictures stand in two splits ({listed}); scores on these "
            "splits are too high. Take one of each pair out, or have tmca evaluate --without-leaks give both figures."
        )
        yield Remark("duplicates", True, text, tuple(" = ".join(pair.ids) for pair in twins))


def _text_remarks(dataset: Dataset, seen: _Seen) -> Iterator[Remark]:
    if len(seen.sided) >= _ENOUGH:
        share = float(np.mean(list(seen.sided.values())))
        said = f"{share:.0%} of the masks of {len(seen.sided):,} one-sided texts lie on the side that is stated"
        against = tuple(case_id for case_id, is_there in seen.sided.items() if not is_there)
        if share < _CONTRADICTS:
            text = f"{said}: the texts seem to mean the other 'left'. A column side_convention in the table says which."
            yield Remark("sides", True, text, against)
        else:
            doubt = "" if share >= _FOLLOWS else "; sides say little here"
            yield Remark("sides", False, f"{said}{doubt}.", against)
    origins = Counter(case.origin for case in dataset.cases if case.origin in _MADE)
    if origins:
        text = f"The folder itself says that {count(origins.total(), 'texts')} were derived from the masks."
        yield Remark("made-from-masks", False, text)
    elif len(seen.counted) >= _ENOUGH:
        share = float(np.mean(list(seen.counted.values())))
        if share >= _COUNTED:
            num = count(len(seen.counted), "texts")
            text = (
                f"The number that {num} state is that of the mask's parts in {share:.1%}; "
                "the texts seem to be made from the masks, and scores with them say less about language."
            )
            yield Remark("made-from-masks", False, text)
