"""Segmenting many cases of a project, one after another, while somebody works on another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psygnal import Signal

from napari_tmca.notify import report_error
from napari_tmca.worker import Cancelled, CaseJob, GuiFuture, InferenceWorker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tmca_core.recipes.segment_cases import CaseOutcome

ON_SCREEN = "It is open on the screen."


class Batch:
    """Gives the cases of a project to the network's thread, always one, so that whoever asks in between waits for one.

    Signals (psygnal), emitted in the GUI thread: `progressed` with cases done and cases in all, the same twice at the
    end; `segmented` with the new record of a case; `finished` with what the user should know (a tuple of sentences).

    Parameters
    ----------
    worker : InferenceWorker
        Of the session: one thread touches torch.
    on_screen : callable
        Returns the number of the case that is open, ``None`` without one; it is left alone.

    """

    progressed = Signal(int, int)
    segmented = Signal(object)
    finished = Signal(tuple)

    def __init__(self, worker: InferenceWorker, on_screen: Callable[[], str | None]) -> None:
        self.future: GuiFuture[tuple[CaseOutcome, ...]] | None = None
        self._worker, self._on_screen = worker, on_screen
        self._jobs: list[CaseJob] = []
        self._job: CaseJob | None = None
        self._outcomes: list[CaseOutcome] = []
        worker.finished.connect(self._on_finished)
        worker.failed.connect(self._on_failed)

    @property
    def case_id(self) -> str | None:
        """The case that the network looks at now."""
        return self._job.case_id if self._job is not None else None

    def start(
        self, folder: Path, case_ids: Sequence[str], who: str, model: str, device: str
    ) -> GuiFuture[tuple[CaseOutcome, ...]]:
        """Begin with the new ones of these cases; while some are under way, their future is returned.

        The future ends with what became of each case, or with the error that ended it all.
        """
        if self.future is not None:
            return self.future
        future: GuiFuture[tuple[CaseOutcome, ...]] = GuiFuture()
        self.future = future
        self._jobs = [CaseJob(folder, case_id, who, model, device) for case_id in case_ids]
        self._outcomes = []
        self._go_on()
        return future

    def cancel(self) -> None:
        """Stop; what was segmented stays, and the case under way stays as it was."""
        if self.future is not None:
            self._worker.cancel((CaseJob,))
            self._end(Cancelled("cancelled"))

    def close(self) -> None:
        """Begin with no further case, and tell nobody; may be called from any thread."""
        self._jobs, self._job = [], None

    def _go_on(self) -> None:
        from tmca_core.recipes.segment_cases import CaseLeft

        total = len(self._outcomes) + len(self._jobs)
        while self._jobs:
            job = self._jobs.pop(0)
            if job.case_id != self._on_screen():
                self._job = job
                self.progressed.emit(len(self._outcomes), total)
                self._worker.submit(job)
                return
            self._outcomes.append(CaseLeft(job.case_id, f"Case {job.case_id}", ON_SCREEN))
        self._end(None)

    def _on_finished(self, job: object, outcome: CaseOutcome) -> None:
        from tmca_core.recipes.segment_cases import CaseSegmented

        if job is self._job and self._job is not None:
            self._job = None
            self._outcomes.append(outcome)
            if isinstance(outcome, CaseSegmented):
                self.segmented.emit(outcome.record)
            if self.future is not None:  # whoever heard of it may have cancelled
                self._go_on()

    def _on_failed(self, job: object, error: BaseException) -> None:
        if job is self._job and self._job is not None:
            self._end(error)

    def _end(self, error: BaseException | None) -> None:
        from tmca_core.recipes.segment_cases import summarise

        future, self.future, self._job, self._jobs = self.future, None, None, []
        outcomes = tuple(self._outcomes)
        self.progressed.emit(len(outcomes), len(outcomes))
        told = summarise(outcomes) if outcomes else ""
        if error is None:
            told = told or "No case of the list is new."
        elif isinstance(error, Cancelled):
            told = f"Cancelled. {told}".strip()
        else:
            told = f"{report_error(error)} {told}".strip()
        self.finished.emit((told,))
        if future is None:
            return
        if error is None:
            future.set_result(outcomes)
        else:
            future.set_exception(error)
