"""What an evaluation measures beyond overlap, where it is asked to: surfaces, trust, and floors."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from tmca_core.calibration_fit import risk_coverage
from tmca_core.consistency import check_consistency
from tmca_core.data.datasets import read_reference
from tmca_core.metrics import CaseScore, Scores, score_case
from tmca_core.surface import surface_distances

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from tmca_core.data.case import Case
    from tmca_core.study import Report, Segmentation

NUM_BINS = 15
COVERAGES = tuple(round(0.05 * n, 2) for n in range(1, 21))
_SIDE = 64  # of the mean masks


@dataclass(frozen=True)
class More:
    """What to measure beside Dice and IoU; nothing by default, since each costs time.

    Attributes
    ----------
    surface : bool
        HD95 and surface Dice.
    tolerance : float
        Of the surface Dice: millimetres where the spacing is known, else pixels of the reference.
    trust : bool
        Calibration of the probabilities, risk against coverage, and whether masks do what their reports state.
    floors : bool
        What is reached without the image (the mean training mask of the same text), and without the text.

    """

    surface: bool = False
    tolerance: float = 2.0
    trust: bool = False
    floors: bool = False

    def __bool__(self) -> bool:
        return self.surface or self.trust or self.floors


@dataclass(frozen=True, eq=False)
class CaseMore:
    """What one case adds; ``None`` where it was not asked for or does not apply.

    Attributes
    ----------
    hd95, surface_dice : float or None
        In the unit of ``is_mm``.
    is_mm : bool
        Whether surfaces were measured in millimetres; else in pixels.
    bins : NDArray[np.float64], shape (3, NUM_BINS), or None
        Pixels, sum of the probabilities and number of target pixels, by probability.
    agrees : dict of str to bool, or None
        Per aspect, whether the mask does what the report states; empty where that states nothing that can be checked.
    no_image, no_text : CaseScore or None
        Floors.

    """

    hd95: float | None = None
    surface_dice: float | None = None
    is_mm: bool = False
    bins: NDArray[np.float64] | None = None
    agrees: dict[str, bool] | None = None
    no_image: CaseScore | None = None
    no_text: CaseScore | None = None

    def as_row(self) -> dict[str, Any]:
        """Return the columns of a table of cases."""
        row: dict[str, Any] = {}
        if self.hd95 is not None and self.surface_dice is not None:
            row |= {"hd95": round(self.hd95, 4), "surface_dice": round(self.surface_dice, 6)}
        if self.agrees is not None:
            row["consistent"] = int(all(self.agrees.values())) if self.agrees else ""
        if self.no_image is not None:
            row["no_image_dice"] = round(self.no_image.dice, 6)
        if self.no_text is not None:
            row["no_text_dice"] = round(self.no_text.dice, 6)
        return row


class MeanMasks:
    """The floor without any image: of each text the mean of its training masks, cut where it expects the best Dice.

    A text that no training case has falls back to the mean of all training masks of its target.

    Parameters
    ----------
    cases : iterable of Case
        To learn from; those without a mask are passed over.

    """

    def __init__(self, cases: Iterable[Case]) -> None:
        sums: dict[tuple[str, str | None], NDArray[np.float64]] = defaultdict(lambda: np.zeros((_SIDE, _SIDE)))
        counts: dict[tuple[str, str | None], int] = defaultdict(int)
        for case in cases:
            if case.mask is None:
                continue
            mask = read_reference(case)
            if mask.ndim != 2:
                continue
            small = _resized(mask.astype(np.float32), (_SIDE, _SIDE))
            for key in ((case.target, _plain(case.text)), (case.target, None)):
                sums[key] += small
                counts[key] += 1
        self._means = {key: (total / counts[key]).astype(np.float32) for key, total in sums.items()}

    def mask(self, case: Case, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
        """Return the mask for a case's own text on a grid (Y, X); ``None`` without training cases of its target."""
        mean = self._means.get((case.target, _plain(case.text)))
        if mean is None:
            mean = self._means.get((case.target, None))
        if mean is None or len(shape) != 2:
            return None
        return _resized(mean, shape) >= _best_cut(mean)


def measure_case(
    more: More,
    floor: MeanMasks | None,
    case: Case,
    segmentation: Segmentation,
    report: Report | None,
    probability: NDArray[np.float32],
    image_only: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    spacing_mm: tuple[float, ...] | None,
) -> CaseMore:
    """Measure one case.

    Parameters
    ----------
    more : More
        What.
    floor : MeanMasks or None
        For ``more.floors``.
    case : Case
        Which one.
    segmentation : Segmentation
        The answer.
    report : Report or None
        What was told.
    probability : NDArray[np.float32], shape of the reference
        On its grid.
    image_only : NDArray[np.bool_], shape of the reference
        Mask of the image alone.
    reference : NDArray[np.bool_]
        The truth.
    spacing_mm : tuple of float or None
        Of the reference's grid; ``None`` where unknown.

    """
    mask = probability >= segmentation.threshold
    values: dict[str, Any] = {}
    if more.surface:
        distances = surface_distances(mask, reference, spacing_mm or (1.0,) * mask.ndim)
        values = {"hd95": distances.hausdorff95, "surface_dice": distances.surface_dice(more.tolerance)}
        values["is_mm"] = spacing_mm is not None
    if more.trust:
        values["bins"] = _bins(probability, reference)
        remarks = check_consistency(mask, report, case.side_convention) if report is not None else ()
        aspects = {remark.aspect for remark in remarks}
        values["agrees"] = {a: all(r.agrees for r in remarks if r.aspect == a) for a in sorted(aspects)}
    if more.floors:
        guess = floor.mask(case, reference.shape) if floor is not None else None
        values["no_image"] = None if guess is None else score_case(guess, reference)
        values["no_text"] = score_case(image_only, reference)
    return CaseMore(**values)


def summarise_more(
    cases: Sequence[CaseMore], confidence: Sequence[float], dice: Sequence[float], tolerance: float
) -> dict[str, Any]:
    """Return what a split's cases say together, ready for JSON; parts that were not measured are left out."""
    summary: dict[str, Any] = {}
    hd95 = np.array([case.hd95 for case in cases if case.hd95 is not None], dtype=np.float64)
    if hd95.size:
        known, finite = hd95[~np.isnan(hd95)], hd95[np.isfinite(hd95)]
        middle = float(np.sort(known)[(known.size - 1) // 2]) if known.size else None
        units = {case.is_mm for case in cases}
        summary["surface"] = {
            "unit": "mixed" if len(units) > 1 else "mm" if units.pop() else "pixels",
            "hd95_median": middle if middle is not None and np.isfinite(middle) else None,
            "hd95_mean_of_finite": float(finite.mean()) if finite.size else None,
            "one_mask_empty": int(np.isinf(hd95).sum()),
            "both_masks_empty": int(np.isnan(hd95).sum()),
            "surface_dice_mean": float(np.mean([case.surface_dice for case in cases])),
            "tolerance": tolerance,
        }
    bins = [case.bins for case in cases if case.bins is not None]
    if bins:
        n, stated, found = np.sum(bins, axis=0)
        curve = risk_coverage(confidence, dice, COVERAGES)
        summary["calibration"] = {
            "ece": float(np.abs(stated - found).sum() / n.sum()),
            "bins": [
                [int(a), float(b / max(a, 1)), float(c / max(a, 1))] for a, b, c in zip(n, stated, found, strict=True)
            ],
        }
        summary["risk_coverage"] = {f"{share:.2f}": value for share, value in curve.items()}
        summary["consistency"] = _consistency([case.agrees for case in cases if case.agrees])
    floors = {"no_image": [c.no_image for c in cases if c.no_image], "no_text": [c.no_text for c in cases if c.no_text]}
    measured = {name: _floor(scores) for name, scores in floors.items() if scores}
    if measured:
        summary["floors"] = measured
    return summary


def _consistency(agrees: Sequence[dict[str, bool]]) -> dict[str, Any]:
    """Return the share of the checkable masks that do all that their reports state, and the share per aspect."""
    aspects = sorted({aspect for one in agrees for aspect in one})
    return {
        "n": len(agrees),
        "rate": float(np.mean([all(one.values()) for one in agrees])) if agrees else None,
        **{aspect: float(np.mean([one[aspect] for one in agrees if aspect in one])) for aspect in aspects},
    }


def _floor(scores: Sequence[CaseScore]) -> dict[str, Any]:
    together = Scores.of(scores)
    return {"n": together.n, "dice_mean": together.dice_mean, "dice_pooled": together.dice_pooled}


def _bins(probability: NDArray[np.float32], reference: NDArray[np.bool_]) -> NDArray[np.float64]:
    p = probability.ravel().astype(np.float64)
    index = np.minimum((p * NUM_BINS).astype(np.intp), NUM_BINS - 1)
    weights = (None, p, reference.ravel().astype(np.float64))
    return np.stack([np.bincount(index, weights=w, minlength=NUM_BINS).astype(np.float64) for w in weights])


def _best_cut(mean: NDArray[np.float32]) -> float:
    """Return the value at which cutting a mean mask gives the best expected Dice (up to the ratio of means)."""
    values = np.sort(mean.ravel())[::-1].astype(np.float64)
    expected = 2 * np.cumsum(values) / (values.sum() + np.arange(1, values.size + 1))
    return max(float(values[int(expected.argmax())]), 1e-6)


def _plain(text: str) -> str:
    return " ".join(text.lower().split()).rstrip(".")


def _resized(values: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    height, width = shape
    resized = Image.fromarray(np.asarray(values, dtype=np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized, dtype=np.float32)
