"""How well a mask agrees with a reference: Dice and IoU, per image and pooled, and whether it keeps to the stated side.

Two families of numbers are mixed in the literature: *mean* is the score per image, averaged; *pooled* is the score of
all pixels of the set together. They differ by many points on the same predictions, so both are always given.

Two empty masks agree (1.0); exactly one empty mask scores 0.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from tmca_core.study import SideConvention

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from tmca_core.study import Report

Half = Literal["left", "right"]


def dice(prediction: ArrayLike, reference: ArrayLike) -> float:
    """Return 2 |P and R| / (|P| + |R|), 0..1; 1.0 if both masks are empty, 0.0 if exactly one is.

    Parameters
    ----------
    prediction, reference : array_like, any shape, the same
        Masks on the same grid; whatever is not zero is target.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> dice([[1, 1, 0]], [[0, 1, 0]])
    0.6666666666666666

    """
    return score_case(prediction, reference).dice


def iou(prediction: ArrayLike, reference: ArrayLike) -> float:
    """Return |P and R| / |P or R|, 0..1; 1.0 if both masks are empty, 0.0 if exactly one is.

    Parameters and errors are those of `dice`.

    Examples
    --------
    >>> iou([[1, 1, 0]], [[0, 1, 0]])
    0.5

    """
    return score_case(prediction, reference).iou


@dataclass(frozen=True)
class CaseScore:
    """What one case adds to the scores of a set.

    Attributes
    ----------
    num_both, num_predicted, num_reference : int
        Pixels in both masks, in the prediction, in the reference.
    is_on_stated_side : bool or None
        Whether the prediction lies mostly on the side that the report states; ``None`` if it does not state one side.

    """

    num_both: int
    num_predicted: int
    num_reference: int
    is_on_stated_side: bool | None = None

    @property
    def dice(self) -> float:
        """Dice of this case, 0..1."""
        return _ratio(2 * self.num_both, self.num_predicted + self.num_reference)

    @property
    def iou(self) -> float:
        """Intersection over union of this case, 0..1."""
        return _ratio(self.num_both, self.num_predicted + self.num_reference - self.num_both)


@dataclass(frozen=True)
class Scores:
    """The scores of a set of cases, fractions 0..1.

    Attributes
    ----------
    n : int
        Number of cases, at least 1.
    dice_mean, iou_mean : float
        Scores per image, averaged.
    dice_pooled, iou_pooled : float
        Scores of all pixels together.
    side_accuracy : float or None
        Share of the one-sided reports whose mask lies mostly on the stated side; ``None`` without any such report.

    """

    n: int
    dice_mean: float
    dice_pooled: float
    iou_mean: float
    iou_pooled: float
    side_accuracy: float | None

    @classmethod
    def of(cls, cases: Iterable[CaseScore]) -> Scores:
        """Return the scores of these cases together.

        Raises
        ------
        ValueError
            If there is no case.

        """
        cases = tuple(cases)
        if not cases:
            raise ValueError("expected at least one case to score, got none")
        pooled = CaseScore(
            sum(case.num_both for case in cases),
            sum(case.num_predicted for case in cases),
            sum(case.num_reference for case in cases),
        )
        sided = [case.is_on_stated_side for case in cases if case.is_on_stated_side is not None]
        return cls(
            n=len(cases),
            dice_mean=float(np.mean([case.dice for case in cases])),
            dice_pooled=pooled.dice,
            iou_mean=float(np.mean([case.iou for case in cases])),
            iou_pooled=pooled.iou,
            side_accuracy=float(np.mean(sided)) if sided else None,
        )


def bootstrap_intervals(
    cases: Sequence[CaseScore], patients: Sequence[str], *, num_resamples: int = 1000, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Return 95 % intervals of mean and pooled Dice and IoU, by resampling patients (percentile bootstrap).

    Patients, not pictures, are drawn: pictures of one patient are no independent evidence.

    Parameters
    ----------
    cases : sequence of CaseScore
        At least one.
    patients : sequence of str
        Whose each case is.
    num_resamples, seed : int
        The same seed gives the same intervals.

    Returns
    -------
    dict of str to (low, high)
        Keys as in `Scores`, fractions 0..1.

    """
    names, group = np.unique(np.asarray(patients), return_inverse=True)
    columns = [(1, c.dice, c.iou, c.num_both, c.num_predicted, c.num_reference) for c in cases]
    sums = np.zeros((len(names), 6))
    np.add.at(sums, group, np.array(columns, dtype=np.float64))
    drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), num_resamples)
    n, dice_sum, iou_sum, both, predicted, reference = (drawn @ sums).T
    either = predicted + reference
    pooled = np.divide(both, either, out=np.full_like(both, 0.5), where=either > 0)
    resampled = {
        "dice_mean": dice_sum / n,
        "dice_pooled": 2 * pooled,
        "iou_mean": iou_sum / n,
        "iou_pooled": pooled / (1 - pooled),
    }
    return {name: (float(low), float(high)) for name, (low, high) in _percentiles(resampled).items()}


def _percentiles(samples: dict[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    return {name: np.percentile(values, [2.5, 97.5]) for name, values in samples.items()}


def score_case(prediction: ArrayLike, reference: ArrayLike, stated_half: Half | None = None) -> CaseScore:
    """Compare one prediction with its reference.

    Parameters
    ----------
    prediction, reference : array_like, any shape, the same; X last
        Masks on the same grid; whatever is not zero is target.
    stated_half : {"left", "right"} or None
        Half of the picture that the report names, from `stated_half_of_picture`.

    Raises
    ------
    ValueError
        If the shapes differ.

    """
    predicted, target = np.asarray(prediction, dtype=bool), np.asarray(reference, dtype=bool)
    if predicted.shape != target.shape:
        raise ValueError(f"expected masks of one shape, got {predicted.shape} and {target.shape}")
    return CaseScore(
        num_both=int(np.count_nonzero(predicted & target)),
        num_predicted=int(np.count_nonzero(predicted)),
        num_reference=int(np.count_nonzero(target)),
        is_on_stated_side=None if stated_half is None else is_mostly_in_half(predicted, stated_half),
    )


def is_mostly_in_half(mask: NDArray[np.bool_], half: Half) -> bool:
    """Return whether more than half of the mask's pixels lie in one half of the picture; ``False`` if it is empty.

    Parameters
    ----------
    mask : NDArray[np.bool_], shape (..., X)
        The middle column of an odd width counts half to either side.
    half : {"left", "right"}
        Half of the *picture*.

    """
    per_column = np.asarray(mask, dtype=bool).reshape(-1, np.shape(mask)[-1]).sum(axis=0)
    from_middle = np.arange(per_column.size) - (per_column.size - 1) / 2
    excess = int((per_column * np.sign(from_middle)).sum())  # pixels in the right half minus pixels in the left half
    return excess > 0 if half == "right" else excess < 0


def stated_half_of_picture(report: Report, convention: SideConvention) -> Half | None:
    """Return the half of the picture in which the report's findings lie, or ``None`` if it does not name one side.

    Only the sentences that reach the network count: "No effusion on the left. Opacity on the right." is one-sided.

    Parameters
    ----------
    report : Report
        A report as `tmca_core.report.parse_report` reads it.
    convention : SideConvention
        What "left" means in it. The patient's left lies in the right half of the picture.

    """
    sides = frozenset[Half]().union(*(report.sentences[i].sides for i in report.used))
    if len(sides) != 1:
        return None
    (side,) = sides
    if convention is SideConvention.PICTURE:
        return side
    return "right" if side == "left" else "left"


def _ratio(part: int, whole: int) -> float:
    """Return part / whole, and 1.0 where both masks were empty."""
    return part / whole if whole else 1.0
