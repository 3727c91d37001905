"""How a single image is turned so that it is seen as images of its kind are read, the patient's right at the left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tmca_core.geometry import NativeGrid, plan_reading, ras_from_lps

if TYPE_CHECKING:
    from pydicom import Dataset

    from tmca_core.io._dicom_stack import Plane

PROJECTIONS = {"CR", "DX", "MG", "RG", "RF", "XA", "IO", "PX"}
_AXES = {"L": "LR", "R": "LR", "A": "AP", "P": "AP", "H": "HF", "F": "HF"}


def plan_slice(plane: Plane, rows: int, columns: int, thickness_mm: float | None) -> NativeGrid:
    """Return how a slice with a place in space is turned; its affine takes a thickness of 1 mm where none is stated."""
    affine = np.eye(4)
    affine[:3, 0] = plane.along_row * plane.spacing_mm[1]
    affine[:3, 1] = plane.along_column * plane.spacing_mm[0]
    affine[:3, 2] = plane.normal * (thickness_mm or 1.0)
    affine[:3, 3] = plane.position
    return plan_reading((columns, rows), ras_from_lps(affine))


def plan_projection(dataset: Dataset, rows: int, columns: int) -> tuple[NativeGrid | None, tuple[str, ...]]:
    """Return how a radiograph is turned, None where it stays as it is, and notes.

    PatientOrientation names where rows and columns lead. A frontal view is turned so that the patient's right is at the
    left and the head at the top. ViewPosition (PA, AP) tells from where the rays came, not which side is shown where.
    """
    if dataset.get("Modality") not in PROJECTIONS or dataset.get("Modality") == "MG":
        return None, ()  # breasts are shown with the chest wall in the middle, by custom
    row, column = _directions(dataset)
    if not row or _AXES[row] == _AXES[column]:
        return None, ("The file does not state where the patient's right is: taken to be at the left of the picture.",)
    if _AXES[row] == "HF" or _AXES[column] != "HF":
        return None, (f"The rows lead to {row} and the columns to {column}: shown as stored.",)
    flips = (False, column == "H", row == "R")
    notes = ("Stored with the patient's right at the right: turned round.",) * flips[2]
    notes += ("Stored with the head at the bottom: turned upside down.",) * flips[1]
    if _AXES[row] == "AP":
        notes += ("A lateral view.",)
    grid = NativeGrid((columns, rows), None, (2, 1, 0), flips, is_slice=True)
    return (grid if any(flips) else None), notes


def _directions(dataset: Dataset) -> tuple[str, str]:
    """Return the letters to which rows and columns lead mostly; two empty ones where they are not stated."""
    value = dataset.get("PatientOrientation")
    if value is None or isinstance(value, str) or len(value) != 2:
        return "", ""
    row, column = (str(part)[:1].upper() for part in value)
    return (row, column) if row in _AXES and column in _AXES else ("", "")
