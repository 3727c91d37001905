"""Every action of the panels as a command: one table for napari's palette, its list of shortcuts, the help and docs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari  # noqa: TC002  (napari reads the annotations of commands)

from napari_tmca.exporting import ask_and_export
from napari_tmca.notify import report_error
from napari_tmca.session import session_of
from tmca_core.errors import TmcaError

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_tmca.session import Session


@dataclass(frozen=True)
class Action:
    """One thing to do with the session of a viewer.

    Attributes
    ----------
    name : str
        Of the command ``napari-tmca.<name>``, and of the shortcut ``napari-tmca:<name>``.
    title : str
    key : str
        As napari writes it; "" for none unless the user chooses one.
    act : callable
        Takes the session.

    """

    name: str
    title: str
    key: str
    act: Callable[[Session], object]

    @property
    def shortcut(self) -> str:
        """Its name in napari's list of shortcuts."""
        return f"napari-tmca:{self.name}"

    def __call__(self, viewer: napari.Viewer) -> None:
        """Do it in a viewer; where it cannot be done, say why."""
        session = session_of(viewer)
        try:
            self.act(session)
        except (TmcaError, ValueError) as error:
            session._say(report_error(error))


def _toggle_stroke(stroke: Any, session: Session) -> None:
    session.corrector.set_stroke(None if session.canvas.stroke == stroke else stroke)


def _toggle_values(kind: Any, session: Session) -> None:
    session.maps.show_values(kind, not session.maps.is_shown(kind))


def _toggle_image_only(session: Session) -> None:
    session.answer.show_image_only(not session.mask.image_only)


def _edit(tool: str, session: Session) -> None:
    session.edit(tool)


def _ask_and_save(session: Session) -> None:
    from qtpy.QtWidgets import QFileDialog

    path, _ = QFileDialog.getSaveFileName(None, "Save labels", str(session.suggested_path()))
    if path:
        session.save_labels(Path(path))


def _export(mask_format: str, session: Session) -> None:
    ask_and_export(session, mask_format)


def _show_outlines(session: Session) -> None:
    session.cases.review.toggle_outlines()


ACTIONS: tuple[Action, ...] = (
    Action("segment", "Segment the image by the report", "Ctrl+Alt+G", lambda s: s.segment()),
    Action("update", "Segment again; painted pixels stay", "Ctrl+Alt+U", lambda s: s.update()),
    Action("cancel", "Give up the segmentation under way", "", lambda s: s.cancel()),
    Action("include", "Strokes that include: on or off", "Ctrl+Alt+I", partial(_toggle_stroke, "include")),
    Action("exclude", "Strokes that exclude: on or off", "Ctrl+Alt+E", partial(_toggle_stroke, "exclude")),
    Action("undo", "Take back the last change of the mask", "", lambda s: s.undo()),
    Action("redo", "Do the last change of the mask again", "", lambda s: s.redo()),
    Action("fill_holes", "Fill the holes of the mask", "", partial(_edit, "fill holes")),
    Action("smooth", "Smooth the mask", "", partial(_edit, "smooth")),
    Action("keep_largest", "Keep the largest part of the mask", "", partial(_edit, "keep largest")),
    Action("remove_specks", "Remove specks from the mask", "", partial(_edit, "remove specks")),
    Action("grow", "Grow the mask", "", partial(_edit, "grow")),
    Action("shrink", "Shrink the mask", "", partial(_edit, "shrink")),
    Action("copy_slice", "Copy the mask to the next slice", "", lambda s: s.corrector.copy_to_next_slice()),
    Action("fill_slices", "Fill the mask between slices", "", lambda s: s.corrector.interpolate_slices()),
    Action("image_only", "Mask of the image alone: on or off", "", _toggle_image_only),
    Action("probability", "Layer of the probability: on or off", "", partial(_toggle_values, "probability")),
    Action("uncertainty", "Layer of the uncertainty: on or off", "", partial(_toggle_values, "uncertainty")),
    Action("pin_map", "Keep the map shown as a layer", "", lambda s: s.maps.pin()),
    Action("save_labels", "Save labels to a file", "", _ask_and_save),
    Action("export_seg", "Export the mask as DICOM segmentation", "", partial(_export, "seg")),
    Action("export_rtstruct", "Export the mask as RT structure set", "", partial(_export, "rtstruct")),
    Action("export_sr", "Export the sizes as structured report", "", partial(_export, "sr")),
    Action("continue_project", "Open the project of the last time", "", lambda s: s.cases.continue_project()),
    Action("finish_case", "Save the case, mark it done, open the next", "Ctrl+Enter", lambda s: s.cases.finish()),
    Action("next_case", "Save changes and open the next case", "Ctrl+Alt+N", lambda s: s.next_case()),
    Action("previous_case", "Save changes and open the case before", "Ctrl+Alt+P", lambda s: s.cases.next_case(-1)),
    Action("save_case", "Save the case", "Ctrl+Alt+S", lambda s: s.save()),
    Action("empty_mask", "Start the case with an empty mask", "", lambda s: s.cases.add_empty_mask()),
    Action("segment_all", "Segment all new cases of the list", "", lambda s: s.cases.jobs.segment_all()),
    Action("outlines", "Outlines of both masks: on or off", "Ctrl+Alt+O", _show_outlines),
    Action("approve", "Approve the case, as second reader", "", lambda s: s.cases.review.approve()),
)
# Where a key is a button's own, for what has no command of its own.
FIXED_KEYS: tuple[tuple[str, str], ...] = (
    ("Alt+1 ... Alt+9", "Window and level, as listed under View"),
    ("Alt+Up, Alt+Down", "Case before and next, with the focus in the cases panel"),
    ("Drag, right button", "Window and level: up brighter, right wider"),
    ("Ctrl+Z, Ctrl+Shift+Z", "Take back and do again, with the mask selected (napari's own)"),
)
_BY_NAME = {action.name: action for action in ACTIONS}


def action(name: str) -> Action:
    """Return the action of a name."""
    return _BY_NAME[name]


def _command(name: str) -> Callable[[napari.Viewer], None]:
    def run(viewer: napari.Viewer) -> None:
        _BY_NAME[name](viewer)

    run.__name__, run.__doc__ = name, _BY_NAME[name].title
    return run


# The manifest names functions; these are they.
segment, update, cancel, include, exclude, undo, redo = map(
    _command, ("segment", "update", "cancel", "include", "exclude", "undo", "redo")
)
fill_holes, smooth, keep_largest, remove_specks, grow, shrink = map(
    _command, ("fill_holes", "smooth", "keep_largest", "remove_specks", "grow", "shrink")
)
copy_slice, fill_slices, image_only, probability, uncertainty, pin_map, save_labels = map(
    _command, ("copy_slice", "fill_slices", "image_only", "probability", "uncertainty", "pin_map", "save_labels")
)
export_seg, export_rtstruct, export_sr = map(_command, ("export_seg", "export_rtstruct", "export_sr"))
continue_project, finish_case, next_case, previous_case, save_case = map(
    _command, ("continue_project", "finish_case", "next_case", "previous_case", "save_case")
)
empty_mask, segment_all, outlines, approve = map(_command, ("empty_mask", "segment_all", "outlines", "approve"))
