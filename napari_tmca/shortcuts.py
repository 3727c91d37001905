"""Keys of the plugin, in napari's own list of shortcuts, where they can be changed."""

from __future__ import annotations

import napari
from napari.settings import get_settings
from napari.utils.action_manager import action_manager

from napari_tmca.notify import report_error
from napari_tmca.session import session_of
from tmca_core.errors import TmcaError

FINISH = "napari-tmca:finish_case"
FINISH_KEY = "Ctrl+Enter"

_registered: set[str] = set()


def register_shortcuts() -> None:
    """Enter the plugin's actions once per process; keys chosen in napari's preferences are taken over."""
    if FINISH in _registered:
        return
    _registered.add(FINISH)
    action_manager.register_action(
        FINISH, finish_case, "TMCA: save the case, mark it done, open the next", napari.Viewer
    )
    for key in get_settings().shortcuts.shortcuts.get(FINISH, [FINISH_KEY]):
        action_manager.bind_shortcut(FINISH, str(key))


def finish_case(viewer: napari.Viewer) -> None:
    """Save the open case of a viewer, mark it as corrected, and open the next."""
    session = session_of(viewer)
    try:
        session.cases.finish()
    except TmcaError as error:
        session._say(report_error(error))
