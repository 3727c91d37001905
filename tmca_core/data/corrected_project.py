"""The corrected cases of an annotation project, as learning takes them. Needs no torch.

Nothing is locked: cases may be open and worked on meanwhile. What is learned from is what was last saved.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tmca_core.data.corrected import CorrectedCase, History, Item, UnusableCase, choose_held_out
from tmca_core.errors import ProjectError, TmcaError
from tmca_core.project import Project, Status
from tmca_core.project.case import read_image
from tmca_core.project.files import read_labels
from tmca_core.study import SideConvention

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tmca_core.project import CaseRecord

FINISHED = (Status.CORRECTED, Status.APPROVED)
_NO_PATIENT_SIDE = {"US", "ES", "GM", "SM", "XC", "OP"}
_TRIES = 3


@dataclass(frozen=True)
class ProjectSource:
    """The cases of a project whose masks a human finished (corrected) or a second reader approved.

    Attributes
    ----------
    folder : Path
        Of the project.
    limit : int
        At most so many cases, evenly spread; 0 for all.

    """

    folder: Path
    limit: int = 0

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.folder.absolute().name

    def read(self) -> Iterator[CorrectedCase | UnusableCase]:
        """Read the cases one by one, each as last saved."""
        with Project.open(self.folder) as project:
            project.know_patients()
            marks = project.held_out
            records = finished_cases(project)
            if self.limit and self.limit < len(records):
                records = [records[i * len(records) // self.limit] for i in range(self.limit)]
            for record in records:
                try:
                    yield _read(project, record.id, marks.get(record.id))
                except TmcaError as error:
                    yield UnusableCase(record.id, error.message)


@dataclass(frozen=True)
class CaseListed:
    """A case that would be learned from or judge: whether it is new since a model, and held out; ``mark`` if set."""

    record: CaseRecord
    is_new: bool
    is_held_out: bool
    mark: bool | None


def finished_cases(project: Project) -> list[CaseRecord]:
    """Return the cases that can be learned from, in the order of the project; no image is opened."""
    return [record for record in project.cases() if record.status in FINISHED and record.mask is not None]


def list_cases(project: Project, history: History, *, seed: int = 0) -> list[CaseListed]:
    """Return what a training would take now, and which of it would be held out; no image is opened."""
    records, marks = finished_cases(project), project.held_out
    items = [
        Item(
            patient=record.patient or record.id,
            pictures=(record.image_sha256,),
            has_target=record.mask is not None and record.mask.num_voxels > 0,
            mark=marks.get(record.id),
        )
        for record in records
    ]
    held_out = choose_held_out(items, history, seed)
    return [
        CaseListed(record, record.state_sha256 not in history.states, index in held_out, marks.get(record.id))
        for index, record in enumerate(records)
    ]


def _read(project: Project, case_id: str, mark: bool | None) -> CorrectedCase:
    """Read a case from its files; where it is saved anew amid reading, once more."""
    for attempt in range(1, _TRIES + 1):
        record = project.case(case_id)
        try:
            return _read_as(project, record, mark)
        except TmcaError:
            if attempt == _TRIES or project.case(case_id).revision == record.revision:
                raise
    raise AssertionError


def _read_as(project: Project, record: CaseRecord, mark: bool | None) -> CorrectedCase:
    if record.status not in FINISHED or record.mask is None:
        raise ProjectError(f"Case {record.id} is {record.status.value} now.", hint="Finish it, and train again.")
    folder = project.case_folder(record.id)
    mask = read_labels(folder / record.mask.name, record.mask.sha256, record.reading)
    painted = None
    if record.ai is not None and record.corrected is not None:
        proposed = read_labels(folder / record.ai.name, record.ai.sha256, record.reading)
        painted = proposed != mask if proposed.shape == mask.shape else None
    has_side = record.modality not in _NO_PATIENT_SIDE
    return CorrectedCase(
        id=record.id,
        patient=record.patient or record.id,
        scan=read_image(record),
        mask=np.asarray(mask != 0),
        text=project.report(record.id),
        side_convention=SideConvention.PATIENT if has_side else SideConvention.PICTURE,
        painted=painted,
        rejected=record.rejected,
        is_held_out=mark,
        picture=record.image_sha256,
        state=record.state_sha256,
    )
