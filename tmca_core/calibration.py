"""From raw answers to honest ones: temperature of the probabilities, and how well report and image go together.

Both are fitted on validation data by `tmca_core.recipes.calibrate` and travel with the weights. numpy and scipy only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_expit
from scipy.stats import mannwhitneyu

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

_LOG_TEMPERATURES = (-1.5, 1.5)
_RIDGE = 1e-3
_MOST_PIXELS = 1 << 20


def agreement_evidence(
    distances: Sequence[float],
    logits: NDArray[np.floating],
    image_only_logits: NDArray[np.floating],
    *,
    temperature: float = 1.0,
) -> tuple[float, ...]:
    """Return what tells an image's own report from another's, shape (L + 4,).

    The semantic distances alone leave out how the answer changes when the report is believed: a report that is wrong
    for the image moves the mask away from what the image shows, and makes the network unsure.

    Parameters
    ----------
    distances : sequence of float, length L
        Semantic distance of the image-only target and the report, per level.
    logits, image_only_logits : NDArray, the same shape
        The answer to the report, and to the image alone.
    temperature : float
        That both were divided by. It is taken out again, since it is fitted in the same run as the agreement.

    Returns
    -------
    tuple of float
        The distances; soft Dice of both answers; Dice that the network expects of the one and of the other; logarithm
        of the ratio of their areas.

    """
    step = max(logits.size // _MOST_PIXELS, 1)
    p, q = (expit(values.ravel()[::step] * np.float32(temperature)) for values in (logits, image_only_logits))
    least = 1e-3 * p.size  # keeps the ratio of two small areas tame
    overlap = 2.0 * float(p @ q) / max(float(p.sum() + q.sum()), 1e-6)
    ratio = np.log((np.count_nonzero(p >= 0.5) + least) / (np.count_nonzero(q >= 0.5) + least))
    return (*distances, overlap, _expected_dice(p), _expected_dice(q), float(ratio))


def _expected_dice(probability: NDArray[np.floating]) -> float:
    mask = probability >= 0.5
    return 2.0 * float(probability[mask].sum()) / max(float(probability.sum()) + np.count_nonzero(mask), 1e-6)


@dataclass(frozen=True)
class Agreement:
    """How the evidence becomes the probability that a report belongs to an image.

    Attributes
    ----------
    bias : float
        Of the logistic regression.
    weights : tuple of float
        On what `agreement_evidence` returns, in its order.
    warning : float
        Agreement below which the reader is warned.

    """

    bias: float
    weights: tuple[float, ...]
    warning: float

    def of(self, evidence: ArrayLike) -> float:
        """Return the agreement, 0..1, of one case's evidence."""
        return float(expit(self.bias + np.dot(self.weights, np.asarray(evidence, dtype=np.float64))))


@dataclass(frozen=True)
class Calibration:
    """What is fitted after training; the default changes nothing and knows no agreement."""

    temperature: float = 1.0
    agreement: Agreement | None = None

    def as_json(self) -> dict[str, Any]:
        """Return what a manifest holds."""
        agreement = self.agreement
        return {
            "temperature": self.temperature,
            "agreement": None
            if agreement is None
            else {"bias": agreement.bias, "weights": list(agreement.weights), "warning": agreement.warning},
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Calibration:
        """Read what `as_json` gave; raises KeyError, TypeError or ValueError where it is something else."""
        temperature, agreement = float(values.get("temperature", 1.0)), values.get("agreement")
        if not 0.0 < temperature < np.inf:
            raise ValueError(f"temperature: expected a number above 0, got {temperature}")
        if agreement is None:
            return cls(temperature)
        weights = tuple(float(weight) for weight in agreement["weights"])
        return cls(temperature, Agreement(float(agreement["bias"]), weights, float(agreement["warning"])))


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
        Of each pair of image and report, see `agreement_evidence`.
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
