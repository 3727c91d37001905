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

from napari_tmca.canvas import CanvasTools, index_in, pixels_along, shows_planes
from napari_tmca.editing import TOOLS, MaskEditor
from napari_tmca.heatmaps import Heatmaps, Level, MapChoice, Values
from napari_tmca.layers import (
    PROVENANCE_KEY,
    SCAN_KEY,
    area_in_words,
    layer_spacing_mm,
    layer_to_scan,
    present,
    scan_to_layer_data,
)
from napari_tmca.notify import report_error
from napari_tmca.settings import read_settings
from napari_tmca.worker import Cancelled, GuiFuture, InferenceWorker, Job, WordJob
from tmca_core.attribution import sentences_at
from tmca_core.consistency import check_consistency
from tmca_core.errors import StudyReadError, StudyWriteError
from tmca_core.io import read_scan
from tmca_core.io.formats import name_of_target, save_mask
from tmca_core.report import parse_report
from tmca_core.study import Scan, Segmentation, WordAttention
from tmca_core.window import window_presets

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from napari import Viewer
    from numpy.typing import NDArray

    from napari_tmca.canvas import Stroke
    from napari_tmca.casework import Casework
    from tmca_core.consistency import Remark
    from tmca_core.project import CaseRecord, Project
    from tmca_core.study import Report, Sentence

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

    Signals (psygnal): `state_changed`, `report_changed`, `result_changed`, `mask_changed`, `layers_changed`,
    `messages_changed` without argument, `progressed` with slices done and slices in all, and `pointed` with the
    attention of every sentence (a dict) where the mouse points at the mask.

    Parameters
    ----------
    viewer : Viewer
        Held weakly.

    """

    state_changed = Signal()
    report_changed = Signal()
    result_changed = Signal()
    mask_changed = Signal()
    layers_changed = Signal()
    messages_changed = Signal()
    progressed = Signal(int, int)
    pointed = Signal(object)

    def __init__(self, viewer: Viewer) -> None:
        settings = read_settings()
        self.model, self.device = _in_use(settings.model), settings.device
        self.state: State = "idle"
        self.report: Report = parse_report("")
        self.segmentation: Segmentation | None = None
        self.threshold: float | None = None
        self.live = False
        self.messages: tuple[str, ...] = ()
        self.canvas = CanvasTools(viewer)
        self._viewer = weakref.ref(viewer)
        self._mask = MaskEditor(viewer)
        self._heatmaps = Heatmaps(viewer, self._ask_words)
        self._scan_layer: weakref.ref[Image] | None = None
        self._scan: Scan | None = None
        self._overrides: dict[str, bool] = {}
        self._remarks: tuple[Remark, ...] | None = ()
        self._cases: Casework | None = None
        self._job: Job | None = None
        self._answered: Job | None = None
        self._future: GuiFuture[Segmentation] | None = None
        self._job_layer: weakref.ref[Image] | None = None
        self._job_data: object = None
        self._is_merging = False
        self._is_stale = False
        self._pointed: dict[int, float] = {}
        self._worker = InferenceWorker()
        self._worker.progressed.connect(self._on_progress)
        self._worker.finished.connect(self._on_finished)
        self._worker.failed.connect(self._on_failed)
        self._mask.changed.connect(self._on_mask_changed)
        self._heatmaps.chosen_changed.connect(self._on_map_chosen)
        self.canvas.pointed.connect(self._on_pointed)
        self.canvas.stroked.connect(self._on_stroked)
        self.canvas.windowed.connect(self._on_windowed)
        viewer.layers.events.removed.connect(self._on_layers_changed)
        viewer.layers.events.inserted.connect(self._on_layers_changed)

    def choose_model(self, model: str) -> None:
        """Segment with another model from now on; a name or a folder."""
        self.model = model
        self.state_changed.emit()

    # --- scan and report ---------------------------------------------------------------------------------------------

    @property
    def scan_layer(self) -> Image | None:
        """The image that is segmented; ``None`` when it was removed."""
        layer = present(self._viewer(), self._scan_layer)
        return layer if isinstance(layer, Image) else None

    @property
    def mask_layer(self) -> Labels | None:
        """The mask of the last segmentation, editable; ``None`` before one, or when it was removed."""
        return self._mask.layer

    @property
    def heatmap_layer(self) -> Image | None:
        """The heatmap shown; ``None`` before one, or when it was removed."""
        return self._heatmaps.layer

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
        self.canvas.show_scan(layer.metadata.get(SCAN_KEY) if layer is not None else None)
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

    def segment(self) -> GuiFuture[Segmentation]:
        """Segment the chosen image by the report, off the GUI thread.

        Asked again while it runs, the same future is returned. The future ends when the layers are there, with the
        `Segmentation`, or with the error, which has been shown by then. Where somebody painted in the mask of before,
        the new one goes into a new layer.
        """
        return self._begin(merge=False)

    def update(self) -> GuiFuture[Segmentation]:
        """Segment again after the report was changed; painted pixels stay in place, and the rest follows the report.

        While a segmentation runs, another one follows it if the report is by then another.
        """
        if self.state == "running" and self._future is not None:
            self._is_stale = True
            return self._future
        return self._begin(merge=True)

    def _begin(self, *, merge: bool) -> GuiFuture[Segmentation]:
        if self.state == "running" and self._future is not None:
            return self._future
        future: GuiFuture[Segmentation] = GuiFuture()
        self._future = future
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
        self._job_layer, self._job_data, self._is_merging = weakref.ref(layer), layer.data, merge
        self._is_stale = False
        self._set_state("running")
        if not merge:
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
        """Stop the worker and give the open case back; for when the viewer is gone."""
        if self._cases is not None:
            self._cases.close()
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

    def _on_progress(self, job: Job | WordJob, done: int, total: int) -> None:
        if job is self._job:
            self.progressed.emit(done, total)

    def _on_failed(self, job: Job | WordJob, error: BaseException) -> None:
        if isinstance(job, WordJob):
            if self._is_of_result(job):
                self._heatmaps.give_up(job.sentence, error)
                if not isinstance(error, Cancelled):
                    self._say(report_error(error))
        elif job is self._job:
            self._end(error, "Cancelled; nothing was changed." if isinstance(error, Cancelled) else report_error(error))

    def _on_finished(self, job: Job | WordJob, answer: Segmentation | WordAttention) -> None:
        if isinstance(job, WordJob) and isinstance(answer, WordAttention) and self._is_of_result(job):
            self._heatmaps.take_words(answer)
        if job is not self._job or not isinstance(job, Job) or not isinstance(answer, Segmentation):
            return
        layer = present(self._viewer(), self._job_layer)
        if not isinstance(layer, Image):
            self._give_up_removed()
        elif layer.data is not self._job_data:
            text = "The image was changed while it was segmented; the result was discarded. Press Segment again."
            self._end(Cancelled("data changed"), text)
        else:
            self._show(job, answer, layer)

    def _is_of_result(self, job: WordJob) -> bool:
        result = self._answered
        return result is not None and job.report is result.report and job.scan is result.scan

    def _show(self, job: Job, segmentation: Segmentation, layer: Image) -> None:
        try:
            notes = self._mask.show(segmentation, job.scan, layer, merge=self._is_merging)
            self.segmentation = segmentation
            self.threshold = segmentation.threshold
            self._answered, self._remarks = job, None
            if self._heatmaps.start(segmentation, job.scan, layer):
                self._bring_mask_to_front()
        except Exception as error:  # noqa: BLE001  (the GUI must survive whatever a layer refuses)
            self._end(error, report_error(error))
            return
        future, self._future, self._job = self._future, None, None
        self._set_state("idle")
        self._say(*segmentation.messages, *notes)
        self.result_changed.emit()
        if future is not None:
            future.set_result(segmentation)
        if self._is_stale and self.is_outdated:
            self.update()

    def _bring_mask_to_front(self) -> None:
        viewer, mask = self._require_viewer(), self.mask_layer
        if mask is not None:
            viewer.layers.move(viewer.layers.index(mask), len(viewer.layers))
            viewer.layers.selection.active = mask

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
        self._rewrite_mask(image_only=self.image_only)
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
        self._rewrite_mask(image_only=on)
        self.result_changed.emit()

    @property
    def image_only(self) -> bool:
        """Whether the mask shown is that of the image alone."""
        return self._mask.image_only

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """What agrees, and what does not, between the report and the mask as it now is."""
        if self._remarks is None:
            layer, segmentation = self.mask_layer, self.segmentation
            report = segmentation.report if segmentation is not None else None
            self._remarks = ()
            if layer is not None and report is not None:
                self._remarks = check_consistency(np.asarray(layer.data), report)
        return self._remarks

    def _rewrite_mask(self, *, image_only: bool) -> None:
        if self.segmentation is not None:
            self._mask.rewrite(self.segmentation, image_only=image_only)

    def _on_mask_changed(self) -> None:
        layer = self.mask_layer
        if layer is not None and layer.data.ndim == 2:  # counting the parts of a volume takes longer than a brush may
            self._remarks = None
        self.mask_changed.emit()

    # --- maps --------------------------------------------------------------------------------------------------------

    @property
    def level(self) -> Level:
        """The level whose maps are shown."""
        return self._heatmaps.chosen.level

    @property
    def sentence(self) -> int | None:
        """The sentence whose map is chosen; ``None`` is the whole report."""
        return self._heatmaps.chosen.sentence

    @property
    def word(self) -> int | None:
        """The word of that sentence whose map is chosen; ``None`` is the whole sentence."""
        return self._heatmaps.chosen.word

    def show_map(
        self, sentence: int | None = None, word: int | None = None, level: Level = "mean"
    ) -> GuiFuture[NDArray[np.float32]]:
        """Show an attention map in the heatmap layer.

        Parameters
        ----------
        sentence : int, optional
            Index into ``report.sentences`` of one that was used; the whole report where not given.
        word : int, optional
            Which word of that sentence, as `tmca_core.report.words_in` counts them. The network is asked when the first
            word of a sentence is wanted.
        level : int or "mean"
            1 (fine) .. 4 (coarse), or the mean of all.

        Returns
        -------
        GuiFuture
            Ends with the map on the scan's grid when it is in the layer: at once, except for a word.

        Raises
        ------
        ValueError
            If there is no such map, or nothing was segmented yet.

        """
        return self._heatmaps.choose(MapChoice(sentence, word, level))

    def preview_map(self, sentence: int | None = None, word: int | None = None) -> None:
        """Show a map for as long as something is pointed at: `end_preview` brings the chosen one back.

        A sentence without a map is passed over.
        """
        self._heatmaps.preview(MapChoice(sentence, word, self.level))

    def end_preview(self) -> None:
        """Show the chosen map again."""
        self._heatmaps.end_preview()

    def pin_map(self) -> Image:
        """Make a layer of its own of the map that is chosen, and return it.

        Raises
        ------
        ValueError
            If there is no map.

        """
        return self._heatmaps.pin()

    def show_values(self, kind: Values, on: bool = True) -> None:
        """Show or remove the layer of the "probability", or of the "uncertainty" (its entropy, 0..1 bit)."""
        reference = self.scan_layer
        if self._answered is not None and reference is not None:
            self._heatmaps.show_values(kind, on, self._answered.scan, reference)

    def is_shown(self, kind: Values) -> bool:
        """Return whether the layer of the probability, or of the uncertainty, is there."""
        return self._heatmaps.is_shown(kind)

    def _ask_words(self, sentence: int) -> None:
        job = self._answered
        if job is not None and job.report is not None:
            self._worker.submit(WordJob(job.scan, job.report, sentence, job.model, job.device))

    def _on_map_chosen(self) -> None:
        self.result_changed.emit()

    def _on_pointed(self, position: Sequence[float]) -> None:
        layer, segmentation = self.mask_layer, self.segmentation
        found: dict[int, float] = {}
        if layer is not None and segmentation is not None and self.state == "idle":
            index = index_in(layer, position)
            if index is not None and layer.data[index]:
                found = sentences_at(segmentation, index)
        if found != self._pointed:
            self._pointed = found
            self.pointed.emit(found)

    # --- correcting --------------------------------------------------------------------------------------------------

    def undo(self) -> None:
        """Take back the last change of the mask, whoever made it: you, a tool or the network."""
        self._mask.undo()

    def redo(self) -> None:
        """Do again what `undo` took back."""
        self._mask.redo()

    def edit(self, tool: str) -> bool:
        """Let a tool correct the class selected in the mask, as one step of undo; return whether anything changed.

        Parameters
        ----------
        tool : str
            "fill holes", "smooth", "keep largest", "remove specks", "grow" or "shrink".

        Raises
        ------
        ValueError
            If there is no such tool.

        """
        if tool not in TOOLS:
            raise ValueError(f"expected a tool of {', '.join(TOOLS)}, got {tool!r}")
        return self._mask.apply(TOOLS[tool])

    def refine(self, include: Sequence[Sequence[int]] = (), exclude: Sequence[Sequence[int]] = ()) -> bool:
        """Refine the mask by pixels that belong to the target, and pixels that do not; return whether it changed.

        Parameters
        ----------
        include, exclude : sequence of (y, x) or (z, y, x)
            Pixels of the scan; those of a volume lie in one slice.

        """
        if self._answered is None:
            return False
        scan = self._answered.scan
        picture = scan.pixels.mean(axis=-1) if scan.is_rgb else scan.pixels
        return self._mask.refine(picture, include, exclude)

    def set_stroke(self, stroke: Stroke | None) -> None:
        """Let drags on the canvas include or exclude what they pass over; ``None`` gives the mouse back."""
        layer = self.mask_layer
        if layer is None:
            stroke = None
        else:
            layer.mode = "pan_zoom"  # its brush would paint as well
            layer.events.mode.connect(self._on_mode)
            self._require_viewer().layers.selection.active = layer
        self.canvas.stroke = stroke
        self.result_changed.emit()

    def _on_mode(self) -> None:
        """Give the mouse back when a tool of napari's own is taken."""
        layer = self.mask_layer
        if self.canvas.stroke is not None and layer is not None and layer.mode != "pan_zoom":
            self.canvas.stroke = None
            self.result_changed.emit()

    def accept(self, sentence: int, accepted: bool = True) -> bool:
        """Put the parts of the mask that a sentence drove back in, or take them out; return whether it changed."""
        return self._mask.accept(sentence, accepted)

    @property
    def rejected(self) -> frozenset[int]:
        """Sentences that drove a part of the network's mask, and of whose parts nothing is left. Pictures only."""
        return self._mask.rejected()

    def copy_to_next_slice(self) -> bool:
        """Put the class selected in the slice shown into the next one, and go there; return whether it changed."""
        z, layer = self._slice_shown(), self.mask_layer
        if z is None or layer is None or z + 1 >= len(layer.data):
            self._say("There is no next slice to copy to.")
            return False
        changed = self._mask.copy_slice(z, z + 1)
        viewer = self._require_viewer()
        axis = viewer.dims.ndim - 3
        viewer.dims.set_point(axis, layer.data_to_world((z + 1, 0, 0))[0])
        return changed

    def interpolate_slices(self) -> bool:
        """Fill the empty slices around the one shown from the nearest slices with a mask; return whether it did."""
        z = self._slice_shown()
        gap = self._mask.interpolate(z) if z is not None else None
        if gap is None:
            self._say("Go to a slice without a mask that lies between two slices with one.")
            return False
        self._say(f"Slices {gap[0] + 2} to {gap[1]} were filled between slice {gap[0] + 1} and slice {gap[1] + 1}.")
        return True

    def _slice_shown(self) -> int | None:
        """Return which slice of a volume's mask is shown; ``None`` without one, or in another view."""
        layer, viewer = self.mask_layer, self._require_viewer()
        if layer is None or layer.data.ndim != 3 or not shows_planes(viewer):
            return None
        z = round(float(layer.world_to_data(viewer.dims.point)[-3]))
        return z if 0 <= z < len(layer.data) else None

    def _on_stroked(self, kind: str, positions: Sequence[Sequence[float]]) -> None:
        layer = self.mask_layer
        if layer is None or not shows_planes(self._require_viewer()):
            self._say("Strokes work in the slices as they were taken. Bring the axes back to their order.")
            return
        pixels = pixels_along([index for p in positions if (index := index_in(layer, p)) is not None])
        strokes = {"include": pixels} if kind == "include" else {"exclude": pixels}
        if not self.refine(**strokes):
            self._say("Nothing had to be changed there.")

    # --- window ------------------------------------------------------------------------------------------------------

    def window_presets(self) -> dict[str, tuple[float, float]]:
        """Return the named windows of the image chosen, lowest and highest intensity; none for a coloured one."""
        layer = self.scan_layer
        if layer is None or layer.rgb:
            return {}
        scan = layer.metadata.get(SCAN_KEY)
        pixels = np.asarray(layer.data[-1] if layer.multiscale else layer.data)
        return window_presets(pixels, scan.modality if isinstance(scan, Scan) else "")

    def set_window(self, low: float, high: float) -> None:
        """Show intensities from ``low`` to ``high`` of the image chosen."""
        layer = self.scan_layer
        if layer is not None and high > low:
            layer.contrast_limits_range = (
                min(low, layer.contrast_limits_range[0]),
                max(high, layer.contrast_limits_range[1]),
            )
            layer.contrast_limits = (low, high)

    def _on_windowed(self, right: float, up: float) -> None:
        """Widen the window to the right, raise its level upwards, as radiologists' viewers do."""
        layer = self.scan_layer
        if layer is None or layer.rgb:
            return
        low, high = (float(v) for v in layer.contrast_limits)
        step = (layer.contrast_limits_range[1] - layer.contrast_limits_range[0]) / 500
        level, width = (low + high) / 2 - up * step, max(high - low + right * step, step)
        self.set_window(level - width / 2, level + width / 2)

    # --- saving ------------------------------------------------------------------------------------------------------

    def save_labels(self, path: str | PathLike[str]) -> Path:
        """Write the mask as it now is, edits included, on the scan's own grid; the suffix decides the format.

        ``.dcm`` gives a DICOM segmentation. A file that is replaced is kept as ``NAME.previous``.

        Raises
        ------
        StudyWriteError, GeometryError
            If there is no mask, or it cannot be written; a file of before is then unchanged.

        """
        layer = self.mask_layer
        if layer is None:
            raise StudyWriteError("There is no mask to save.", hint="Press Segment first.")
        scan = layer.metadata[SCAN_KEY]
        data = np.asarray(layer.data)
        notes = save_mask(
            Path(path),
            data,
            scan,
            provenance=layer.metadata.get(PROVENANCE_KEY),
            is_edited=bool(self._mask.edited().any()),
            name=name_of_target(self.segmentation.report if self.segmentation else None),
        )
        self._say(f"Saved {Path(path).name}.", *notes)
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

    # --- cases -------------------------------------------------------------------------------------------------------

    @property
    def cases(self) -> Casework:
        """The project that is open, and the case of it on the screen."""
        if self._cases is None:
            from napari_tmca.casework import Casework

            self._cases = Casework(self)
        return self._cases

    def open_project(self, folder: str | PathLike[str]) -> Project:
        """Open a project, or make one in an empty folder; see `Casework.open_project`."""
        return self.cases.open_project(folder)

    def next_case(self) -> CaseRecord | None:
        """Save the open case where it has changes, and open the next one; see `Casework.next_case`."""
        return self.cases.next_case()

    def save(self, folder: str | PathLike[str] | None = None) -> CaseRecord:
        """Save the open case; with a folder, into its project, to which the image on the screen is added if need be.

        Raises as `Casework.save` and `Casework.save_to`.
        """
        return self.cases.save() if folder is None else self.cases.save_to(folder)

    def adopt_mask(self, mask: NDArray[np.integer]) -> Labels:
        """Show a mask that was made earlier on the chosen image, and edit it from now on.

        Raises
        ------
        StudyReadError
            If no image is chosen.

        """
        reference = self.scan_layer
        if reference is None:
            raise StudyReadError("There is no image for the mask.", hint="Open a scan first.")
        layer = self._mask.adopt(mask, self._scan_of(reference), reference)
        self._remarks = None
        self.result_changed.emit()
        return layer

    def clear(self) -> None:
        """Give up what is under way, remove scan, mask and heatmap, and forget report and result."""
        self.cancel()
        scan_layer = self.scan_layer
        self._heatmaps.clear()
        self._mask.clear()
        self._scan_layer, self._scan, self._answered = None, None, None
        self.segmentation, self.threshold, self._remarks = None, None, ()
        self._overrides = {}
        self.report = parse_report("")
        if scan_layer is not None:
            self._require_viewer().layers.remove(scan_layer)
        self.canvas.show_scan(None)
        self.report_changed.emit()
        self.layers_changed.emit()
        self.result_changed.emit()

    # --- inside ------------------------------------------------------------------------------------------------------

    def _require_viewer(self) -> Viewer:
        viewer = self._viewer()
        if viewer is None:
            raise RuntimeError("the viewer of this session is gone")
        return viewer

    def _on_layers_changed(self) -> None:
        # Closing a viewer removes its layers first: the network then has nobody left to work for.
        if self._job is not None and present(self._viewer(), self._job_layer) is None:
            self._give_up_removed()
        if self.canvas.stroke is not None and self.mask_layer is None:
            self.canvas.stroke = None
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
        self._is_stale = False
        self._set_state("idle")
        self._say(message)
        if future is not None:
            future.set_exception(error)


def _in_use(chosen: str) -> str:
    """Return the model of the preferences, or what was put in use in the place of the shipped one."""
    from tmca_core.model.checkpoint import DEFAULT_MODEL
    from tmca_core.model.store import model_in_use

    return model_in_use() if chosen == DEFAULT_MODEL else chosen
