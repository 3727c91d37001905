"""Work on the cases of a project in one viewer: open, autosave, save, next. A script uses it as the panel does.

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
from napari_tmca.layers import SCAN_KEY, scan_to_layer_data
from napari_tmca.onscreen import OnScreen
from napari_tmca.outlines import is_outline
from napari_tmca.project_jobs import ProjectJobs
from napari_tmca.recovery import Recovery
from napari_tmca.review import Review
from napari_tmca.settings import change_settings, read_settings
from tmca_core.errors import ConfigError, ProjectError, TmcaError
from tmca_core.project import CaseAdded, CaseRecord, Project, Status

if TYPE_CHECKING:
    from os import PathLike

    from numpy.typing import NDArray

    from napari_tmca.session import Session
    from napari_tmca.worker import InferenceWorker
    from tmca_core.project import OpenCase
    from tmca_core.study import Scan


class Casework:
    """The project of a session, and the case that is open in it.

    Signals (psygnal), without argument: `project_changed`, `cases_changed` (records, or which there are),
    `case_changed` (another case is open, or none), `autosaved`.

    Attributes
    ----------
    project : Project or None
    who : str
        Annotator or second reader, as it stands in records.
    order : list of str
        Ids through which `next_case` goes; the panel sets it to what its table shows.
    jobs : ProjectJobs
        What goes on in the background.
    review : Review
        What the second reader does.
    recovery : Recovery
        Unsaved work that was found.

    """

    project_changed = Signal()
    cases_changed = Signal()
    case_changed = Signal()
    autosaved = Signal()

    def __init__(self, session: Session, worker: InferenceWorker) -> None:
        self._session = session
        self.project: Project | None = None
        self.who = read_settings().annotator or _user()
        self.order: list[str] = []
        self._position = 0
        self._is_closed = False
        self._screen = OnScreen(session)
        self._autosave = Autosave(session, self._screen, lambda: self.who)
        self.jobs = ProjectJobs(self, session, worker)
        self.review = Review(self, session, self._screen)
        self.recovery = Recovery(self, session, self._screen)
        self.jobs.finished.connect(self._on_job)
        self._autosave.written.connect(self.autosaved.emit)
        self._autosave.said.connect(self._say)
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
        self.jobs.cancel_segmenting()
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
        self.recovery.look_in(project)
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
            self.recovery.look_in(self.project)
            self.cases_changed.emit()

    def _on_job(self, told: tuple[str, ...]) -> None:
        self._say(*told)
        self.refresh()

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
        project = self.require_project()
        if case_id == self.jobs.case_under_way:
            raise ProjectError(f"Case {case_id} is being segmented at this moment.", hint="Open it again in a moment.")
        self.save_changes()
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
        self.require_project()
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
            self.save_changes()
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
        case, scan = self.require_case()
        self._autosave.flush_events()
        layer = self._session.mask_layer
        if layer is not None and not self._screen.owns(layer):
            raise ProjectError(
                f"Case {case.record.id} was not saved: the mask '{layer.name}' belongs to another image.",
                hint="Choose the case's own image in the panel and segment it.",
            )
        mask, known_ai = self._screen.mask(), self._screen.known_ai()
        draft = self._screen.draft(status, annotator=self.who, quality=quality, comment=comment)
        record = case.save(scan, draft)
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
        steps = project.add([source], scan.reading)
        reasons = [step.reason for step in steps if not isinstance(step, CaseAdded)]
        image = Path(source).absolute()
        records = [r for r in project.cases() if r.image == image and r.reading == scan.reading]
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
        case, scan = self.require_case()
        if self._screen.mask() is not None:
            raise ProjectError(f"Case {case.record.id} has a mask already.", hint="Draw on it.")
        return self._session.adopt_mask(np.zeros(scan.shape, dtype=np.uint8))

    def save_changes(self) -> None:
        """Save the open case where it has changes; raises as `save`."""
        self._autosave.flush_events()
        if self.has_changes:
            self.save()

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
        self.jobs.close()
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

    def require_project(self) -> Project:
        """Return the open project.

        Raises
        ------
        ProjectError
            If none is open.

        """
        if self.project is None:
            raise ProjectError("No project is open.", hint="Open or make one in the cases panel.")
        return self.project

    def require_case(self) -> tuple[OpenCase, Scan]:
        """Return the open case, and its scan.

        Raises
        ------
        ProjectError
            If none is open.

        """
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
