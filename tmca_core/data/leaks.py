"""Cases that a training may have seen from another split: nearly equal pictures, one file, or one patient in both."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tmca_core.data.datasets import patients_in_two_splits
from tmca_core.data.fingerprint import fingerprint, near_duplicates
from tmca_core.errors import GeometryError, StudyReadError
from tmca_core.io import read_scan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from tmca_core.data.case import Dataset


@dataclass(frozen=True)
class Twins:
    """Two nearly equal pictures, or one picture, in two splits.

    Attributes
    ----------
    ids, splits : tuple of str
        A case of each, and where it stands.
    images : tuple of Path
        Their files.
    correlation : float
        Of their thumbnails, after what all pictures share is taken off; 1 for one file.

    """

    ids: tuple[str, str]
    splits: tuple[str, str]
    images: tuple[Path, Path]
    correlation: float


def read_fingerprints(dataset: Dataset) -> Iterator[tuple[Path, NDArray[np.float32] | None]]:
    """Yield every picture of a folder once, with its fingerprint; ``None`` where it cannot be read."""
    for image in dict.fromkeys(case.image for case in dataset.cases):
        try:
            yield image, fingerprint(read_scan(image))
        except (StudyReadError, GeometryError):
            yield image, None


def find_twins(dataset: Dataset, prints: Mapping[Path, NDArray[np.float32]]) -> tuple[Twins, ...]:
    """Return the pairs of pictures that stand in two splits, one file first, then the most alike first.

    Parameters
    ----------
    dataset : Dataset
        The folder.
    prints : Mapping of Path to NDArray[np.float32]
        From `read_fingerprints`, of the pictures that could be read.

    """
    splits: dict[Path, dict[str, str]] = defaultdict(dict)
    for case in dataset.cases:
        if case.image in prints:
            splits[case.image].setdefault(case.split, case.id)
    twins: list[Twins] = []
    for path, ids in splits.items():
        (first, first_id), *others = ids.items()
        twins += [Twins((first_id, other_id), (first, other), (path, path), 1.0) for other, other_id in others]
    once = [path for path, ids in splits.items() if len(ids) == 1]
    if once:
        names = [next(iter(splits[path])) for path in once]
        for i, j, correlation in near_duplicates(np.stack([prints[path] for path in once]), names):
            ids_of = splits[once[i]][names[i]], splits[once[j]][names[j]]
            twins.append(Twins(ids_of, (names[i], names[j]), (once[i], once[j]), correlation))
    return tuple(twins)


def leaked_cases(dataset: Dataset, prints: Mapping[Path, NDArray[np.float32]]) -> frozenset[tuple[str, str]]:
    """Return (split, id) of every case whose picture, near twin or patient stands in another split, too."""
    images: set[tuple[str, Path]] = set()
    for pair in find_twins(dataset, prints):
        images |= set(zip(pair.splits, pair.images, strict=True))
    patients = patients_in_two_splits(dataset)
    return frozenset(
        (case.split, case.id)
        for case in dataset.cases
        if (case.split, case.image) in images or case.patient in patients
    )
