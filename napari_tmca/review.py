"""The second reader: compares both masks of the open case, agrees, or returns it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_tmca.outlines import hide_outlines, is_outline, show_outlines
from tmca_core.errors import ProjectError
from tmca_core.project import Draft, Status

if TYPE_CHECKING:
    from napari_tmca.casework import Casework
    from napari_tmca.onscreen import OnScreen
    from napari_tmca.session import Session
    from tmca_core.project import CaseRecord


class Review:
    """Judges the open case.

    Parameters
    ----------
    casework : Casework
        Which owns this.
    session : Session
    screen : OnScreen

    """

    def __init__(self, casework: Casework, session: Session, screen: OnScreen) -> None:
        self._casework, self._session, self._screen = casework, session, screen

    def approve(self, comment: str | None = None) -> CaseRecord:
        """Agree with the open case, as second reader; changes made to its mask are saved with it.

        Raises as `Casework.save`; also a `ProjectError` where it has no mask.
        """
        return self._judge(Status.APPROVED, comment)

    def give_back(self, comment: str) -> CaseRecord:
        """Return the open case to its annotator, with a comment that says why.

        Raises as `Casework.save`; also a `ProjectError` without a comment.
        """
        if not comment.strip():
            raise ProjectError("A case is returned with a comment, and there is none.", hint="Say what to change.")
        return self._judge(Status.FLAGGED, comment)

    def _judge(self, status: Status, comment: str | None) -> CaseRecord:
        case, scan = self._casework.require_case()
        annotator = case.record.annotator
        if self._casework.has_changes:
            self._casework.save()
        if status == Status.APPROVED and case.record.mask is None:
            raise ProjectError(f"Case {case.record.id} has no mask to approve.", hint="Return it, or segment it.")
        draft = Draft(status=status, reviewer=self._casework.who, comment=comment, annotator=annotator)
        record = case.save(scan, draft)
        self._casework.cases_changed.emit()
        self._session._say(f"Case {record.id} was {'approved' if status == Status.APPROVED else 'returned'}.")
        return record

    def show_outlines(self, on: bool) -> None:
        """Show the network's mask as a blue outline, and the mask itself as an outline, too; or back."""
        case = self._casework.case
        if case is None:
            return
        session, viewer = self._session, self._session._require_viewer()
        if on:
            show_outlines(viewer, case.record.id, session.mask_layer, self._screen.saved_ai, session.scan_layer)
        else:
            hide_outlines(viewer, session.mask_layer)

    def toggle_outlines(self) -> None:
        """Show both masks as outlines, or the mask as it was."""
        viewer = self._session._require_viewer()
        self.show_outlines(not any(is_outline(layer) for layer in viewer.layers))
