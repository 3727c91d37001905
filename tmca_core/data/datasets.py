"""Open a data folder, whatever its layout; read a case's reference; look for patients on both sides of a split."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from tmca_core.data.layouts import LAYOUTS, Layout
from tmca_core.errors import DatasetError
from tmca_core.io import read_mask

if TYPE_CHECKING:
    from os import PathLike

    import numpy as np
    from numpy.typing import NDArray

    from tmca_core.data.case import Case, Dataset


def open_dataset(folder: str | PathLike[str], layout: str = "auto") -> Dataset:
    """Read a data folder's list of cases; no image is opened.

    Parameters
    ----------
    folder : path
        The folder.
    layout : str
        Name of a layout, or "auto" to recognise it by its files.

    Raises
    ------
    DatasetError
        If the folder is not there, has no known layout, or is incomplete (everything missing named at once).

    """
    path = Path(folder).expanduser()
    if not path.is_dir():
        what = "a file" if path.exists() else "nothing there"
        raise DatasetError(f"{path}: expected a data folder, got {what}.", hint="Check the path.")
    return _choose_layout(path, layout).read(path)


def _choose_layout(folder: Path, name: str) -> Layout:
    if name == "auto":
        for layout in LAYOUTS:
            if layout.detects(folder):
                return layout
        known = "; or ".join(layout.expects for layout in LAYOUTS)
        raise DatasetError(f"{folder}: expected {known}; got none of them.", hint="Check the path, or name the layout.")
    for layout in LAYOUTS:
        if layout.name == name:
            return _checked(folder, layout)
    names = ", ".join(layout.name for layout in LAYOUTS)
    raise DatasetError(f"Layout '{name}': expected auto, {names}.", hint="Choose one of the layouts named.")


def _checked(folder: Path, layout: Layout) -> Layout:
    if layout.detects(folder):
        return layout
    raise DatasetError(
        f"{folder}: expected layout '{layout.name}' ({layout.expects}), the folder does not have it.",
        hint="Check the path, or use layout 'auto'.",
    )


def read_reference(case: Case, *, in_process: bool = False) -> NDArray[np.bool_]:
    """Read a case's reference mask on its file's own grid; ``in_process`` as for `tmca_core.io.read_mask`.

    Returns
    -------
    NDArray[np.bool_], shape (Y, X)
        ``True`` is target; may be empty on purpose.

    Raises
    ------
    DatasetError
        If the case has no reference.
    StudyReadError
        If the file cannot be read as a mask.

    """
    if case.mask is None:
        raise DatasetError(
            f"{case.image.name}: expected a reference mask, the data folder has none for it.",
            hint="Leave the case out, or add a mask.",
        )
    return read_mask(case.mask, in_process=in_process)


def patients_in_two_splits(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    """Return the patients whose cases stand in more than one split, with these splits; empty is how it should be."""
    splits_of: dict[str, dict[str, None]] = defaultdict(dict)
    for case in dataset.cases:
        splits_of[case.patient][case.split] = None
    return {patient: tuple(splits) for patient, splits in splits_of.items() if len(splits) > 1}
