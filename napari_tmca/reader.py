"""napari's reader: scans by tmca_core's readers, with spacing, units and provenance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_tmca.layers import scan_to_layer_data
from tmca_core.io import read_scan

if TYPE_CHECKING:
    from collections.abc import Callable

LayerData = tuple[Any, dict[str, Any], str]


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[LayerData]] | None:
    """Return the reader for files; folders are opened by the command "Open DICOM folder"."""
    paths = [path] if isinstance(path, str) else path
    return read if all(Path(p).is_file() for p in paths) else None


def read(path: str | list[str]) -> list[LayerData]:
    """Read each file as one image layer."""
    return [scan_to_layer_data(read_scan(p)) for p in ([path] if isinstance(path, str) else path)]
