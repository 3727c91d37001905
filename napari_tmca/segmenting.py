"""The segmentation under way in one viewer: one at a time, off the GUI thread, never into another image."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Literal

from napari.layers import Image
from psygnal import Signal

from napari_tmca.layers import present
from napari_tmca.notify import report_error
from napari_tmca.worker import Cancelled, GuiFuture, Job, WordJob
from tmca_core.study import Segmentation, WordAttention

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari import Viewer

    from napari_tmca.heatmaps import Heatmaps
    from napari_tmca.worker import AnyJob, InferenceWorker
    from tmca_core.recipes.segment_cases import CaseOutcome

State = Literal["idle", "running"]
LOADING = "The network is being loaded, once; later answers come at once."


class Segmenter:
    """Asks the network for a session, and sees to it that the answer ends where it belongs.

    Signals (psygnal): `state_changed`; `progressed` with slices done and slices in all; `said` with what the user
    should know (a tuple of sentences); `finished` when an answer is in the layers; `again` when the report was
    changed while it was under way.

    Parameters
    ----------
    viewer : Viewer
        Held weakly.
    worker : InferenceWorker
    heatmaps : Heatmaps
        Which the maps of words are for.
    show : callable
        Puts an answer into layers: job, segmentation, the image's layer, and whether painted pixels stay in place.
        Returns what the user should know.

    """

    state_changed = Signal()
    progressed = Signal(int, int)
    said = Signal(tuple)
    finished = Signal()
    again = Signal()

    def __init__(
        self,
        viewer: Viewer,
        worker: InferenceWorker,
        heatmaps: Heatmaps,
        show: Callable[[Job, Segmentation, Image, bool], tuple[str, ...]],
    ) -> None:
        self.state: State = "idle"
        self.answered: Job | None = None
        self.future: GuiFuture[Segmentation] | None = None
        self._viewer, self._heatmaps, self._show = weakref.ref(viewer), heatmaps, weakref.WeakMethod(show)
        self._job: Job | None = None
        self._layer: weakref.ref[Image] | None = None
        self._data: object = None
        self.is_merging = False
        self._is_stale = False
        self._worker = worker
        self._worker.progressed.connect(self._on_progress)
        self._worker.finished.connect(self._on_finished)
        self._worker.failed.connect(self._on_failed)

    def begin(self, job: Job, layer: Image, future: GuiFuture[Segmentation], *, merge: bool) -> None:
        """Ask for a segmentation of what a layer shows; the future ends with it."""
        self._job, self.future = job, future
        self._layer, self._data, self.is_merging = weakref.ref(layer), layer.data, merge
        self._is_stale = False
        self._set_state("running")
        if not merge:
            self.said.emit(() if self._worker.is_ready(job.model, job.device) else (LOADING,))
        self._worker.submit(job)

    def prepare(self, model: str, device: str) -> None:
        """Load a network before anything is asked."""
        self._worker.prepare(model, device)

    def ask_again(self) -> None:
        """Let `again` follow the segmentation under way."""
        self._is_stale = True

    def ask_words(self, sentence: int) -> None:
        """Ask for the maps of a sentence's words, as the network was told them for the last answer."""
        job = self.answered
        if job is not None and job.report is not None:
            self._worker.submit(WordJob(job.scan, job.report, sentence, job.model, job.device))

    def cancel(self) -> None:
        """Give up the segmentation under way; layers stay as they were."""
        if self._job is not None:
            self._worker.cancel((Job, WordJob))
            self._end(Cancelled("cancelled"), "Cancelled; nothing was changed.")

    def give_up_removed(self) -> None:
        """Give up where the image's layer is gone."""
        # Closing a viewer removes its layers first: the network then has nobody left to work for.
        if self._job is not None and present(self._viewer(), self._layer) is None:
            self._worker.cancel((Job, WordJob))
            self._end(Cancelled("layer removed"), "The image layer was removed; its segmentation was given up.")

    def _on_progress(self, job: AnyJob, done: int, total: int) -> None:
        if job is self._job:
            self.progressed.emit(done, total)

    def _on_failed(self, job: AnyJob, error: BaseException) -> None:
        if isinstance(job, WordJob):
            if self._is_of_result(job):
                self._heatmaps.give_up(job.sentence, error)
                if not isinstance(error, Cancelled):
                    self.said.emit((report_error(error),))
        elif job is self._job:
            self._end(error, "Cancelled; nothing was changed." if isinstance(error, Cancelled) else report_error(error))

    def _on_finished(self, job: AnyJob, answer: Segmentation | WordAttention | CaseOutcome) -> None:
        if isinstance(job, WordJob) and isinstance(answer, WordAttention) and self._is_of_result(job):
            self._heatmaps.take_words(answer)
        if job is not self._job or not isinstance(job, Job) or not isinstance(answer, Segmentation):
            return
        layer = present(self._viewer(), self._layer)
        if not isinstance(layer, Image):
            self.give_up_removed()
        elif layer.data is not self._data:
            text = "The image was changed while it was segmented; the result was discarded. Press Segment again."
            self._end(Cancelled("data changed"), text)
        else:
            self._take(job, answer, layer)

    def _is_of_result(self, job: WordJob) -> bool:
        result = self.answered
        return result is not None and job.report is result.report and job.scan is result.scan

    def _take(self, job: Job, segmentation: Segmentation, layer: Image) -> None:
        show = self._show()
        if show is None:  # the session is gone
            return
        try:
            notes = show(job, segmentation, layer, self.is_merging)
        except Exception as error:  # noqa: BLE001  (the GUI must survive whatever a layer refuses)
            self._end(error, report_error(error))
            return
        future, self.future, self._job = self.future, None, None
        self._set_state("idle")
        self.said.emit(notes)
        self.finished.emit()
        if future is not None:
            future.set_result(segmentation)
        if self._is_stale:
            self.again.emit()

    def _set_state(self, state: State) -> None:
        self.state = state
        self.state_changed.emit()

    def _end(self, error: BaseException, message: str) -> None:
        """End a job without a result."""
        future, self.future, self._job = self.future, None, None
        self._is_stale = False
        self._set_state("idle")
        self.said.emit((message,))
        if future is not None:
            future.set_exception(error)
