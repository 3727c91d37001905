"""The files that the panel and the palette offer for a mask, and asking where to put one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_tmca.notify import report_error
from tmca_core.errors import StudyWriteError, TmcaError

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_tmca.session import Session

# Format, as `tmca_core.io.formats.MaskFormat` calls it: what it is for people, and how the file's name ends.
EXPORTS: dict[str, tuple[str, str]] = {
    "seg": ("DICOM segmentation (SEG)", "_seg.dcm"),
    "rtstruct": ("RT structure set (RTSTRUCT)", "_rtstruct.dcm"),
    "sr": ("Structured report of the sizes (SR)", "_sr.dcm"),
    "nifti": ("NIfTI", "_mask.nii.gz"),
    "nrrd": ("NRRD", "_mask.nrrd"),
    "png": ("PNG", "_mask.png"),
    "tiff": ("TIFF", "_mask.tif"),
}


def ask_and_export(session: Session, mask_format: str, parent: QWidget | None = None) -> None:
    """Ask where a session's mask should go, and write it there in that format; what fails is said."""
    from qtpy.QtWidgets import QFileDialog

    title, ending = EXPORTS[mask_format]
    try:
        if session.mask_layer is None:
            raise StudyWriteError("There is no mask to export.", hint="Press Segment first.")
        suggested = session.suggested_path()
        stem = suggested.name.removesuffix(".gz").removesuffix(suggested.suffixes[0]).removesuffix("_mask")
        dot = ending[ending.index(".") :]
        path, _ = QFileDialog.getSaveFileName(
            parent, f"Export {title}", str(suggested.with_name(stem + ending)), f"{title} (*{dot})"
        )
        if path:
            session.export(path if path.lower().endswith(dot) else path + dot, mask_format)
    except (TmcaError, ValueError) as error:
        session._say(report_error(error))
