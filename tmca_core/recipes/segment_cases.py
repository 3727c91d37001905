"""Segment cases of a project one after another, with nobody before the screen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tmca_core.errors import StudyWriteError, TmcaError
from tmca_core.project import Draft, OpenCase, Status, describe_segmentation
from tmca_core.project.case import unsaved_in
from tmca_core.report import overrule, parse_report, uses_of
from tmca_core.steps import finished

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence
    from pathlib import Path

    from tmca_core.predictor import Predictor, SlicesDone
    from tmca_core.project import CaseRecord, Project

_NUM_NAMED = 3  # of the cases that were not segmented, per kind
_JUDGED = (Status.CORRECTED, Status.APPROVED, Status.FLAGGED)


@dataclass(frozen=True)
class CaseSegmented:
    """The network's mask of a case is stored, with where it comes from."""

    record: CaseRecord


@dataclass(frozen=True)
class CaseLeft:
    """A case stays as it was.

    Attributes
    ----------
    case_id, name : str
        Its number, and the file name of its image.
    reason : str
        One sentence.
    is_fault : bool
        Whether it could not be segmented; else it was left alone on purpose.

    """

    case_id: str
    name: str
    reason: str
    is_fault: bool = False


CaseOutcome = CaseSegmented | CaseLeft


@dataclass(frozen=True)
class CaseDone:
    """One case is through; ``done`` of ``total`` are."""

    outcome: CaseOutcome
    done: int
    total: int


def segment_cases(
    project: Project, case_ids: Sequence[str], predictor: Predictor, who: str = "", *, only_new: bool = True
) -> Iterator[CaseDone]:
    """Segment cases of a project one after another; see `segment_case`. Closing the generator stops between two."""
    try:
        for done, case_id in enumerate(case_ids, 1):
            steps = segment_case(project.folder, case_id, predictor, who, only_new=only_new)
            yield CaseDone(finished(steps), done, len(case_ids))
    finally:
        project.refresh()


def segment_case(
    folder: Path,
    case_id: str,
    predictor: Predictor,
    who: str = "",
    *,
    only_new: bool = True,
) -> Generator[SlicesDone, None, CaseOutcome]:
    """Segment one case by its report, and store the mask as a segmentation started by hand would be stored.

    A case stays as it is where somebody has it open, has judged or corrected it, or has left unsaved work in it.

    Parameters
    ----------
    folder : Path
        Of the project.
    case_id : str
    predictor : Predictor
        Its scan becomes the case's.
    who : str
        As it stands in the record.
    only_new : bool
        Leave cases alone that have a network's mask already.

    Yields
    ------
    SlicesDone
        After every batch of slices. Closing the generator cancels; the case then stays as it was.

    Returns
    -------
    CaseSegmented or CaseLeft

    Raises
    ------
    StudyWriteError
        If the mask cannot be written: the others could not be, either.

    """
    name = ""
    try:
        with OpenCase(folder, case_id, who, lambda _: None, is_attended=False) as case:
            name = case.record.name
            if reason := _why_left(case, only_new=only_new):
                return CaseLeft(case_id, name, reason)
            scan, text = case.read_scan(), case.report()
            report = overrule(parse_report(text), uses_of(text, case.record.choices))
            predictor.set_scan(scan)
            segmentation = yield from predictor.predict_steps(report)
            draft = Draft(
                ai=segmentation.mask,
                network=describe_segmentation(segmentation),
                status=Status.SEGMENTED,
                annotator=who,
                rejected=(),
            )
            return CaseSegmented(case.save(scan, draft))
    except StudyWriteError:
        raise
    except TmcaError as error:
        reason = error.message.removeprefix(f"Case {case_id}: ").removeprefix(f"{name}: ")
        return CaseLeft(case_id, name or f"case {case_id}", reason, is_fault=True)
    except MemoryError:
        return CaseLeft(case_id, name, "There is not enough memory for this image.", is_fault=True)


def summarise(outcomes: Iterable[CaseOutcome]) -> str:
    """Return what became of the cases: how many, and why some were not segmented.

    Examples
    --------
    >>> summarise([CaseLeft("00002", "chest.png", "The file is empty.", is_fault=True)])
    'Segmented 0 cases; 1 could not be read: chest.png: The file is empty.'

    """
    found = tuple(outcomes)
    count = sum(isinstance(outcome, CaseSegmented) for outcome in found)
    left = [outcome for outcome in found if isinstance(outcome, CaseLeft)]
    parts = [f"Segmented {count:,} {'case' if count == 1 else 'cases'}"]
    for is_fault, what in ((True, "could not be read"), (False, "left alone")):
        those = [outcome for outcome in left if outcome.is_fault == is_fault]
        if those:
            more = f" And {len(those) - _NUM_NAMED:,} more." if len(those) > _NUM_NAMED else ""
            named = " ".join(f"{outcome.name}: {outcome.reason}" for outcome in those[:_NUM_NAMED])
            parts.append(f"{len(those):,} {what}: {named}{more}")
    text = "; ".join(parts)
    return text if text.endswith(".") else f"{text}."


def _why_left(case: OpenCase, *, only_new: bool) -> str:
    """Return why a case is left alone, in a sentence; "" where it is not."""
    record = case.record
    if case.is_read_only:
        return case.why_read_only
    if record.corrected is not None:
        return "It has a corrected mask."
    if record.status in _JUDGED:
        return f"It is {record.status.value}."
    if only_new and record.status != Status.NEW:
        return "It has a mask already."
    if unsaved_in(case.folder, record):
        return "It has unsaved work of an earlier sitting."
    return ""
