"""Can methods be told apart? Paired bootstrap over patients, on the tables that ``tmca evaluate --cases`` writes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tmca_core.data.table import count, name_some, read_table
from tmca_core.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

METRICS = ("dice", "iou", "surface_dice")
"""Columns that can be compared: fractions, more is better."""


@dataclass(frozen=True)
class CaseTable:
    """One method's cases.

    Attributes
    ----------
    name : str
        Of the method.
    values : Mapping of (split, id) to float
        Its score of each case.
    patients : Mapping of (split, id) to str
        Whose each case is.

    """

    name: str
    values: Mapping[tuple[str, str], float]
    patients: Mapping[tuple[str, str], str]


@dataclass(frozen=True)
class Standing:
    """One method among the others: mean, its 95 % interval, and the chance that it is the best of all."""

    name: str
    mean: float
    low: float
    high: float
    rank_one: float


@dataclass(frozen=True)
class Difference:
    """The first method against the second, on the same cases.

    Attributes
    ----------
    first, second : str
        Names; the first has the greater mean.
    mean, low, high : float
        Difference of the means, and its 95 % interval.
    is_told_apart : bool
        Whether that interval leaves out 0.

    """

    first: str
    second: str
    mean: float
    low: float
    high: float
    is_told_apart: bool

    @property
    def sentence(self) -> str:
        """What to say of it."""
        if self.is_told_apart:
            said = f"{self.first} is better than {self.second}"
        else:
            said = f"{self.first} and {self.second} cannot be told apart on these cases"
        return f"{said}: difference {self.mean:.4f} (95 % {self.low:.4f} to {self.high:.4f})."


@dataclass(frozen=True)
class Comparison:
    """Methods from best to worst mean, and each pair of them."""

    metric: str
    num_cases: int
    num_patients: int
    standings: tuple[Standing, ...]
    differences: tuple[Difference, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it for a JSON file."""
        return asdict(self)


def read_case_table(path: Path, *, metric: str = "dice", split: str | None = None, name: str = "") -> CaseTable:
    """Read what ``tmca evaluate --cases`` wrote.

    Parameters
    ----------
    path : Path
        The table.
    metric : str
        Which column counts.
    split : str, optional
        Which split; all by default.
    name : str
        Of the method; the file's name by default.

    Raises
    ------
    DatasetError
        If it is no such table, a value is no number, or nothing is left of it.

    """
    rows = read_table(path, ("split", "id", "patient", metric), ("id", metric), key=("split", "id"))
    rows = [row for row in rows if split is None or row["split"] == split]
    if not rows:
        raise DatasetError(f"{path}: expected cases of the split '{split}', got none.", hint="Choose another split.")
    values: dict[tuple[str, str], float] = {}
    for row in rows:
        try:
            value = float(row[metric])
        except ValueError:
            value = float("nan")
        if not np.isfinite(value):
            raise DatasetError(
                f"{path}: expected numbers in the column '{metric}', got '{row[metric]}'.", hint="Write the table anew."
            )
        values[row["split"], row["id"]] = value
    patients = {(row["split"], row["id"]): row["patient"] or row["id"] for row in rows}
    return CaseTable(name or path.stem, values, patients)


def compare(
    tables: Sequence[CaseTable], *, metric: str = "dice", num_resamples: int = 10_000, seed: int = 0
) -> Comparison:
    """Compare two or more methods on the same cases.

    Patients are drawn, not pictures: pictures of one patient are no independent evidence. Every resample holds the same
    patients for all methods. A tie for the first rank is shared.

    Parameters
    ----------
    tables : sequence of CaseTable
        At least two, of the same cases.
    metric : str
        What the values are.
    num_resamples, seed : int
        The same seed gives the same answer.

    Raises
    ------
    DatasetError
        If the tables hold different cases (named), or two have the same name.

    """
    _refuse_other_cases(tables)
    keys = list(tables[0].values)
    values = np.array([[table.values[key] for key in keys] for table in tables])
    patients, group = np.unique([tables[0].patients[key] for key in keys], return_inverse=True)
    sums, sizes = np.zeros((len(patients), len(tables))), np.bincount(group).astype(np.float64)
    np.add.at(sums, group, values.T)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(patients), np.full(len(patients), 1 / len(patients)), num_resamples)
    means = (drawn @ sums) / (drawn @ sizes)[:, None]
    best = means >= means.max(axis=1, keepdims=True) - 1e-12
    first = (best / best.sum(axis=1, keepdims=True)).mean(axis=0)
    overall = values.mean(axis=1)
    order = np.argsort(-overall, kind="stable")
    standings = tuple(
        Standing(tables[m].name, float(overall[m]), *_interval(means[:, m]), float(first[m])) for m in order
    )
    differences = tuple(
        _difference(tables[a].name, tables[b].name, float(overall[a] - overall[b]), means[:, a] - means[:, b])
        for n, a in enumerate(order)
        for b in order[n + 1 :]
    )
    return Comparison(metric, len(keys), len(patients), standings, differences)


def _difference(first: str, second: str, mean: float, resampled: NDArray[np.float64]) -> Difference:
    low, high = _interval(resampled)
    return Difference(first, second, mean, low, high, is_told_apart=low > 0 or high < 0)


def _interval(samples: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(samples, [2.5, 97.5])
    return float(low), float(high)


def _refuse_other_cases(tables: Sequence[CaseTable]) -> None:
    names = [table.name for table in tables]
    if len(tables) < 2 or len(set(names)) < len(names):
        raise DatasetError(
            f"Comparison: expected two or more methods of different names, got {', '.join(names) or 'none'}.",
            hint="Rename the files, or give --name for each.",
        )
    first = tables[0]
    for other in tables[1:]:
        odd = [f"{split}/{i}".strip("/") for split, i in first.values.keys() ^ other.values.keys()]
        if odd:
            raise DatasetError(
                f"Comparison: expected {first.name} and {other.name} to hold the same cases, "
                f"{count(len(odd), 'cases')} stand in one of them only: {name_some(sorted(odd))}.",
                hint="Evaluate both methods on the same splits, without --limit or with the same.",
            )
