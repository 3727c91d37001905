"""Fit a model's temperature and agreement on validation cases, and say how good both are.

Every figure is cross-fitted: fitted on one half of the patients, measured on the other, both ways, averaged. What is
stored with the model is fitted on all cases.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tmca_core.calibration import Agreement, Calibration
from tmca_core.calibration_fit import (
    auroc,
    expected_calibration_error,
    fit_agreement,
    fit_temperature,
    risk_coverage,
)
from tmca_core.data.datasets import read_reference
from tmca_core.errors import DatasetError
from tmca_core.io import read_scan
from tmca_core.metrics import score_case
from tmca_core.recipes.evaluate import mask_on_grid
from tmca_core.recipes.reports import shuffle_texts
from tmca_core.report import parse_report

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from tmca_core.data.case import Case
    from tmca_core.predictor import Predictor
    from tmca_core.study import Segmentation

PIXELS_PER_CASE = 2_000
COVERAGES = (1.0, 0.9, 0.8, 0.5)
_FEWEST_CASES = 4


@dataclass(frozen=True)
class CaseRead:
    """Progress, in cases."""

    done: int
    total: int


@dataclass(frozen=True)
class CalibrationFigures:
    """What `calibrate` measured; fractions 0..1.

    Attributes
    ----------
    n : int
        Cases.
    ece_before, ece_after : float
        Expected calibration error of the pixels' probabilities, at temperature 1 and at the fitted one.
    agreement_auroc : float
        How well agreement tells each image's own report from another image's.
    warned_own, warned_other : float
        Share of own and of other images' reports that draw the warning.
    dice_at_coverage : dict of str to float
        Mean Dice of the most confident share of the cases, by that share.

    """

    n: int
    ece_before: float
    ece_after: float
    agreement_auroc: float
    warned_own: float
    warned_other: float
    dice_at_coverage: dict[str, float]


@dataclass(frozen=True)
class Calibrated:
    """The last event: what to store, and what was measured."""

    calibration: Calibration
    figures: CalibrationFigures

    def as_json(self) -> dict[str, object]:
        """Return the figures as a manifest holds them."""
        return asdict(self.figures)


@dataclass(frozen=True, eq=False)
class _Row:
    """One case: logits and reference of some pixels, evidence of its own and of another report, confidence, Dice."""

    patient: str
    logits: NDArray[np.float32]
    reference: NDArray[np.bool_]
    own: tuple[float, ...]
    other: tuple[float, ...]
    confidence: float
    dice: float


def calibrate(predictor: Predictor, cases: Sequence[Case], *, seed: int = 0) -> Iterator[CaseRead | Calibrated]:
    """Fit temperature and agreement; the predictor's own calibration is set aside meanwhile.

    Parameters
    ----------
    predictor : Predictor
        With LTEM, since distances are measured in its embeddings.
    cases : sequence of Case
        With reference and report, from at least two patients; never the ones trained on.
    seed : int
        Of the shuffle that gives each image another's report, and of the choice of pixels.

    Raises
    ------
    DatasetError
        If there are too few cases, or one lacks its reference or report.

    """
    usable = [case for case in cases if case.text.strip()]
    if len(usable) < _FEWEST_CASES or len({case.patient for case in usable}) < 2:
        raise DatasetError(
            f"Calibration: expected at least {_FEWEST_CASES} cases with reports of two patients, got {len(usable)}.",
            hint="Choose a split with more cases.",
        )
    stored = predictor.info
    predictor.info = replace(stored, calibration=Calibration())
    rng = np.random.default_rng(seed)
    rows = []
    try:
        for case, other in zip(usable, shuffle_texts([case.text for case in usable], seed), strict=True):
            rows.append(_row(predictor, case, other, rng))
            yield CaseRead(len(rows), len(usable))
    finally:
        predictor.info = stored
    yield Calibrated(_fit(rows), _figures(rows))


def _row(predictor: Predictor, case: Case, other_text: str, rng: np.random.Generator) -> _Row:
    predictor.set_scan(read_scan(case.image))
    own = predictor.predict(parse_report(f"{case.instruction} {case.text}".strip()))
    other = predictor.predict(parse_report(f"{case.instruction} {other_text}".strip()))
    reference = read_reference(case)
    score = score_case(mask_on_grid(own, reference.shape), reference)
    logits, target = _some_pixels(own, reference, rng)
    return _Row(case.patient, logits, target, own.evidence, other.evidence, own.confidence, score.dice)


def _some_pixels(
    segmentation: Segmentation, reference: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return logits and reference at random places of the scan, the reference read at the nearest pixel."""
    logits = segmentation.logits
    places = [rng.integers(size, size=PIXELS_PER_CASE) for size in logits.shape]
    nearest = [place * there // here for place, here, there in zip(places, logits.shape, reference.shape, strict=True)]
    return logits[tuple(places)], reference[tuple(nearest)]


def _fit(rows: Sequence[_Row]) -> Calibration:
    logits, reference = (np.concatenate(part) for part in zip(*((r.logits, r.reference) for r in rows), strict=True))
    return Calibration(fit_temperature(logits, reference), _fit_agreement(rows))


def _fit_agreement(rows: Sequence[_Row]) -> Agreement | None:
    if not rows[0].own:
        return None
    evidence = np.array([row.own for row in rows] + [row.other for row in rows])
    return fit_agreement(evidence, np.arange(len(evidence)) < len(rows))


def _figures(rows: Sequence[_Row]) -> CalibrationFigures:
    patients = sorted({row.patient for row in rows})
    first = set(patients[::2])
    halves = [[r for r in rows if r.patient in first], [r for r in rows if r.patient not in first]]
    measured = np.mean([_measure(_fit(a), b) for a, b in (halves, halves[::-1])], axis=0)
    ece_before, ece_after, area, warned_own, warned_other = (float(value) for value in measured)
    at_coverage = risk_coverage([r.confidence for r in rows], [r.dice for r in rows], COVERAGES)
    return CalibrationFigures(
        n=len(rows),
        ece_before=ece_before,
        ece_after=ece_after,
        agreement_auroc=area,
        warned_own=warned_own,
        warned_other=warned_other,
        dice_at_coverage={f"{share:.0%}": dice for share, dice in at_coverage.items()},
    )


def _measure(fitted: Calibration, rows: Sequence[_Row]) -> tuple[float, float, float, float, float]:
    logits = np.concatenate([row.logits for row in rows]).astype(np.float64)
    reference = np.concatenate([row.reference for row in rows])
    eces = [expected_calibration_error(_probability(logits / t), reference) for t in (1.0, fitted.temperature)]
    if fitted.agreement is None:
        return (eces[0], eces[1], float("nan"), float("nan"), float("nan"))
    own = np.array([fitted.agreement.of(row.own) for row in rows])
    other = np.array([fitted.agreement.of(row.other) for row in rows])
    warning = fitted.agreement.warning
    return (eces[0], eces[1], auroc(own, other), float((own < warning).mean()), float((other < warning).mean()))


def _probability(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    values: NDArray[np.float64] = 0.5 * (1.0 + np.tanh(0.5 * logits))
    return values
