"""Files to values and values to files. No torch, no GUI. What is named here is imported when it is first used."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tmca_core.io._dicom_series import holds_dicom
    from tmca_core.io._files import SCAN_SUFFIXES
    from tmca_core.io._steps import FilesRead
    from tmca_core.io.read import read_mask, read_scan, read_scan_steps
    from tmca_core.io.write import WRITE_SUFFIXES, write_json, write_map, write_mask, write_overlay

__all__ = [
    "SCAN_SUFFIXES",
    "WRITE_SUFFIXES",
    "FilesRead",
    "holds_dicom",
    "read_mask",
    "read_scan",
    "read_scan_steps",
    "write_json",
    "write_map",
    "write_mask",
    "write_overlay",
]

# The child process that decodes pictures imports a part of this package, and must not wait for pydicom and nibabel.
_HOMES = {
    "holds_dicom": "_dicom_series",
    "SCAN_SUFFIXES": "_files",
    "FilesRead": "_steps",
    **dict.fromkeys(("read_mask", "read_scan", "read_scan_steps"), "read"),
    **dict.fromkeys(("WRITE_SUFFIXES", "write_json", "write_map", "write_mask", "write_overlay"), "write"),
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
