"""napari's reader: scans by tmca_core's readers, with spacing, units and provenance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_tmca.choose import read_or_ask
from napari_tmca.layers import scan_to_layer_data
from tmca_core.io import holds_dicom

if TYPE_CHECKING:
    from collections.abc import Callable

LayerData = tuple[Any, dict[str, Any], str]


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[LayerData] | list[tuple[None]]] | None:
    """Return the reader for files, and for folders in which DICOM files lie."""
    paths = [path] if isinstance(path, str) else path
    is_ours = all(holds_dicom(Path(p)) if Path(p).is_dir() else Path(p).is_file() for p in paths)
    return read if is_ours else None


def read(path: str | list[str]) -> list[LayerData] | list[tuple[None]]:
    """Read each file or folder as one image layer; which of several series is asked where there is somebody to ask.

    What was cancelled gives no layer; where nothing else was asked for, the one answer that napari takes for that.
    """
    scans = [read_or_ask(Path(p)) for p in ([path] if isinstance(path, str) else path)]
    layers: list[LayerData] = [scan_to_layer_data(scan) for scan in scans if scan is not None]
    return layers or [(None,)]
