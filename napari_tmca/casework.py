"""Work on the cases of a project in one viewer: open, autosave, save, next, review. A script uses it as the panel does.

It belongs to a session (`Session.cases`). What is on the screen belongs to one case or to none: a case is left only
when its changes are saved, and everything of it is taken off the screen before the next comes.
"""

from __future__ import annotations

import contextlib
import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from psygnal import Signal

from napari_tmca.autosave import Autosave
from napari_tmca.background import Background
from napari_tmca.batch import Batch
from napari_tmca.layers import SCAN_KEY, scan_to_layer_data, write_into
from napari_tmca.onscreen import OnScreen, equal
from napari_tmca.outlines import hide_outlines, is_outline, show_outlines
from napari_tmca.project_work import add_images, export_as
from napari_tmca.settings import change_settings, read_settings
from tmca_core.errors import ConfigError, ProjectError, TmcaError
from tmca_core.project import CaseAdded, CaseRecord, Draft, Project, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from os import PathLike

    from numpy.typing import NDArray

    from napari_tmca.session import Session
    from napari_tmca.worker import GuiFuture, InferenceWorker
    from tmca_core.project import Layout, OpenCase, Unsaved
    from tmca_core.recipes.segment_cases import CaseOutcome
    from tmca_core.study import Scan


class Casework:
    """The project of a session, and the case that is open in it.

    Signals (psygnal), without argument: `project_changed`, `cases_changed` (records, or which there are),
    `case_changed` (another case is open, or none), `autosaved`; `adding` with done, total and a sentence; and while
    cases are segmented, `segmenting` with done and total, and `case_segmented` with the new record of one;
    `exporting` with done and total.

    Attributes
    ----------
    project : Project or None
    who : str
        Annotator or second reader, as it stands in records.
    order : list of str
        Ids through which `next_case` goes; the panel sets it to what its table shows.
    unsaved : tuple of Unsaved
        What can be recovered.

    """

    project_changed = Signal()
    cases_changed = Signal()
    case_changed = Signal()
    autosaved = Signal()
    adding = Signal(int, int, str)
    segmenting = Signal(int, int)
    exporting = Signal(int, int)
    case_segmented = Signal(object)

    def __init__(self, session: Session, worker: InferenceWorker) -> None:
        self._session = session
        self.project: Project | None = None
        self.who = read_settings().annotator or _user()
        self.order: list[str] = []
        self.unsaved: tuple[Unsaved, ...] = ()
        self._position = 0
        self._is_closed = False
        self._screen = OnScreen(session)
        self._autosave = Autosave(session, self._screen, lambda: self.who)
        self._adder, self._exporter = Background("tmca-adding"), Background("tmca-exporting")
        self._autosave.written.connect(self.autosaved.emit)
        self._autosave.said.connect(self._say)
        self._adder.progressed.connect(self.adding.emit)
        self._adder.finished.connect(self._on_added)
        self._exporter.progressed.connect(self._on_exporting)
        self._exporter.finished.connect(self._on_exported)
        self._batch = Batch(worker, self._id_on_screen)
        self._batch.progressed.connect(self.segmenting.emit)
        self._batch.segmented.connect(self.case_segmented.emit)
        self._batch.finished.connect(self._on_added)
        viewer = session._require_viewer()
        viewer.mouse_move_callbacks.append(self.note_activity)
        viewer.mouse_drag_callbacks.append(self.note_activity)
        viewer.dims.events.current_step.connect(self.note_activity)
        session.report_changed.connect(self.note_activity)

    # --- project -----------------------------------------------------------------------------------------------------

    def open_project(self, folder: str | PathLike[str]) -> Project:
        """Open a project, or make one in an empty folder; the case that is open is saved first.

        Raises
        ------
        ProjectError, StudyWriteError
            If the folder holds something else, or the open case cannot be saved.

        """
        path = Path(folder).absolute()
        if self.project is not None and self.project.folder == path:
            self.refresh()
            return self.project
        self.cancel_segmenting()
        is_new = not path.exists() or (path.is_dir() and not any(path.iterdir()))
        project = Project.create(path) if is_new else Project.open(path)
        try:
            self.close_case()
        except TmcaError:
            project.close()
            raise
        if self.project is not None:
            self.project.close()
        self.project = project
        self.order = [record.id for record in project.cases()]
        self.unsaved = tuple(project.unsaved())
        with contextlib.suppress(ConfigError):  # a script without the plugin in its napari has no next time
            change_settings(last_project=str(path))
        self.project_changed.emit()
        self._say(*project.unreadable)
        return project

    @property
    def last_project(self) -> Path | None:
        """The folder of the project that was open last, also in an earlier sitting; it may be gone."""
        return read_settings().last_project

    def continue_project(self) -> Project:
        """Open the project that was open last.

        Raises
        ------
        ProjectError
            If there is none, or its folder is not there.

        """
        path = self.last_project
        if path is None:
            raise ProjectError("No project was open before.", hint="Open or make one in the cases panel.")
        if not path.is_dir():
            raise ProjectError(
                f"The project {path.name} is not where it was ({path.parent}).",
                hint="Connect the disk or share that holds it, or choose it with 'Open project'.",
            )
        return self.open_project(path)

    def refresh(self) -> None:
        """Take over what other windows have saved."""
        if self.project is not None:
            self.project.refresh()
            self.unsaved = tuple(self.project.unsaved())
            self.cases_changed.emit()

    def add(self, paths: Iterable[str | PathLike[str]]) -> None:
        """Add images, folders and CSV tables in the background; `adding` tells how far it is.

        Raises
        ------
        ProjectError
            If no project is open.

        """
        self._adder.start(add_images(self._require_project().folder, [Path(path) for path in paths]))

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
        project = self._require_project()
        self._save_changes()
        chosen = self.order if case_ids is None else case_ids
        self._exporter.start(export_as(layout, project.folder, tuple(chosen), Path(out)))

    def _on_exporting(self, done: int, total: int, _: str) -> None:
        self.exporting.emit(done, total)

    def _on_exported(self, told: tuple[str, ...]) -> None:
        self._say(*told)

    def _on_added(self, told: tuple[str, ...]) -> None:
        self._say(*told)
        self.refresh()

    # --- segmenting many cases ---------------------------------------------------------------------------------------

    def segment_all(self) -> GuiFuture[tuple[CaseOutcome, ...]]:
        """Segment all new cases of `order` in the background; `segmenting` tells how far it is.

        Asked again while it runs, the same future is returned. It ends with what became of every case. A case that
        somebody has open or has worked on is left alone, the one on the screen, too.

        Raises
        ------
        ProjectError
            If no project is open.

        """
        project = self._require_project()
        return self._batch.start(project.folder, self.new_cases(), self.who, self._session.model, self._session.device)

    def new_cases(self) -> list[str]:
        """Return the cases of `order` that are new, in that order."""
        project = self._require_project()
        new = {record.id for record in project.cases(status=Status.NEW)}
        return [case_id for case_id in self.order if case_id in new]

    def cancel_segmenting(self) -> None:
        """Stop segmenting many cases; what was segmented stays."""
        self._batch.cancel()

    @property
    def is_segmenting_all(self) -> bool:
        """Whether many cases are being segmented."""
        return self._batch.future is not None

    def _id_on_screen(self) -> str | None:
        return self.case.record.id if self.case is not None else None

    # --- going from case to case -------------------------------------------------------------------------------------

    def open_case(self, case_id: str) -> CaseRecord:
        """Show a case: image, report and mask as saved. Changes of the case before are saved first.

        Raises
        ------
        ProjectError, StudyReadError, StudyWriteError
            If the case before cannot be saved, or this one cannot be read. The case before then stays open.

        """
        if self.case is not None and self.case.record.id == case_id:
            return self.case.record
        project = self._require_project()
        if case_id == self._batch.case_id:
            raise ProjectError(f"Case {case_id} is being segmented at this moment.", hint="Open it again in a moment.")
        self._save_changes()
        case = project.open_case(case_id, self.who)
        try:
            scan, report = case.read_scan(), case.report()
            ai, corrected = case.mask("ai"), case.mask("corrected")
        except BaseException:
            case.close()
            raise
        self._leave()
        self._enter(case, scan, report, ai, corrected)
        return case.record

    def next_case(self, step: int = 1) -> CaseRecord | None:
        """Open the next case of `order` (``step`` -1: the one before); ``None`` at the end, where all stays.

        Raises as `open_case`.
        """
        self._require_project()
        current = self.case.record.id if self.case is not None else None
        if current in self.order:
            position = self.order.index(current) + step
        elif current is None:
            position = 0 if step > 0 else len(self.order) - 1
        else:  # it left the list with its new status: what followed it has taken its place
            position = self._position + min(step, 0)
        if not 0 <= position < len(self.order):
            self._say("This is the last case of the list." if step > 0 else "This is the first case of the list.")
            return None
        return self.open_case(self.order[position])

    def close_case(self) -> None:
        """Save the changes of the open case and take it off the screen.

        Raises as `save`.
        """
        if self.case is not None:
            self._save_changes()
            self._leave()
            self.case_changed.emit()

    # --- saving ------------------------------------------------------------------------------------------------------

    @property
    def case(self) -> OpenCase | None:
        """The case that is open."""
        return self._screen.case

    @property
    def has_changes(self) -> bool:
        """Whether mask, network's mask or report differ from what is saved."""
        return self._screen.has_changes

    def save(
        self, *, status: Status | None = None, quality: int | None = None, comment: str | None = None
    ) -> CaseRecord:
        """Save report, the network's mask and the mask as it now is.

        The mask is stored as the annotator's where it differs from the network's, or where ``status`` says that the
        annotator is done.

        Raises
        ------
        ProjectError
            If no case is open, it is read-only, or the mask on the screen is of another image.
        StudyWriteError
            If it cannot be written. Nothing on the screen changes, and what was saved before is unchanged.

        """
        case, scan = self._require_case()
        self._autosave.flush_events()
        layer = self._session.mask_layer
        if layer is not None and not self._screen.owns(layer):
            raise ProjectError(
                f"Case {case.record.id} was not saved: the mask '{layer.name}' belongs to another image.",
                hint="Choose the case's own image in the panel and segment it.",
            )
        mask, (ai, network) = self._screen.mask(), self._screen.ai_mask()
        is_done = status in (Status.CORRECTED, Status.APPROVED)
        if is_done and mask is None:
            raise ProjectError(
                f"Case {case.record.id} has no mask.",
                hint="Press Segment, or 'Empty mask' where there is nothing to outline.",
            )
        known_ai = self._screen.saved_ai if ai is None else ai
        is_own = mask is not None and (is_done or case.record.corrected is not None or not equal(mask, known_ai))
        is_own = is_own and (case.record.corrected is None or not equal(mask, self._screen.saved_mask))
        if status is None and (mask is not None or ai is not None) and case.record.status == Status.NEW:
            status = Status.SEGMENTED
        if status is None and is_own and case.record.status == Status.APPROVED:
            status = Status.CORRECTED  # what was approved is another mask
        record = case.save(
            scan,
            Draft(
                report=self._session.report.text,
                choices=self._session.choices,
                ai=ai if ai is not None and not equal(ai, self._screen.saved_ai) else None,
                network=network,
                corrected=mask if is_own else None,
                status=status,
                annotator=self.who,
                quality=quality,
                comment=comment,
                rejected=self._screen.rejected(),
                class_names=self._session.given_names,
            ),
        )
        self._screen.note_saved(mask, known_ai)
        self._autosave.note_saved()
        self.cases_changed.emit()
        self._say(f"Saved case {record.id}.")
        return record

    def save_to(self, folder: str | PathLike[str]) -> CaseRecord:
        """Save what is on the screen into the project in a folder, adding the image where it is no case of it yet.

        Raises
        ------
        ProjectError
            If no image is on the screen, or it comes from no file.
        StudyWriteError
            As `save`.

        """
        path, layer = Path(folder).absolute(), self._session.scan_layer
        if self.case is not None:
            if self.project is not None and self.project.folder == path:
                return self.save()
            raise ProjectError(f"Case {self.case.record.id} of another project is open.", hint="Close that one first.")
        scan = layer.metadata.get(SCAN_KEY) if layer is not None else None
        source = getattr(scan, "source", None)
        if scan is None or source is None:
            raise ProjectError("The image on the screen comes from no file.", hint="Save it to a file and open that.")
        project = self.open_project(path)
        reasons = [step.reason for step in project.add([source]) if not isinstance(step, CaseAdded)]
        records = [record for record in project.cases() if record.image == Path(source).absolute()]
        if not records:
            raise ProjectError(f"{source.name} was not added: {' '.join(reasons)}", hint="Choose another project.")
        self.order = [record.id for record in project.cases()]
        case = project.open_case(records[0].id, self.who)
        self._attach(case, scan, case.report(), case.mask("ai"), case.mask("corrected"))
        self.cases_changed.emit()
        self.case_changed.emit()
        return self.save()

    def finish(self, *, quality: int | None = None, comment: str | None = None) -> CaseRecord | None:
        """Save, mark as corrected, and open the next case; returns its record, ``None`` after the last one.

        Raises as `save`; the case then stays open.
        """
        if self.case is not None and self.case.is_read_only:
            return self.next_case()
        record = self.save(status=Status.CORRECTED, quality=quality, comment=comment)
        following = self.next_case()
        if following is not None:
            self._say(f"Saved case {record.id}. This is case {following.id}.")
        return following

    def flag(self, comment: str) -> CaseRecord:
        """Save and set the case aside with a comment.

        Raises as `save`; also a `ProjectError` without a comment.
        """
        if not comment.strip():
            raise ProjectError("A case is flagged with a comment, and there is none.", hint="Write what is in doubt.")
        return self.save(status=Status.FLAGGED, comment=comment)

    def add_empty_mask(self) -> Labels:
        """Show an empty mask to draw on, where there is none.

        Raises
        ------
        ProjectError
            If no case is open, or it has a mask.

        """
        case, scan = self._require_case()
        if self._screen.mask() is not None:
            raise ProjectError(f"Case {case.record.id} has a mask already.", hint="Draw on it.")
        return self._session.adopt_mask(np.zeros(scan.shape, dtype=np.uint8))

    def _save_changes(self) -> None:
        self._autosave.flush_events()
        if self.has_changes:
            self.save()

    # --- second reader -----------------------------------------------------------------------------------------------

    def approve(self, comment: str | None = None) -> CaseRecord:
        """Agree with the open case, as second reader; changes made to its mask are saved with it.

        Raises as `save`; also a `ProjectError` where it has no mask.
        """
        return self._judge(Status.APPROVED, comment)

    def give_back(self, comment: str) -> CaseRecord:
        """Return the open case to its annotator, with a comment that says why.

        Raises as `save`; also a `ProjectError` without a comment.
        """
        if not comment.strip():
            raise ProjectError("A case is returned with a comment, and there is none.", hint="Say what to change.")
        return self._judge(Status.FLAGGED, comment)

    def _judge(self, status: Status, comment: str | None) -> CaseRecord:
        case, scan = self._require_case()
        annotator = case.record.annotator
        if self.has_changes:
            self.save()
        if status == Status.APPROVED and case.record.mask is None:
            raise ProjectError(f"Case {case.record.id} has no mask to approve.", hint="Return it, or segment it.")
        draft = Draft(status=status, reviewer=self.who, comment=comment, annotator=annotator)
        record = case.save(scan, draft)
        self.cases_changed.emit()
        self._say(f"Case {record.id} was {'approved' if status == Status.APPROVED else 'returned'}.")
        return record

    def show_outlines(self, on: bool) -> None:
        """Show the network's mask as a blue outline, and the mask itself as an outline, too; or back."""
        if self.case is None:
            return
        session, viewer = self._session, self._session._require_viewer()
        if on:
            show_outlines(viewer, self.case.record.id, session.mask_layer, self._screen.saved_ai, session.scan_layer)
        else:
            hide_outlines(viewer, session.mask_layer)

    def toggle_outlines(self) -> None:
        """Show both masks as outlines, or the mask as it was."""
        viewer = self._session._require_viewer()
        self.show_outlines(not any(is_outline(layer) for layer in viewer.layers))

    # --- recovery ----------------------------------------------------------------------------------------------------

    def recover(self, unsaved: Unsaved) -> CaseRecord:
        """Open a case with what an autosave holds, as one step that Ctrl+Z takes back; the file is then put aside.

        Raises
        ------
        ProjectError
            If the case is read-only, or the autosave no longer fits it.

        """
        project = self._require_project()
        if self.case is not None and self.case.record.id != unsaved.case_id:
            self._save_changes()
        record = self.open_case(unsaved.case_id)
        case, scan = self._require_case()
        name = unsaved.name
        recovered = case.recover(name)
        if recovered is None:
            # Opening the case has put the journal under the next free name.
            matching = [known for known in project.unsaved_of(record.id) if known.time == unsaved.time]
            name = matching[0].name if matching else name
            recovered = case.recover(name)
        if recovered is None or (recovered.mask is not None and recovered.mask.shape != scan.shape):
            raise ProjectError(
                f"Case {record.id}: the autosave no longer fits the case.", hint="It was left where it is."
            )
        if recovered.report is not None:
            self._session.set_report(recovered.report)
        if recovered.choices is not None:
            self._session.set_report(self._session.report.text, recovered.choices)
        if recovered.ai is not None and recovered.ai.shape == scan.shape:
            self._screen.recovered_ai = (recovered.ai, recovered.provenance or {})
        if recovered.mask is not None:
            layer = self._session.mask_layer
            if layer is None:
                layer = self._session.adopt_mask(np.zeros(scan.shape, dtype=np.uint8))
            write_into(layer, recovered.mask.astype(layer.data.dtype))
        self.autosave()
        project.discard_unsaved(record.id, name)
        self._forget_unsaved(unsaved)
        self._say(f"Recovered case {record.id}; it is not saved yet. {recovered.note}".strip())
        return record

    def put_aside(self, unsaved: Unsaved) -> None:
        """Offer an autosave no more; its file stays in the case's folder.

        Raises
        ------
        ProjectError
            If the project cannot be written to.

        """
        self._require_project().discard_unsaved(unsaved.case_id, unsaved.name)
        self._forget_unsaved(unsaved)

    def _forget_unsaved(self, unsaved: Unsaved) -> None:
        self.unsaved = tuple(known for known in self.unsaved if known is not unsaved)
        self.cases_changed.emit()

    # --- autosave ----------------------------------------------------------------------------------------------------

    def autosave(self) -> None:
        """Write to the journal what has changed since the last time; called every second while a case is open."""
        self._autosave.write()

    @property
    def autosaved_at(self) -> float | None:
        """When something was last written to the journal, seconds since 1970."""
        return self._autosave.at

    def note_activity(self, *_: object) -> None:
        """Take a sign of life for the active time."""
        self._autosave.note_activity()

    def close(self) -> None:
        """Write the last strokes to the journal and give the case back; may be called from any thread."""
        if self._is_closed:
            return
        self._is_closed = True
        self._adder.close()
        self._exporter.close()
        self._batch.close()
        self._autosave.close()
        if self.case is not None:
            self.case.close()

    # --- inside ------------------------------------------------------------------------------------------------------

    def _enter(
        self,
        case: OpenCase,
        scan: Scan,
        report: str,
        ai: NDArray[Any] | None,
        corrected: NDArray[Any] | None,
    ) -> None:
        self._attach(case, scan, report, ai, corrected)
        data, attributes, _ = scan_to_layer_data(scan)
        attributes["name"] = f"{case.record.id} {case.record.name}"
        layer = Image(data, **attributes)
        self._session._require_viewer().add_layer(layer)
        self._session.choose_layer(layer)
        self._session.set_report(report, case.record.choices)
        mask = ai if corrected is None else corrected
        if mask is not None:
            shown = self._session.adopt_mask(mask.astype(np.uint8) if mask.max(initial=0) <= 255 else mask)
            shown.editable = not case.is_read_only
        self._say(f"{case.why_read_only} You can look, and not save." if case.is_read_only else "")
        self.case_changed.emit()

    def _attach(
        self,
        case: OpenCase,
        scan: Scan,
        report: str,
        ai: NDArray[Any] | None,
        corrected: NDArray[Any] | None,
    ) -> None:
        """Take a case as the one on the screen; what was saved of it is what changes are told from."""
        self._screen.attach(case, scan, report, ai, corrected)
        if case.record.id in self.order:
            self._position = self.order.index(case.record.id)
        self._autosave.start()

    def _leave(self) -> None:
        """Give the case back, and take everything of it off the screen."""
        case = self.case
        self._autosave.stop()
        if case is not None:
            if not case.is_read_only:
                case.journal.remove()  # everything is saved, or is as it was
            case.close()
            viewer = self._session._require_viewer()
            for layer in [known for known in viewer.layers if self._screen.owns(known) or is_outline(known)]:
                viewer.layers.remove(layer)
        self._screen.detach()
        self._session.clear()

    def _require_project(self) -> Project:
        if self.project is None:
            raise ProjectError("No project is open.", hint="Open or make one in the cases panel.")
        return self.project

    def _require_case(self) -> tuple[OpenCase, Scan]:
        if self._screen.case is None or self._screen.scan is None:
            raise ProjectError("No case is open.", hint="Choose one in the cases panel.")
        return self._screen.case, self._screen.scan

    def _say(self, *messages: str) -> None:
        self._session._say(*(message for message in messages if message))


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # an account without a name
        return ""
