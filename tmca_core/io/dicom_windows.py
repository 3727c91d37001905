"""The windows that a DICOM file recommends for its own picture."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pydicom
from pydicom.errors import InvalidDicomError

if TYPE_CHECKING:
    from pathlib import Path

_TAGS = ["WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "PhotometricInterpretation"]
_MAX_TRIED = 20  # files of a folder that are looked at for one with a header


def read_windows(source: Path) -> dict[str, tuple[float, float]]:
    """Return lowest and highest intensity of each window in a file's header, by its explanation, in the file's order.

    In units after the rescale slope, as `tmca_core.io.read_scan` gives pixels. Empty for what is no DICOM, has no such
    window, or is MONOCHROME1, whose pixels are turned around when they are read. Never raises for what the file holds.

    Parameters
    ----------
    source : Path
        A file, or the folder of a series, of which the first file with a header counts.

    """
    header = _header(source)
    if header is None or str(header.get("PhotometricInterpretation", "")) != "MONOCHROME2":
        return {}
    try:
        centers, widths = (_numbers(header.get(name)) for name in ("WindowCenter", "WindowWidth"))
    except (TypeError, ValueError):
        return {}
    told = _values(header.get("WindowCenterWidthExplanation"))
    windows: dict[str, tuple[float, float]] = {}
    for i, (center, width) in enumerate(zip(centers, widths, strict=False)):
        if width > 1:
            name = str(told[i]).strip() if i < len(told) else ""
            name = name or (f"From the file {i + 1}" if len(centers) > 1 else "From the file")
            # PS3.3 C.11.2.1.2.1: the window spans width - 1 around half a unit below its centre.
            windows.setdefault(name, (center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2))
    return windows


def _header(source: Path) -> pydicom.Dataset | None:
    try:
        if source.is_dir():
            with os.scandir(source) as entries:
                paths = sorted(entry.path for entry in entries if entry.is_file())[:_MAX_TRIED]
        else:
            paths = [os.fspath(source)]
    except OSError:
        return None
    for path in paths:
        try:
            return pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
        except (OSError, InvalidDicomError, ValueError, KeyError, AttributeError):
            continue
    return None


def _values(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, (list, tuple, pydicom.multival.MultiValue)) else [value]


def _numbers(value: Any) -> list[float]:
    return [float(v) for v in _values(value)]
