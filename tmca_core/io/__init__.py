"""Files to values and values to files. No torch, no GUI."""

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
