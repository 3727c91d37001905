"""What makes raw answers honest: temperature of the probabilities, and how well report and image go together.

Both are fitted on validation data (`tmca_core.calibration_fit`) and travel with the weights. numpy only: the panel
reads what a model brings before anything heavy is imported.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Agreement:
    """How the evidence becomes the probability that a report belongs to an image.

    Attributes
    ----------
    bias : float
        Of the logistic regression.
    weights : tuple of float
        On what `tmca_core.evidence.agreement_evidence` returns, in its order.
    warning : float
        Agreement below which the reader is warned.

    """

    bias: float
    weights: tuple[float, ...]
    warning: float

    def of(self, evidence: ArrayLike) -> float:
        """Return the agreement, 0..1, of one case's evidence."""
        score = self.bias + float(np.dot(self.weights, np.asarray(evidence, dtype=np.float64)))
        return 0.5 * (1.0 + math.tanh(0.5 * score))  # the sigmoid, without overflow


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
