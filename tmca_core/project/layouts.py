"""Cases of a project as one folder that training programs read: nnU-Net's raw data, or COCO with its pictures."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tmca_core.errors import ProjectError, StudyWriteError, TmcaError
from tmca_core.io.layouts_out import ExportCase, export_coco, export_nnunet
from tmca_core.project.case import read_image_steps
from tmca_core.project.files import read_labels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from os import PathLike

    import numpy as np

    from tmca_core.project.project import Project
    from tmca_core.project.record import CaseRecord
    from tmca_core.study import Scan

_PART = ".unfinished"
Layout = Literal["nnunet", "coco"]


class ExportStoppedError(ProjectError):
    """An export was stopped by whoever asked for it."""


@dataclass
class CasesExported:
    """What became of an export.

    Attributes
    ----------
    num_cases : int
        Cases in the folder.
    skipped : list of str
        A sentence for each case that is not, with the name of its image.
    labels : dict of str to int
        Name and number of each label.

    """

    num_cases: int = 0
    skipped: list[str] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)


def export_cases(
    project: Project,
    case_ids: Sequence[str],
    folder: str | PathLike[str],
    layout: Layout,
    *,
    has_reports: bool = False,
    on_case: Callable[[int, int], object] = lambda done, total: None,
    is_over: Callable[[], bool] = lambda: False,
) -> CasesExported:
    """Write cases with the mask that counts, the annotator's before the network's; see `tmca_core.io.layouts_out`.

    Cases are called by their numbers, labels as the project calls its classes. A case without a mask, or that cannot be
    read, is left out and told. An export that was stopped, or failed, leaves the folder as it was before.

    Parameters
    ----------
    project : Project
    case_ids : sequence of str
    folder : path
        Empty, or made.
    layout : {"nnunet", "coco"}
    has_reports : bool
        Whether to write the reports, which may name a patient, too.
    on_case : callable
        Told how many cases are read, of how many.
    is_over : callable
        Asked again and again whether to stop, also amid a case.

    Raises
    ------
    ExportStoppedError
        If ``is_over`` said so.
    StudyWriteError
        If the folder is not empty or cannot be written to, kinds of images are mixed, or COCO is asked for of volumes.
    ProjectError
        If no case can be exported.

    """
    folder, done = Path(folder), CasesExported()

    def stop() -> None:
        if is_over():
            raise ExportStoppedError("The export was stopped; nothing of it was kept.")

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StudyWriteError(f"{folder}: expected an empty folder, and it is not.", hint="Choose another one.")
    records = []
    for case_id in case_ids:
        record = project.case(case_id)
        if record.mask is None:
            done.skipped.append(f"{record.name}: It has no mask.")
        else:
            records.append(record)
    done.labels = _labels(project, records, done.skipped, stop)
    cases = _cases(project, records, done, on_case, stop)
    first = next(cases, None)
    if first is None:
        reason = f" {done.skipped[0]}" if done.skipped else ""
        raise ProjectError(f"No case can be exported.{reason}", hint="Choose cases that have a mask.")
    kinds = {record.modality for record in records}
    modality = (kinds.pop() if len(kinds) == 1 else "") or "image"
    with _whole_or_nothing(folder) as part:
        content = _after(first, cases)
        if layout == "coco":
            export_coco(part, content, done.labels, has_reports=has_reports, stop=stop)
        else:
            export_nnunet(part, content, done.labels, modality=modality, has_reports=has_reports, stop=stop)
    return done


@contextlib.contextmanager
def _whole_or_nothing(folder: Path) -> Iterator[Path]:
    """Yield a folder to write into, within ``folder``, whose content comes to its place when all of it is there."""
    is_new = not folder.exists()
    part = folder / _PART
    try:
        part.mkdir(parents=True)
        yield part
        for path in sorted(part.iterdir()):
            os.replace(path, folder / path.name)
        part.rmdir()
    except BaseException as error:
        shutil.rmtree(folder if is_new else part, ignore_errors=True)
        if isinstance(error, OSError):
            raise StudyWriteError(
                f"{folder}: expected a folder that can be written to, got '{error.strerror}'.",
                hint="Choose another folder.",
            ) from error
        raise


def _after(first: ExportCase, rest: Iterator[ExportCase]) -> Iterator[ExportCase]:
    yield first
    yield from rest


def _labels(
    project: Project, records: list[CaseRecord], skipped: list[str], stop: Callable[[], object]
) -> dict[str, int]:
    """Return names and numbers of the labels up to the highest of all masks; cases whose mask is damaged leave."""
    highest = 1
    for record in tuple(records):
        stop()
        try:
            highest = max(highest, int(_mask(project, record).max(initial=0)))
        except TmcaError as error:
            skipped.append(f"{record.name}: {error.message}")
            records.remove(record)
    given = project.class_names
    return {given.get(n, "target" if n == 1 else f"class {n}"): n for n in range(1, highest + 1)}


def _cases(
    project: Project,
    records: list[CaseRecord],
    done: CasesExported,
    on_case: Callable[[int, int], object],
    stop: Callable[[], object],
) -> Iterator[ExportCase]:
    for number, record in enumerate(records, 1):
        try:
            scan = _read(record, stop)
            case = ExportCase(record.id, scan, _mask(project, record), project.report(record.id))
        except ExportStoppedError:
            raise
        except TmcaError as error:
            done.skipped.append(f"{record.name}: {error.message}")
        else:
            done.num_cases += 1
            yield case
        on_case(number, len(records))


def _read(record: CaseRecord, stop: Callable[[], object]) -> Scan:
    steps = read_image_steps(record)
    while True:
        stop()
        try:
            next(steps)
        except StopIteration as end:
            scan: Scan = end.value
            return scan


def _mask(project: Project, record: CaseRecord) -> np.ndarray[tuple[int, ...], np.dtype[np.uint16]]:
    mask = record.mask
    if mask is None:
        raise ProjectError(f"Case {record.id} has no mask.")
    return read_labels(project.case_folder(record.id) / mask.name, mask.sha256, record.reading)
