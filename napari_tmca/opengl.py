"""The canvas's OpenGL context, which napari leaves alone when it should not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtOpenGLWidgets import QOpenGLWidget

if TYPE_CHECKING:
    from napari import Viewer


def make_canvas_current(viewer: Viewer) -> None:
    """Make the context that the canvas draws in the current one, before a layer is removed.

    napari deletes the programs of a removed layer at once, in whatever context is current. Between two events that is
    the one in which Qt puts the window together; there a program is freed that the canvas still has bound, and Mesa
    ends the process at the next drawing (seen with llvmpipe 22.3.6).
    """
    try:
        canvases = viewer.window.main_menu.window().findChildren(QOpenGLWidget)
    except RuntimeError:
        return  # the window is gone, and its canvas with it
    for canvas in canvases:
        canvas.makeCurrent()
