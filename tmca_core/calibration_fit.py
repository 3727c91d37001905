"""Fitting temperature and agreement, and the measures of both. numpy and scipy only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_expit
from scipy.stats import mannwhitneyu

from tmca_core.calibration import Agreement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

_LOG_TEMPERATURES = (-1.5, 1.5)
_RIDGE = 1e-3


def fit_temperature(logits: NDArray[np.floating], reference: NDArray[np.bool_]) -> float:
    """Return the temperature that makes ``sigmoid(logits / T)`` most likely (Guo et al., ICML 2017).

    Parameters
    ----------
    logits : NDArray, shape (N,)
        Of pixels.
    reference : NDArray of bool, shape (N,)
        Whether each belongs to the target.

    """
    signed = np.where(reference, logits, -logits).astype(np.float64)
    found = minimize_scalar(
        lambda t: -log_expit(signed * np.exp(-t)).mean(), bounds=_LOG_TEMPERATURES, method="bounded"
    )
    return float(np.exp(found.x))


def fit_agreement(
    evidence: NDArray[np.floating], is_own: NDArray[np.bool_], *, false_alarms: float = 0.05
) -> Agreement:
    """Return the logistic regression that tells an image's own report from another's.

    Parameters
    ----------
    evidence : NDArray, shape (N, E)
        Of each pair of image and report, see `tmca_core.evidence.agreement_evidence`.
    is_own : NDArray of bool, shape (N,)
        Whether the report is the image's own.
    false_alarms : float
        Share of own reports that may fall below ``warning``.

    """
    mean, deviation = evidence.mean(axis=0), evidence.std(axis=0) + 1e-9
    x, sign = (evidence - mean) / deviation, np.where(is_own, 1.0, -1.0)

    def loss(parameters: NDArray[np.float64]) -> float:
        margin = sign * (parameters[0] + x @ parameters[1:])
        return float(-log_expit(margin).mean() + _RIDGE * np.square(parameters[1:]).sum())

    best = minimize(loss, np.zeros(x.shape[1] + 1)).x
    weights = best[1:] / deviation
    fitted = Agreement(float(best[0] - weights @ mean), tuple(float(w) for w in weights), 0.0)
    own = [fitted.of(row) for row in evidence[is_own]]
    return Agreement(fitted.bias, fitted.weights, float(np.quantile(own, false_alarms)))


def expected_calibration_error(probability: ArrayLike, reference: ArrayLike, *, num_bins: int = 15) -> float:
    """Return the ECE of binary probabilities: mean gap between stated and found share, bins of equal width.

    Parameters
    ----------
    probability : array_like, shape (N,)
        Of the target, 0..1.
    reference : array_like of bool, shape (N,)
        Whether each is target.

    """
    p, y = np.asarray(probability, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    bins = np.minimum((p * num_bins).astype(np.intp), num_bins - 1)
    gaps = np.bincount(bins, weights=p - y, minlength=num_bins)
    return float(np.abs(gaps).sum() / p.size)


def auroc(positive: ArrayLike, negative: ArrayLike) -> float:
    """Return the chance that a positive scores above a negative; ties count half."""
    a, b = np.asarray(positive), np.asarray(negative)
    return float(mannwhitneyu(a, b).statistic / (a.size * b.size))


def risk_coverage(confidence: Sequence[float], dice: Sequence[float], coverages: Sequence[float]) -> dict[float, float]:
    """Return the mean Dice of the most confident share of the cases, per share asked for."""
    order = np.argsort(-np.asarray(confidence), kind="stable")
    ranked = np.asarray(dice)[order]
    return {share: float(ranked[: max(round(share * ranked.size), 1)].mean()) for share in coverages}
