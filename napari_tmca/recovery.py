"""Unsaved work that an autosave holds: offered when its project is opened, taken up or put aside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_tmca.layers import write_into
from tmca_core.errors import ProjectError

if TYPE_CHECKING:
    from napari_tmca.casework import Casework
    from napari_tmca.onscreen import OnScreen
    from napari_tmca.session import Session
    from tmca_core.project import CaseRecord, Project, Unsaved


class Recovery:
    """What can be recovered of a project.

    Parameters
    ----------
    casework : Casework
        Which owns this.
    session : Session
    screen : OnScreen

    Attributes
    ----------
    unsaved : tuple of Unsaved

    """

    def __init__(self, casework: Casework, session: Session, screen: OnScreen) -> None:
        self.unsaved: tuple[Unsaved, ...] = ()
        self._casework, self._session, self._screen = casework, session, screen

    def look_in(self, project: Project) -> None:
        """See what a project has."""
        self.unsaved = tuple(project.unsaved())

    def recover(self, unsaved: Unsaved) -> CaseRecord:
        """Open a case with what an autosave holds, as one step that Ctrl+Z takes back; the file is then put aside.

        Raises
        ------
        ProjectError
            If the case is read-only, or the autosave no longer fits it.

        """
        project = self._casework.require_project()
        case = self._casework.case
        if case is not None and case.record.id != unsaved.case_id:
            self._casework.save_changes()
        record = self._casework.open_case(unsaved.case_id)
        case, scan = self._casework.require_case()
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
        self._casework.autosave()
        project.discard_unsaved(record.id, name)
        self._forget_unsaved(unsaved)
        self._session._say(f"Recovered case {record.id}; it is not saved yet. {recovered.note}".strip())
        return record

    def put_aside(self, unsaved: Unsaved) -> None:
        """Offer an autosave no more; its file stays in the case's folder.

        Raises
        ------
        ProjectError
            If the project cannot be written to.

        """
        self._casework.require_project().discard_unsaved(unsaved.case_id, unsaved.name)
        self._forget_unsaved(unsaved)

    def _forget_unsaved(self, unsaved: Unsaved) -> None:
        self.unsaved = tuple(known for known in self.unsaved if known is not unsaved)
        self._casework.cases_changed.emit()
