"""The napari plugin: a scan and a report in, an editable mask and heatmaps out. Research use only."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari import Viewer

    from napari_tmca.session import Session

__all__ = ["open_workbench"]


def open_workbench(viewer: Viewer) -> Session:
    """Dock the panel in a viewer and return the session that it shows and edits.

    Calling it again brings the same panel to the front and returns the same session.
    """
    from napari_tmca.commands import show_workbench
    from napari_tmca.session import session_of

    show_workbench(viewer)
    return session_of(viewer)
