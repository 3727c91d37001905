"""Cases that somebody corrected, as learning takes them: from a folder here, from an annotation project elsewhere.

A source is read once, at the start: what is learned from is a snapshot, whatever becomes of the files afterwards.
Needs no torch.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from tmca_core.data.datasets import open_dataset, read_reference
from tmca_core.data.layouts.cases_csv import FILE_NAME
from tmca_core.data.table import count, name_some, read_table
from tmca_core.errors import DatasetError, TmcaError
from tmca_core.io import read_scan
from tmca_core.study import SideConvention

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from tmca_core.data.case import Case
    from tmca_core.study import Scan

HELD_OUT_SHARE = 0.2
_NO = {"0", "no", "false", "n"}
_MACHINE = ("machine", "model", "tmca", "network", "prediction")


@dataclass(frozen=True, eq=False)
class CorrectedCase:
    """A scan, its report, and the mask that a human stands behind.

    Attributes
    ----------
    id, patient : str
        Cases of one patient never stand on both sides of held-out.
    scan : Scan
        (Y, X) or (Z, Y, X).
    mask : NDArray[np.bool_], shape of the scan
        May be empty on purpose.
    text : str
        The report in ``side_convention``; "" for none.
    target, instruction : str
        As in `tmca_core.data.Case`.
    side_convention : SideConvention
        What "left" means in the text.
    painted : NDArray[np.bool_] or None, shape of the scan
        Where a human painted; these pixels weigh more.
    rejected : tuple of str
        Sentences whose mask a human rejected: to each of them alone the answer is an empty mask.
    is_approved : bool
        Whether a human drew, corrected or approved the mask. A machine's own mask must not train the machine.
    is_held_out : bool or None
        Set aside to judge by, or not; ``None`` leaves the choice.
    picture, state : str
        Of an annotation project: sha256 of the image's file, and of all that can be learned from the case as saved.

    """

    id: str
    patient: str
    scan: Scan
    mask: NDArray[np.bool_]
    text: str
    target: str = ""
    instruction: str = ""
    side_convention: SideConvention = SideConvention.PATIENT
    painted: NDArray[np.bool_] | None = None
    rejected: tuple[str, ...] = ()
    is_approved: bool = True
    is_held_out: bool | None = None
    picture: str = ""
    state: str = ""

    @property
    def pictures(self) -> tuple[str, ...]:
        """What the picture is known by, the one it is remembered by first."""
        return (self.picture, self.image_sha256) if self.picture else (self.image_sha256,)

    @property
    def image_sha256(self) -> str:
        """Of the pixels: the same picture under two names has one hash."""
        return hashlib.sha256(np.ascontiguousarray(self.scan.pixels).tobytes()).hexdigest()

    @property
    def sha256(self) -> str:
        """Of everything that is learned from; names no patient."""
        digest = hashlib.sha256(self.image_sha256.encode())
        for part in (self.mask, self.painted):
            digest.update(b"none" if part is None else np.packbits(part).tobytes())
        digest.update("\0".join((self.text, self.target, self.instruction, *self.rejected)).encode("utf-8", "replace"))
        return digest.hexdigest()


@dataclass(frozen=True)
class UnusableCase:
    """A case that cannot be learned from, and why, in a sentence."""

    id: str
    reason: str


class CaseSource(Protocol):
    """Where corrected cases come from."""

    @property
    def name(self) -> str:
        """Name of the folder or project, as the lineage carries it."""
        ...

    def read(self) -> Iterator[CorrectedCase | UnusableCase]:
        """Read every case once; one that cannot be read is said, and ends nothing."""
        ...


@dataclass(frozen=True)
class GivenCases:
    """Cases that are in memory already."""

    items: tuple[CorrectedCase | UnusableCase, ...]
    name: str = "simulated"

    def read(self) -> Iterator[CorrectedCase | UnusableCase]:
        """Yield them in order."""
        return iter(self.items)


@dataclass(frozen=True)
class FolderSource:
    """The training split of a data folder of any layout (all of it where there is none).

    A column ``approved`` of cases.csv with "no", or a ``mask_origin`` that names a machine, marks a mask that no human
    approved.

    Attributes
    ----------
    folder : Path
        The folder.
    layout : str
        See `tmca_core.data.open_dataset`.
    limit : int
        At most so many cases, evenly spread; 0 for all.
    split : str
        The split that is taken where the folder has it.

    """

    folder: Path
    layout: str = "auto"
    limit: int = 0
    split: str = "train"

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.folder.name

    def cases(self) -> Sequence[Case]:
        """Return the list of cases; no image is opened."""
        dataset = open_dataset(self.folder, self.layout)
        cases = dataset.split(self.split) if self.split in dataset.splits else dataset.cases
        if self.limit and self.limit < len(cases):
            cases = tuple(cases[i * len(cases) // self.limit] for i in range(self.limit))
        return cases

    def read(self) -> Iterator[CorrectedCase | UnusableCase]:
        """Read the cases one by one."""
        not_approved = _not_approved(self.folder)
        for case in self.cases():
            try:
                yield replace(_read(case), is_approved=case.id not in not_approved)
            except TmcaError as error:
                yield UnusableCase(case.id, error.message)


@dataclass(frozen=True)
class History:
    """What a model, and all that it was learned on, have seen: a held-out case stays so from version to version.

    Attributes
    ----------
    model : str
        Its name; "" for none.
    learned, judged : frozenset of str
        Pictures that were learned from, and that judged.
    states : frozenset of str
        Of both, `CorrectedCase.state`.

    """

    model: str = ""
    learned: frozenset[str] = frozenset()
    judged: frozenset[str] = frozenset()
    states: frozenset[str] = frozenset()


def history_of(model: str) -> History:
    """Return what an installed model, or a model's folder, and its ancestors have seen.

    Raises
    ------
    CheckpointError
        If there is no such model.

    """
    from tmca_core.model.checkpoint import find_model, read_manifest
    from tmca_core.model.store import ancestors

    info = read_manifest(find_model(model))
    told = [version.training.get("pictures", {}) for version in (info, *ancestors(info))]
    found = {name: frozenset(x for one in told for x in one.get(name, ())) for name in ("learned", "judged", "states")}
    return History(info.name, **found)


@dataclass(frozen=True)
class Item:
    """A case as its side is chosen by: whose it is, what its picture is known by, and the user's mark."""

    patient: str
    pictures: tuple[str, ...]
    has_target: bool
    mark: bool | None


@dataclass(frozen=True)
class Taken:
    """What is learned from and judged by.

    Attributes
    ----------
    train, held_out : tuple of CorrectedCase
        By patient; ``held_out`` is empty where there is one patient only.
    left_out : tuple of UnusableCase
        What was not taken.
    notes : tuple of str
        What the user should know before it starts.

    """

    train: tuple[CorrectedCase, ...]
    held_out: tuple[CorrectedCase, ...]
    left_out: tuple[UnusableCase, ...]
    notes: tuple[str, ...]


def take_cases(source: CaseSource, *, seed: int = 0, strict: bool = False, history: History | None = None) -> Taken:
    """Read a source, leave out what cannot be learned from, and set a fifth of the patients aside.

    Parameters
    ----------
    source : CaseSource
        Read once.
    seed : int
        Of the choice of held-out patients.
    strict : bool
        Whether one unusable case ends it all.
    history : History, optional
        Of the model that is to learn.

    Raises
    ------
    DatasetError
        If nothing is left to learn from; a patient or picture is marked for both sides; or ``strict`` and a case cannot
        be used. Cases are named.

    """
    cases: list[CorrectedCase] = []
    left_out: list[UnusableCase] = []
    for item in source.read():
        checked = _check(item) if isinstance(item, CorrectedCase) else item
        if isinstance(checked, CorrectedCase):
            cases.append(checked)
        else:
            left_out.append(checked)
    reasons = "; ".join(f"{case.id}: {case.reason.rstrip('.')}" for case in left_out[:3])
    if left_out and (strict or not cases):
        raise DatasetError(
            f"{source.name}: expected cases to learn from, {count(len(left_out), 'cases')} cannot be used "
            f"({name_some(case.id for case in left_out)}). {reasons}.",
            hint="Mend these cases, approve their masks, or take others.",
        )
    if not cases:
        raise DatasetError(
            f"{source.name}: expected at least one corrected case, got none.", hint="Correct and approve a case first."
        )
    history = history or History()
    train, held_out = _divide(source.name, cases, history, seed)
    notes = (*_notes(train, held_out, left_out), *_news(train, held_out, history))
    return Taken(tuple(train), tuple(held_out), tuple(left_out), notes)


def _read(case: Case) -> CorrectedCase:
    return CorrectedCase(
        id=case.id,
        patient=case.patient,
        scan=read_scan(case.image),
        mask=read_reference(case),
        text=case.text,
        target=case.target,
        instruction=case.instruction,
        side_convention=case.side_convention,
    )


def _check(case: CorrectedCase) -> CorrectedCase | UnusableCase:
    if not case.is_approved:
        return UnusableCase(case.id, "a machine made the mask and no human has approved it.")
    if case.mask.shape != case.scan.shape:
        return UnusableCase(
            case.id, f"the mask has shape {case.mask.shape}, the image {case.scan.shape}; both must agree."
        )
    if case.painted is not None and case.painted.shape != case.scan.shape:
        return UnusableCase(case.id, f"the map of what was painted has shape {case.painted.shape}.")
    if np.issubdtype(case.scan.pixels.dtype, np.inexact) and not np.isfinite(case.scan.pixels).all():
        return UnusableCase(case.id, "the image holds values that are NaN or infinite.")
    return case


def _notes(
    train: Sequence[CorrectedCase], held_out: Sequence[CorrectedCase], left_out: Sequence[UnusableCase]
) -> Iterator[str]:
    cases = [*train, *held_out]
    if left_out:
        yield f"{count(len(left_out), 'cases')} left out: " + "; ".join(
            f"{c.id}: {c.reason.rstrip('.')}" for c in left_out[:10]
        )
    if not held_out:
        is_one = len(_groups([_item(case) for case in cases])) == 1
        why = "All cases are of one patient" if is_one else "No case is held out"
        yield f"{why}: no validation is possible, so nothing will be claimed to be better."
    if all(not case.mask.any() for case in cases):
        yield "Every mask is empty: the network can only learn to outline nothing."
    elif all(case.mask.all() for case in cases):
        yield "Every mask fills its whole image: is that what was meant?"
    without = [case.id for case in cases if not case.text.strip()]
    if without:
        yield f"{count(len(without), 'cases')} without a report, learned from by the image alone: {name_some(without)}"


def _news(train: Sequence[CorrectedCase], held_out: Sequence[CorrectedCase], history: History) -> Iterator[str]:
    """Say what is new since the model that learns, and which held-out cases it has learned from already."""
    cases = [*train, *held_out]
    if history.states and all(case.state for case in cases):
        num_new = sum(case.state not in history.states for case in cases)
        yield f"{count(num_new, 'cases')} of {len(cases)} changed or new since {history.model} was learned."
    known = [case.id for case in held_out if history.learned & set(case.pictures)]
    if known:
        yield (
            f"{history.model} has learned from {count(len(known), 'held-out cases')} ({name_some(known)}): it looks "
            "better on them than it is."
        )


def _divide(
    name: str, cases: Sequence[CorrectedCase], history: History, seed: int
) -> tuple[list[CorrectedCase], list[CorrectedCase]]:
    items = [_item(case) for case in cases]
    both = [group for group in _groups(items) if {items[i].mark for i in group} >= {True, False}]
    if both:
        raise DatasetError(
            f"{name}: expected every patient and picture to be either held out or learned from, "
            f"{count(len(both), 'patients')} would be both: {name_some(cases[group[0]].id for group in both)}.",
            hint="Mark all cases of a patient alike.",
        )
    chosen = choose_held_out(items, history, seed)
    train = [case for i, case in enumerate(cases) if i not in chosen]
    if not train:
        raise DatasetError(
            f"{name}: expected a case to learn from, all are held out.", hint="Mark fewer cases as held out."
        )
    return train, [case for i, case in enumerate(cases) if i in chosen]


def choose_held_out(items: Sequence[Item], history: History, seed: int) -> set[int]:
    """Return the indices of the cases that judge: a fifth, whole patients, the same ones from version to version.

    Marks are obeyed, for all cases of a patient. Of the others, patients that judged before do so again, and what a
    model has learned from does not judge it. One patient at least is learned from, unless marks say otherwise.
    """
    groups = _groups(items)
    marks = [next((items[i].mark for i in group if items[i].mark is not None), None) for group in groups]
    chosen = {i for group, mark in zip(groups, marks, strict=True) if mark for i in group}
    free = [group for group, mark in zip(groups, marks, strict=True) if mark is None]

    def order(group: list[int]) -> tuple[bool, bool, str]:
        known = {picture for i in group for picture in items[i].pictures}
        drawn = hashlib.sha256(f"{seed}/{min(items[i].pictures[0] for i in group)}".encode()).hexdigest()
        return not known & history.judged, not any(items[i].has_target for i in group), drawn

    eligible = [g for g in free if not {p for i in g for p in items[i].pictures} & history.learned]
    is_trained_elsewhere = len(eligible) < len(free) or any(mark is False for mark in marks)
    eligible.sort(key=order)
    for group in eligible if is_trained_elsewhere else eligible[: len(eligible) - 1]:
        if chosen and len(chosen) >= HELD_OUT_SHARE * len(items):
            break
        chosen.update(group)
    return chosen


def _item(case: CorrectedCase) -> Item:
    return Item(case.patient, case.pictures, bool(case.mask.any()), case.is_held_out)


def _groups(items: Sequence[Item]) -> list[list[int]]:
    """Return the indices of the cases joined where they share a patient or a picture."""
    root: dict[str, str] = {}

    def find(key: str) -> str:
        while root.setdefault(key, key) != key:
            key = root[key]
        return key

    for item in items:
        for picture in item.pictures:
            root[find(f"patient {item.patient}")] = find(f"image {picture}")
    groups: dict[str, list[int]] = defaultdict(list)
    for index, item in enumerate(items):
        groups[find(f"patient {item.patient}")].append(index)
    return list(groups.values())


def _not_approved(folder: Path) -> set[str]:
    if not (folder / FILE_NAME).is_file():
        return set()
    return {
        row["id"]
        for row in read_table(folder / FILE_NAME, ("id",), ("id",))
        if row.get("approved", "").lower() in _NO or row.get("mask_origin", "").lower().startswith(_MACHINE)
    }
