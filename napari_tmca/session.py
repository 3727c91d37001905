"""The state of one viewer: scan, report, and what came of them. The panel shows and edits this; scripts use it too.

A session belongs to its viewer, not to the panel: closing the panel loses nothing.
"""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Image, Labels
from psygnal import Signal

from napari_tmca.answer import Answer
from napari_tmca.canvas import CanvasTools
from napari_tmca.chosen import ChosenImage
from napari_tmca.class_names import ClassNames
from napari_tmca.correcting import Corrector
from napari_tmca.editing import TOOLS, MaskEditor
from napari_tmca.first_steps import FirstSteps
from napari_tmca.heatmaps import Heatmaps, Level, MapChoice
from napari_tmca.layers import SCAN_KEY, scan_to_layer_data
from napari_tmca.notify import report_error
from napari_tmca.saving import save_layer, suggest_path
from napari_tmca.segmenting import Segmenter
from napari_tmca.settings import read_settings
from napari_tmca.windowing import drag_window
from napari_tmca.worker import GuiFuture, InferenceWorker, Job
from tmca_core.errors import StudyReadError, StudyWriteError
from tmca_core.report import choices_in, overrule, parse_report, uses_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    import numpy as np
    from napari import Viewer
    from numpy.typing import NDArray

    from napari_tmca.casework import Casework
    from napari_tmca.segmenting import State
    from tmca_core.project import CaseRecord, Project
    from tmca_core.report import Choices
    from tmca_core.study import Report, Scan, Segmentation

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
    `messages_changed`, `settings_changed` without argument, `progressed` with slices done and slices in all, and
    `pointed` with the attention of every sentence (a dict) where the mouse points at the mask.

    Parameters
    ----------
    viewer : Viewer
        Held weakly.

    Attributes
    ----------
    image : ChosenImage
        What is segmented.
    mask : MaskEditor
    answer : Answer
    maps : Heatmaps
    corrector : Corrector
        Strokes and work across slices.
    classes : ClassNames
    canvas : CanvasTools
    first_steps : FirstSteps

    """

    state_changed = Signal()
    report_changed = Signal()
    result_changed = Signal()
    mask_changed = Signal()
    layers_changed = Signal()
    messages_changed = Signal()
    settings_changed = Signal()
    progressed = Signal(int, int)
    pointed = Signal(object)

    def __init__(self, viewer: Viewer) -> None:
        settings = read_settings()
        self.model, self.device = _in_use(settings.model), settings.device
        self.report: Report = parse_report("")
        self.live = settings.live
        self.messages: tuple[str, ...] = ()
        self._viewer = weakref.ref(viewer)
        self.image, self.canvas = ChosenImage(viewer), CanvasTools(viewer)
        self.first_steps = FirstSteps(self)
        self.mask = MaskEditor(viewer)
        self.answer, self.classes = Answer(self.mask), ClassNames(self.mask)
        self.maps = Heatmaps(viewer, self._ask_words)
        self.corrector = Corrector(viewer, self.mask, self.canvas)
        self._worker = InferenceWorker()
        self._segmenter = Segmenter(viewer, self._worker, self.maps, self._show)
        self._overrides: dict[str, bool] = {}
        self._cases: Casework | None = None
        self._pointed: dict[int, float] = {}
        self._segmenter.state_changed.connect(self.state_changed.emit)
        self._segmenter.progressed.connect(self.progressed.emit)
        self._segmenter.said.connect(self._on_said)
        self._segmenter.finished.connect(self.result_changed.emit)
        self._segmenter.again.connect(self._on_again)
        self.corrector.said.connect(self._say)
        self.corrector.stroke_changed.connect(self.result_changed.emit)
        self.mask.changed.connect(self.mask_changed.emit)
        self.answer.changed.connect(self.result_changed.emit)
        self.maps.chosen_changed.connect(self.result_changed.emit)
        self.classes.changed.connect(self.settings_changed.emit)
        self.canvas.pointed.connect(self._on_pointed)
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
        return self.image.layer

    @property
    def mask_layer(self) -> Labels | None:
        """The mask of the last segmentation, editable; ``None`` before one, or when it was removed."""
        return self.mask.layer

    @property
    def heatmap_layer(self) -> Image | None:
        """The heatmap shown; ``None`` before one, or when it was removed."""
        return self.maps.layer

    def open_scan(self, path: str | PathLike[str], scan: Scan | None = None) -> Image:
        """Read a file or DICOM folder, unless it was read already, add it to the viewer and choose it.

        Raises
        ------
        StudyReadError
            If it cannot be read.

        """
        if scan is None:
            from tmca_core.io import read_scan

            scan = read_scan(Path(path))
        data, attributes, _ = scan_to_layer_data(scan)
        layer = Image(data, **attributes)
        self.add_scan(layer)
        return layer

    def add_scan(self, layer: Image) -> None:
        """Add an image to the viewer and choose it."""
        self._require_viewer().add_layer(layer)
        self.choose_layer(layer)

    def choose_layer(self, layer: Image | None) -> None:
        """Choose the image to segment; a report in its metadata (sample data has one) is taken over."""
        if layer is self.scan_layer:
            return
        self.image.choose(layer)
        if layer is not None and isinstance(layer.metadata.get("report"), str):
            self.set_report(layer.metadata["report"])
        self.canvas.show_scan(layer.metadata.get(SCAN_KEY) if layer is not None else None)
        self.layers_changed.emit()

    def set_report(self, text: str, choices: Choices | None = None) -> None:
        """Take a report as pasted, and read it; choices made for sentences that are still in it stay.

        Parameters
        ----------
        text : str
        choices : Choices, optional
            Made earlier for this very text (`Session.choices`); they take the place of those made here.

        """
        if choices is not None:
            self._overrides = uses_of(text, choices)
        elif text == self.report.text and self.report.sentences:
            return
        self.report = overrule(parse_report(text), self._overrides)
        self.report_changed.emit()

    def use_sentence(self, index: int, use: bool) -> None:
        """Overrule what was understood of a sentence: give it to the network, or keep it back."""
        text = self.report.sentences[index].text
        self._overrides.pop(text, None)
        understood = overrule(parse_report(self.report.text), self._overrides)
        if (index in understood.used) != use:
            self._overrides[text] = use
        self.report = overrule(understood, self._overrides)
        self.report_changed.emit()

    @property
    def choices(self) -> Choices:
        """What was decided of sentences otherwise than was understood; a project keeps it with the case."""
        return choices_in(self.report, self._overrides)

    @property
    def is_outdated(self) -> bool:
        """Whether the mask shown comes from another text or choice of sentences than the report now has."""
        asked = self.segmentation.report if self.segmentation else None
        return self.segmentation is not None and (asked or parse_report("")) != self.report

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
        if (future := self._segmenter.future) is not None:
            self._segmenter.ask_again()
            return future
        return self._begin(merge=True)

    def _begin(self, *, merge: bool) -> GuiFuture[Segmentation]:
        if (running := self._segmenter.future) is not None:
            return running
        future: GuiFuture[Segmentation] = GuiFuture()
        layer = self.scan_layer
        try:
            if layer is None:
                raise StudyReadError("There is no image to segment.", hint="Open a scan, or choose an image layer.")
            scan = self.image.scan_of(layer)
        except Exception as error:  # noqa: BLE001  (shown to the user, kept in the future)
            self._say(report_error(error))
            future.set_exception(error)
            return future
        job = Job(scan, self.report, self.model, self.device, self.answer.threshold, self.image.slices_of(scan))
        self._segmenter.begin(job, layer, future, merge=merge)
        return future

    def prepare(self) -> None:
        """Load the network off the GUI thread before it is asked, so that the first answer takes no longer than others.

        A network that cannot be loaded says so when it is asked.
        """
        self._segmenter.prepare(self.model, self.device)

    @property
    def state(self) -> State:
        """Whether a segmentation is "running", or the session is "idle"."""
        return self._segmenter.state

    @property
    def is_updating(self) -> bool:
        """Whether the segmentation under way, or the last one, followed a changed report (`update`)."""
        return self._segmenter.is_merging

    def cancel(self) -> None:
        """Give up the segmentation under way; layers stay as they were."""
        self._segmenter.cancel()

    def close(self) -> None:
        """Stop the worker and give the open case back; for when the viewer is gone."""
        if self._cases is not None:
            self._cases.close()
        self._worker.close()

    def _show(self, job: Job, segmentation: Segmentation, layer: Image, merge: bool) -> tuple[str, ...]:
        """Put an answer into layers; return what the user should know."""
        notes = self.mask.show(segmentation, job.scan, layer, merge=merge)
        self.classes.name_mask()
        self.answer.take(segmentation)
        self._segmenter.answered, self.corrector.scan = job, job.scan
        if self.maps.start(segmentation, job.scan, layer):
            self._bring_mask_to_front()
        return (*segmentation.messages, *notes)

    def _on_again(self) -> None:
        if self.is_outdated:
            self.update()

    def _bring_mask_to_front(self) -> None:
        viewer, mask = self._require_viewer(), self.mask_layer
        if mask is not None:
            viewer.layers.move(viewer.layers.index(mask), len(viewer.layers))
            viewer.layers.selection.active = mask

    # --- result ------------------------------------------------------------------------------------------------------

    @property
    def segmentation(self) -> Segmentation | None:
        """What the network answered last; ``None`` before it was asked."""
        return self.answer.segmentation

    def set_threshold(self, threshold: float) -> None:
        """Apply another threshold, as `Answer.set_threshold` does."""
        self.answer.set_threshold(threshold)

    # --- maps --------------------------------------------------------------------------------------------------------

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
        return self.maps.choose(MapChoice(sentence, word, level))

    def _ask_words(self, sentence: int) -> None:
        self._segmenter.ask_words(sentence)

    def _on_pointed(self, position: Sequence[float]) -> None:
        found = self.answer.sentences_at(position) if self.state == "idle" else {}
        if found != self._pointed:
            self._pointed = found
            self.pointed.emit(found)

    # --- correcting --------------------------------------------------------------------------------------------------

    def undo(self) -> None:
        """Take back the last change of the mask, whoever made it: you, a tool or the network."""
        self.mask.undo()

    def redo(self) -> None:
        """Do again what `undo` took back."""
        self.mask.redo()

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
        return self.mask.apply(TOOLS[tool])

    def refine(self, include: Sequence[Sequence[int]] = (), exclude: Sequence[Sequence[int]] = ()) -> bool:
        """Refine the mask by pixels that belong to the target, and pixels that do not; return whether it changed.

        Parameters
        ----------
        include, exclude : sequence of (y, x) or (z, y, x)
            Pixels of the scan; those of a volume lie in one slice.

        """
        return self.corrector.refine(include, exclude)

    def _on_windowed(self, right: float, up: float) -> None:
        drag_window(self.scan_layer, right, up)

    # --- saving ------------------------------------------------------------------------------------------------------

    def save_labels(self, path: str | PathLike[str]) -> Path:
        """Write the mask as it now is, edits included, on the scan's own grid; the suffix decides the format.

        ``.dcm`` gives a DICOM segmentation. A file that is replaced is kept as ``NAME.previous``.

        Raises
        ------
        StudyWriteError, GeometryError
            If there is no mask, or it cannot be written; a file of before is then unchanged.

        """
        return self._save(path, "")

    def export(self, path: str | PathLike[str], mask_format: str) -> Path:
        """Write the mask as it now is in a format by its name, whatever the suffix.

        Parameters
        ----------
        path : path
        mask_format : str
            "seg", "rtstruct" or "sr" of a DICOM scan (all ``.dcm``); "nifti", "nrrd", "png", "tiff".

        Raises
        ------
        StudyWriteError, GeometryError
            As `save_labels`.
        ValueError
            If there is no such format.

        """
        return self._save(path, mask_format)

    def _save(self, path: str | PathLike[str], mask_format: str) -> Path:
        layer = self.mask_layer
        if layer is None:
            raise StudyWriteError("There is no mask to save.", hint="Press Segment first.")
        report = self.segmentation.report if self.segmentation else None
        is_edited = bool(self.mask.edited().any())
        notes = save_layer(Path(path), layer, report, is_edited=is_edited, mask_format=mask_format)
        self._say(f"Saved {Path(path).name}.", *notes)
        return Path(path)

    def suggested_path(self) -> Path:
        """Return where saving would go: beside the scan, or in the folder of the preferences."""
        layer = self.mask_layer
        return suggest_path(layer.metadata[SCAN_KEY] if layer is not None else self.image.last_scan)

    # --- cases -------------------------------------------------------------------------------------------------------

    @property
    def cases(self) -> Casework:
        """The project that is open, and the case of it on the screen."""
        if self._cases is None:
            from napari_tmca.casework import Casework

            self._cases = Casework(self, self._worker)
            self._cases.project_changed.connect(self._on_project)
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
        layer = self.mask.adopt(mask, self.image.scan_of(reference), reference)
        self.classes.name_mask()
        self.answer.forget_remarks()
        self.result_changed.emit()
        return layer

    def clear(self) -> None:
        """Give up what is under way, remove scan, mask and heatmap, and forget report and result."""
        self.cancel()
        scan_layer = self.scan_layer
        self.maps.clear()
        self.mask.clear()
        self.image.choose(None)
        self._segmenter.answered, self.corrector.scan = None, None
        self.answer.clear()
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
        self._segmenter.give_up_removed()
        self.corrector.give_back_mouse()
        self.layers_changed.emit()

    def _on_project(self) -> None:
        self.classes.follow(self.cases.project)

    def _on_said(self, messages: tuple[str, ...]) -> None:
        self._say(*messages)

    def _say(self, *messages: str) -> None:
        self.messages = tuple(dict.fromkeys(messages))
        self.messages_changed.emit()


def _in_use(chosen: str) -> str:
    """Return the model of the preferences, or what was put in use in the place of the shipped one."""
    from tmca_core.model.checkpoint import DEFAULT_MODEL
    from tmca_core.model.store import model_in_use

    return model_in_use() if chosen == DEFAULT_MODEL else chosen
