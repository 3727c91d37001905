"""napari's writers: labels and maps on the grid of the scan that they belong to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_tmca.class_names import names_in
from napari_tmca.layers import PROVENANCE_KEY, scan_of_metadata
from tmca_core.io import write_map
from tmca_core.io.formats import save_mask


def write_labels(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a Labels layer; to ``.dcm`` as a DICOM segmentation.

    A network's mask is marked there as one that a person worked on, for in a viewer it may have been painted in.
    """
    labels = np.asarray(data)
    scan = scan_of_metadata(attributes, labels.shape)
    provenance = attributes.get("metadata", {}).get(PROVENANCE_KEY)
    names = names_in(attributes.get("features"))
    save_mask(Path(path), labels, scan, provenance=provenance, is_edited=True, names=names)
    return [path]


def write_image(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write an Image layer with values 0..1, such as an attention map."""
    values = np.asarray(data, dtype=np.float32)
    write_map(Path(path), values, scan_of_metadata(attributes, values.shape))
    return [path]
