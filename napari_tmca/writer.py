"""napari's writers: labels and maps on the grid of the scan that they belong to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_tmca.layers import scan_of_metadata
from tmca_core.io import write_map, write_mask


def write_labels(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a Labels layer."""
    labels = np.asarray(data)
    write_mask(Path(path), labels, scan_of_metadata(attributes, labels.shape))
    return [path]


def write_image(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write an Image layer with values 0..1, such as an attention map."""
    values = np.asarray(data, dtype=np.float32)
    write_map(Path(path), values, scan_of_metadata(attributes, values.shape))
    return [path]
