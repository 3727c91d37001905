"""What is done with many cases of a project in the background: adding, exporting, segmenting."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_tmca.background import Background
from napari_tmca.batch import Batch
from napari_tmca.project_work import add_images, export_as
from tmca_core.project import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from os import PathLike

    from napari_tmca.casework import Casework
    from napari_tmca.session import Session
    from napari_tmca.worker import GuiFuture, InferenceWorker
    from tmca_core.project import Layout
    from tmca_core.recipes.segment_cases import CaseOutcome


class ProjectJobs:
    """Work on the open project that goes on while somebody works on one of its cases.

    Signals (psygnal): `adding` with done, total and a sentence; `exporting` and `segmenting` with done and total;
    `case_segmented` with the new record of one; `finished` with what the user should know (a tuple of sentences).

    Parameters
    ----------
    casework : Casework
        Which owns this.
    session : Session
    worker : InferenceWorker

    """

    adding = Signal(int, int, str)
    exporting = Signal(int, int)
    segmenting = Signal(int, int)
    case_segmented = Signal(object)
    finished = Signal(tuple)

    def __init__(self, casework: Casework, session: Session, worker: InferenceWorker) -> None:
        self._casework, self._session = casework, session
        self._adder, self._exporter = Background("tmca-adding"), Background("tmca-exporting")
        self._adder.progressed.connect(self.adding.emit)
        self._adder.finished.connect(self.finished.emit)
        self._exporter.progressed.connect(self._on_exporting)
        self._exporter.finished.connect(self.finished.emit)
        self._batch = Batch(worker, self._id_on_screen)
        self._batch.progressed.connect(self.segmenting.emit)
        self._batch.segmented.connect(self.case_segmented.emit)
        self._batch.finished.connect(self.finished.emit)

    def add(self, paths: Iterable[str | PathLike[str]]) -> None:
        """Add images, folders and CSV tables in the background; `adding` tells how far it is.

        Raises
        ------
        ProjectError
            If no project is open.

        """
        self._adder.start(add_images(self._casework.require_project().folder, [Path(path) for path in paths]))

    def cancel_adding(self) -> None:
        """Stop adding; what was added stays."""
        self._adder.cancel()

    def export_as(self, layout: Layout, out: str | PathLike[str], case_ids: Sequence[str] | None = None) -> None:
        """Write cases for training programs in the background; `exporting` tells how far it is.

        Parameters
        ----------
        layout : {"nnunet", "coco"}
        out : path
            An empty folder, or one that does not exist yet.
        case_ids : sequence of str, optional
            All of `order` where not given. Those without a mask are left out, and told.

        Raises
        ------
        ProjectError, StudyWriteError
            If no project is open, or the open case cannot be saved.

        """
        project = self._casework.require_project()
        self._casework.save_changes()
        chosen = self._casework.order if case_ids is None else case_ids
        self._exporter.start(export_as(layout, project.folder, tuple(chosen), Path(out)))

    def cancel_export(self) -> None:
        """Stop exporting; nothing of it is left."""
        self._exporter.cancel()

    def _on_exporting(self, done: int, total: int, _: str) -> None:
        self.exporting.emit(done, total)

    def segment_all(self) -> GuiFuture[tuple[CaseOutcome, ...]]:
        """Segment all new cases of `order` in the background; `segmenting` tells how far it is.

        Asked again while it runs, the same future is returned. It ends with what became of every case. A case that
        somebody has open or has worked on is left alone, the one on the screen, too.

        Raises
        ------
        ProjectError
            If no project is open.

        """
        project = self._casework.require_project()
        return self._batch.start(
            project.folder, self.new_cases(), self._casework.who, self._session.model, self._session.device
        )

    def new_cases(self) -> list[str]:
        """Return the cases of `order` that are new, in that order."""
        project = self._casework.require_project()
        new = {record.id for record in project.cases(status=Status.NEW)}
        return [case_id for case_id in self._casework.order if case_id in new]

    def cancel_segmenting(self) -> None:
        """Stop segmenting many cases; what was segmented stays."""
        self._batch.cancel()

    @property
    def is_segmenting_all(self) -> bool:
        """Whether many cases are being segmented."""
        return self._batch.future is not None

    @property
    def case_under_way(self) -> str | None:
        """The case that the network looks at now, as one of many."""
        return self._batch.case_id

    def close(self) -> None:
        """Stop all, and tell nobody; may be called from any thread."""
        self._adder.close()
        self._exporter.close()
        self._batch.close()

    def _id_on_screen(self) -> str | None:
        case = self._casework.case
        return case.record.id if case is not None else None
