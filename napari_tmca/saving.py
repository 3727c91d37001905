"""A mask layer to a file on the scan's own grid, and where such a file goes."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_tmca.class_names import names_in
from napari_tmca.layers import PROVENANCE_KEY, SCAN_KEY
from napari_tmca.settings import read_settings

if TYPE_CHECKING:
    from napari.layers import Labels

    from tmca_core.study import Report, Scan


def save_layer(
    path: Path, layer: Labels, report: Report | None, *, is_edited: bool, mask_format: str = ""
) -> tuple[str, ...]:
    """Write a mask layer; return what the user should know.

    Parameters
    ----------
    path, layer
    report : Report or None
        Names what the network outlined, where nobody named it.
    is_edited : bool
        Whether somebody painted in it.
    mask_format : str
        As `tmca_core.io.formats.MaskFormat` calls it; that of the suffix where not given.

    Raises
    ------
    GeometryError, StudyWriteError, ValueError
        As `tmca_core.io.formats.save_mask`.

    """
    from tmca_core.io.formats import MaskFormat, export_mask, name_of_target, save_mask

    save = partial(export_mask, MaskFormat(mask_format)) if mask_format else save_mask
    return tuple(
        save(
            path,
            np.asarray(layer.data),
            layer.metadata[SCAN_KEY],
            provenance=layer.metadata.get(PROVENANCE_KEY),
            is_edited=is_edited,
            names={1: name_of_target(report), **names_in(layer.features)},
        )
    )


def suggest_path(scan: Scan | None) -> Path:
    """Return where saving would go: beside the scan, or in the folder of the preferences."""
    source = scan.source if scan is not None else None
    folder = read_settings().save_folder or (source.parent if source else Path.home())
    is_nifti = scan is not None and (scan.ndim == 3 or (source and source.name.endswith((".nii", ".nii.gz"))))
    stem = source.name.split(".")[0] if source else "scan"
    return folder / f"{stem}_mask{'.nii.gz' if is_nifti else '.png'}"
