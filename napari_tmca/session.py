"""The state of one viewer: scan, report, and what came of them. The panel shows and edits this; scripts use it too.

A session belongs to its viewer, not to the panel: closing the panel loses nothing.
"""

from __future__ import annotations

import weakref
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from napari.layers import Image, Labels
from psygnal import Signal

from napari_tmca.layers import (
    MASK_NAME,
    SCAN_KEY,
    add_heatmap,
    add_mask,
    area_in_words,
    layer_spacing_mm,
    layer_to_scan,
    scan_to_layer_data,
    write_into,
)
from napari_tmca.notify import report_error
from napari_tmca.settings import read_settings
from napari_tmca.worker import Cancelled, GuiFuture, InferenceWorker, Job
from tmca_core.attention import attention_on_scan
from tmca_core.consistency import check_consistency
from tmca_core.errors import StudyReadError, StudyWriteError
from tmca_core.io import read_scan, write_mask
from tmca_core.report import parse_report
from tmca_core.study import Scan

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from napari import Viewer
    from napari.layers import Layer
    from numpy.typing import NDArray

    from tmca_core.consistency import Remark
    from tmca_core.study import Report, Segmentation, Sentence

Level = int | Literal["mean"]
State = Literal["idle", "running"]

_sessions: dict[int, Session] = {}
# Sessions of viewers that are gone. A viewer may be collected in any thread, and objects of Qt must not be: they wait
# here for the GUI thread.
_gone: list[Session] = []


def session_of(viewer: Viewer) -> Session:
    """Return the session of a viewer; the same one for as long as the viewer lives."""
    # What a dock widget is handed may be a proxy of the viewer; both stand for one session.
    viewer = getattr(viewer, "__wrapped__", viewer)
    _gone.clear()
    key = id(viewer)
    if key not in _sessions:
        _sessions[key] = Session(viewer)
        weakref.finalize(viewer, _forget, key)
    return _sessions[key]


def _forget(key: int) -> None:
    session = _sessions.pop(key)
    session.close()
    _gone.append(session)


class Session:
    """What the panel shows and edits.

    Signals (psygnal): `state_changed`, `report_changed`, `result_changed`, `layers_changed`, `messages_changed` without
    argument, and `progressed` with slices done and slices in all.

    Parameters
    ----------
    viewer : Viewer
        Held weakly.

    """

    state_changed = Signal()
    report_changed = Signal()
    result_changed = Signal()
    layers_changed = Signal()
    messages_changed = Signal()
    progressed = Signal(int, int)

    def __init__(self, viewer: Viewer) -> None:
        settings = read_settings()
        self.model, self.device = settings.model, settings.device
        self.state: State = "idle"
        self.report: Report = parse_report("")
        self.segmentation: Segmentation | None = None
        self.threshold: float | None = None
        self.level: Level = "mean"
        self.sentence: int | None = None
        self.messages: tuple[str, ...] = ()
        self._viewer = weakref.ref(viewer)
        self._scan_layer: weakref.ref[Image] | None = None
        self._mask_layer: weakref.ref[Labels] | None = None
        self._heatmap_layer: weakref.ref[Image] | None = None
        self._scan: Scan | None = None
        self._overrides: dict[str, bool] = {}
        self.image_only = False
        self.remarks: tuple[Remark, ...] = ()
        self._written: list[tuple[bool, float]] = []
        self._painted: NDArray[np.bool_] | None = None
        self._job: Job | None = None
        self._future: GuiFuture | None = None
        self._job_layer: weakref.ref[Image] | None = None
        self._job_data: object = None
        self._worker = InferenceWorker()
        self._worker.progressed.connect(self._on_progress)
        self._worker.finished.connect(self._on_finished)
        self._worker.failed.connect(self._on_failed)
        viewer.layers.events.removed.connect(self._on_layers_changed)
        viewer.layers.events.inserted.connect(self._on_layers_changed)

    # --- scan and report ---------------------------------------------------------------------------------------------

    @property
    def scan_layer(self) -> Image | None:
        """The image that is segmented; ``None`` when it was removed."""
        layer = self._present(self._scan_layer)
        return layer if isinstance(layer, Image) else None

    @property
    def mask_layer(self) -> Labels | None:
        """The mask of the last segmentation, editable; ``None`` before one, or when it was removed."""
        layer = self._present(self._mask_layer)
        return layer if isinstance(layer, Labels) else None

    @property
    def heatmap_layer(self) -> Image | None:
        """The heatmap shown; ``None`` before one, or when it was removed."""
        layer = self._present(self._heatmap_layer)
        return layer if isinstance(layer, Image) else None

    def open_scan(self, path: str | PathLike[str], scan: Scan | None = None) -> Image:
        """Read a file or DICOM folder, unless it was read already, add it to the viewer and choose it.

        Raises
        ------
        StudyReadError
            If it cannot be read.

        """
        data, attributes, _ = scan_to_layer_data(read_scan(Path(path)) if scan is None else scan)
        layer = Image(data, **attributes)
        self._require_viewer().add_layer(layer)
        self.choose_layer(layer)
        return layer

    def choose_layer(self, layer: Image | None) -> None:
        """Choose the image to segment; a report in its metadata (sample data has one) is taken over."""
        if layer is self.scan_layer:
            return
        self._scan_layer = weakref.ref(layer) if layer is not None else None
        self._scan = None
        if layer is not None and isinstance(layer.metadata.get("report"), str):
            self.set_report(layer.metadata["report"])
        self.layers_changed.emit()

    def set_report(self, text: str) -> None:
        """Take a report as pasted, and read it; choices made for sentences that are still in it stay."""
        if text == self.report.text and self.report.sentences:
            return
        self.report = self._with_overrides(parse_report(text))
        self.report_changed.emit()

    def use_sentence(self, index: int, use: bool) -> None:
        """Overrule what was understood of a sentence: give it to the network, or keep it back."""
        self._overrides[self.report.sentences[index].text] = use
        self.report = self._with_overrides(parse_report(self.report.text))
        self.report_changed.emit()

    @property
    def is_outdated(self) -> bool:
        """Whether the mask shown comes from another text or choice of sentences than the report now has."""
        asked = self.segmentation.report if self.segmentation else None
        return self.segmentation is not None and (asked or parse_report("")) != self.report

    def _with_overrides(self, report: Report) -> Report:
        def changed(sentence: Sentence) -> Sentence:
            use = self._overrides.get(sentence.text)
            if use is None:
                return sentence
            return replace(sentence, is_about_picture=use, is_negated=sentence.is_negated and not use)

        return replace(report, sentences=tuple(changed(sentence) for sentence in report.sentences))

    # --- segmentation ------------------------------------------------------------------------------------------------

    def segment(self) -> GuiFuture:
        """Segment the chosen image by the report, off the GUI thread.

        Asked again while it runs, the same future is returned. The future ends when the layers are there, with the
        `Segmentation`, or with the error, which has been shown by then.
        """
        if self.state == "running" and self._future is not None:
            return self._future
        self._future = future = GuiFuture()
        layer = self.scan_layer
        try:
            if layer is None:
                raise StudyReadError("There is no image to segment.", hint="Open a scan, or choose an image layer.")
            scan = self._scan_of(layer)
        except Exception as error:  # noqa: BLE001  (shown to the user, kept in the future)
            self._say(report_error(error))
            future.set_exception(error)
            return future
        self._job = Job(scan, self.report, self.model, self.device, self.threshold)
        self._job_layer, self._job_data = weakref.ref(layer), layer.data
        self._set_state("running")
        self._say()
        self._worker.submit(self._job)
        return future

    def cancel(self) -> None:
        """Give up the segmentation under way; layers stay as they were."""
        if self._job is None:
            return
        self._worker.cancel()
        self._end(Cancelled("cancelled"), "Cancelled; nothing was changed.")

    def close(self) -> None:
        """Stop the worker; for when the viewer is gone."""
        self._worker.close()

    def _scan_of(self, layer: Image) -> Scan:
        """Return the layer's scan, the same object for the same data, so that its features are computed once."""
        data = layer.data[0] if layer.multiscale else layer.data
        known = self._scan
        if known is None or known.pixels is not data or known.spacing_mm != self._spacing_of(layer):
            known = self._scan = layer_to_scan(layer)
        return known

    @staticmethod
    def _spacing_of(layer: Image) -> tuple[float, ...] | None:
        """Return the spacing that `layer_to_scan` would give: a reader's scan keeps its own."""
        scan = layer.metadata.get(SCAN_KEY)
        return scan.spacing_mm if isinstance(scan, Scan) else layer_spacing_mm(layer)

    def _on_progress(self, job: Job, done: int, total: int) -> None:
        if job is self._job:
            self.progressed.emit(done, total)

    def _on_failed(self, job: Job, error: BaseException) -> None:
        if job is self._job:
            self._end(error, "Cancelled; nothing was changed." if isinstance(error, Cancelled) else report_error(error))

    def _on_finished(self, job: Job, segmentation: Segmentation) -> None:
        if job is not self._job:
            return
        layer = self._present(self._job_layer)
        if not isinstance(layer, Image):
            self._give_up_removed()
        elif layer.data is not self._job_data:
            text = "The image was changed while it was segmented; the result was discarded. Press Segment again."
            self._end(Cancelled("data changed"), text)
        else:
            self._show(job, segmentation, layer)

    def _show(self, job: Job, segmentation: Segmentation, layer: Image) -> None:
        try:
            notes = self._show_mask(job.scan, segmentation, layer)
            self.segmentation = segmentation
            self.threshold = segmentation.threshold
            self.sentence = None
            self.remarks = self._compare(segmentation.mask)
            self._show_heatmap(job.scan, layer)
        except Exception as error:  # noqa: BLE001  (the GUI must survive whatever a layer refuses)
            self._end(error, report_error(error))
            return
        future, self._future, self._job = self._future, None, None
        self._set_state("idle")
        self._say(*segmentation.messages, *notes)
        self.result_changed.emit()
        if future is not None:
            future.set_result(segmentation)

    def _show_mask(self, scan: Scan, segmentation: Segmentation, reference: Image) -> tuple[str, ...]:
        """Write the mask into the layer of before, unless somebody painted in it: then into a new one."""
        mask = segmentation.mask
        layer, before = self.mask_layer, self.segmentation
        fits = layer is not None and before is not None and layer.data.shape == mask.shape and self._is_of(layer, scan)
        if layer is not None and fits and not self._edited(np.asarray(layer.data)).any():
            write_into(layer, mask)
            self._start_tracking(segmentation)
            return ()
        name = _free_name(self._require_viewer(), MASK_NAME)
        new = add_mask(self._require_viewer(), mask, scan, reference, name)
        self._mask_layer = weakref.ref(new)
        self._start_tracking(segmentation)
        return (f"Your edits in '{layer.name}' were kept; the new result is in '{name}'.",) if layer and fits else ()

    @staticmethod
    def _is_of(layer: Labels, scan: Scan) -> bool:
        known = layer.metadata.get(SCAN_KEY)
        return getattr(known, "pixels", None) is scan.pixels

    # --- result ------------------------------------------------------------------------------------------------------

    def set_threshold(self, threshold: float) -> None:
        """Apply another threshold to the stored probability, at once, and only where nobody has painted.

        Raises
        ------
        ValueError
            If the threshold is outside 0..1.

        """
        if not 0.0 <= threshold <= 1.0:
            raise ValueError(f"threshold: expected 0..1, got {threshold}")
        self.threshold = threshold
        if self.segmentation is None:
            return
        self.segmentation = replace(self.segmentation, threshold=threshold)
        self._rewrite_mask()
        self.result_changed.emit()

    def show_image_only(self, on: bool) -> None:
        """Put the mask of the image alone in the place of the report's, or back; what was painted stays.

        Raises
        ------
        ValueError
            If nothing was segmented yet, or the last segmentation had no report.

        """
        if self.segmentation is None or self.segmentation.image_only_logits is None:
            raise ValueError("segment with a report before show_image_only")
        self.image_only = on
        self._rewrite_mask()
        self.result_changed.emit()

    def _rewrite_mask(self) -> None:
        """Write source and threshold as they now are into the mask, where nobody has painted."""
        segmentation, layer = self.segmentation, self.mask_layer
        if segmentation is None or layer is None or layer.data.shape != segmentation.logits.shape:
            return
        current = np.asarray(layer.data)
        new = (self._probability(segmentation, self.image_only) >= segmentation.threshold).astype(current.dtype)
        self._painted = self._edited(current)
        mask = np.where(self._painted, current, new)
        write_into(layer, mask)
        self._written = [*self._written[-8:], (self.image_only, segmentation.threshold)]
        if mask.ndim == 2:  # counting the parts of a volume takes longer than a slider may
            self.remarks = self._compare(mask)

    @staticmethod
    def _probability(segmentation: Segmentation, image_only: bool) -> NDArray[np.float32]:
        return segmentation.image_only_probability if image_only else segmentation.probability

    def _compare(self, mask: NDArray[np.integer]) -> tuple[Remark, ...]:
        report = self.segmentation.report if self.segmentation is not None else None
        return check_consistency(mask, report) if report is not None else ()

    def show_map(self, sentence: int | None = None, level: Level = "mean") -> None:
        """Show an attention map in the heatmap layer.

        Parameters
        ----------
        sentence : int, optional
            Index into ``report.sentences`` of one that was used; the whole report where not given.
        level : int or "mean"
            1 (fine) .. 4 (coarse), or the mean of all.

        Raises
        ------
        ValueError
            If there is no such map, or nothing was segmented yet.

        """
        if self.segmentation is None:
            raise ValueError("segment before show_map")
        values = attention_on_scan(self.segmentation, level=level, sentence=sentence)
        self.sentence, self.level = sentence, level
        layer = self.heatmap_layer
        if layer is not None and layer.data.shape == values.shape:
            layer.data = values
        self.result_changed.emit()

    def save_labels(self, path: str | PathLike[str]) -> Path:
        """Write the mask as it now is, edits included, on the scan's own grid; the suffix decides the format.

        Raises
        ------
        StudyWriteError, GeometryError
            If there is no mask, or it cannot be written; a file of before is then unchanged.

        """
        layer = self.mask_layer
        if layer is None:
            raise StudyWriteError("There is no mask to save.", hint="Press Segment first.")
        scan = layer.metadata[SCAN_KEY]
        write_mask(Path(path), np.asarray(layer.data), scan)
        self._say(f"Saved {Path(path).name}.")
        return Path(path)

    def suggested_path(self) -> Path:
        """Return where saving would go: beside the scan, or in the folder of the preferences."""
        layer = self.mask_layer
        scan = layer.metadata[SCAN_KEY] if layer is not None else self._scan
        source = getattr(scan, "source", None)
        folder = read_settings().save_folder or (source.parent if source else Path.home())
        is_nifti = scan is not None and (scan.ndim == 3 or (source and source.name.endswith((".nii", ".nii.gz"))))
        stem = source.name.split(".")[0] if source else "scan"
        return folder / f"{stem}_mask{'.nii.gz' if is_nifti else '.png'}"

    @property
    def area(self) -> str:
        """Size of the mask in words; "" without a mask."""
        layer = self.mask_layer
        if layer is None:
            return ""
        return area_in_words(np.asarray(layer.data), layer.metadata[SCAN_KEY].spacing_mm)

    def _show_heatmap(self, scan: Scan, reference: Image) -> None:
        segmentation = self.segmentation
        if segmentation is None or not segmentation.attention:
            return
        values = attention_on_scan(segmentation, level=self.level)
        layer = self.heatmap_layer
        if layer is not None and layer.data.shape == values.shape and layer.metadata.get(SCAN_KEY) is scan:
            layer.data = values
            return
        viewer = self._require_viewer()
        if layer is not None:
            viewer.layers.remove(layer)
        self._heatmap_layer = weakref.ref(add_heatmap(viewer, values, scan, reference))
        mask = self.mask_layer
        if mask is not None:
            viewer.layers.move(viewer.layers.index(mask), len(viewer.layers))
            viewer.layers.selection.active = mask

    def _start_tracking(self, segmentation: Segmentation) -> None:
        self.image_only = False
        self._written = [(False, segmentation.threshold)]
        self._painted = np.zeros(segmentation.logits.shape, dtype=bool)

    def _edited(self, current: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Return where somebody painted: what differs from the mask that was written into the layer.

        Undo may have brought back the mask of before: of those written lately, the nearest counts.
        """
        if self.segmentation is None or self._painted is None:
            return np.zeros(current.shape, dtype=bool)
        sources = {image_only for image_only, _ in self._written}
        probability = {source: self._probability(self.segmentation, source) for source in sources}
        candidates = [current != (probability[source] >= threshold) for source, threshold in self._written]
        return self._painted | min(candidates, key=lambda edited: int(edited.sum()))

    # --- inside ------------------------------------------------------------------------------------------------------

    def _present(self, reference: weakref.ref[Image] | weakref.ref[Labels] | None) -> Layer | None:
        layer, viewer = reference() if reference is not None else None, self._viewer()
        return layer if layer is not None and viewer is not None and layer in viewer.layers else None

    def _require_viewer(self) -> Viewer:
        viewer = self._viewer()
        if viewer is None:
            raise RuntimeError("the viewer of this session is gone")
        return viewer

    def _on_layers_changed(self) -> None:
        # Closing a viewer removes its layers first: the network then has nobody left to work for.
        if self._job is not None and self._present(self._job_layer) is None:
            self._give_up_removed()
        self.layers_changed.emit()

    def _give_up_removed(self) -> None:
        self._worker.cancel()
        self._end(Cancelled("layer removed"), "The image layer was removed; its segmentation was given up.")

    def _set_state(self, state: State) -> None:
        self.state = state
        self.state_changed.emit()

    def _say(self, *messages: str) -> None:
        self.messages = tuple(dict.fromkeys(messages))
        self.messages_changed.emit()

    def _end(self, error: BaseException, message: str) -> None:
        """End a job without a result."""
        future, self._future, self._job = self._future, None, None
        self._set_state("idle")
        self._say(message)
        if future is not None:
            future.set_exception(error)


def _free_name(viewer: Viewer, name: str) -> str:
    taken: Mapping[str, object] = {layer.name: layer for layer in viewer.layers}
    number, free = 2, name
    while free in taken:
        free, number = f"{name} [{number}]", number + 1
    return free
