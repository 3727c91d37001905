"""Menu commands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_tmca.notify import report_error
from tmca_core.errors import TmcaError

if TYPE_CHECKING:
    from napari import Viewer
    from qtpy.QtWidgets import QDialog

PLUGIN, PANEL, CASES_PANEL = "napari-tmca", "Segment by report", "Cases"


def show_workbench(viewer: Viewer) -> None:
    """Dock the panel, or bring it to the front."""
    viewer.window.add_plugin_dock_widget(PLUGIN, PANEL)


def show_cases(viewer: Viewer) -> None:
    """Dock the cases of a project, or bring them to the front."""
    # A tab beside the panel of the report: one above the other, neither has room on a small screen.
    viewer.window.add_plugin_dock_widget(PLUGIN, CASES_PANEL, tabify=True)


def show_keys(viewer: Viewer) -> QDialog:
    """Show every action with its key, as the user has it now; the window does not stand in the way."""
    from qtpy.QtWidgets import QApplication

    from napari_tmca.widgets.keys import KeysDialog

    dialog = KeysDialog(QApplication.activeWindow())
    dialog.show()
    return dialog


def show_first_steps(viewer: Viewer) -> None:
    """Show the first steps in the panel, which is docked where it is not yet."""
    from napari_tmca.session import session_of

    show_workbench(viewer)
    session_of(viewer).first_steps.show()


def open_scan(viewer: Viewer) -> None:
    """Ask for a file and open the scan in it; where there are several, ask which."""
    from qtpy.QtWidgets import QFileDialog

    path, _ = QFileDialog.getOpenFileName(None, "Open scan")
    if path:
        _open(viewer, Path(path))


def open_dicom_folder(viewer: Viewer) -> None:
    """Ask for a folder and open the DICOM series in it; where there are several, ask which."""
    from qtpy.QtWidgets import QFileDialog

    folder = QFileDialog.getExistingDirectory(None, "Open DICOM folder")
    if folder:
        _open(viewer, Path(folder))


def _open(viewer: Viewer, path: Path) -> None:
    from napari_tmca.choose import read_or_ask
    from napari_tmca.session import session_of

    try:
        scan = read_or_ask(path)
        if scan is not None:
            session_of(viewer).open_scan(path, scan)
    except TmcaError as error:
        report_error(error)
