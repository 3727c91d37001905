"""Temperature, agreement and their measures, on data whose answer is known."""

import json

import numpy as np
import pytest

from tmca_core.calibration import Agreement, Calibration
from tmca_core.calibration_fit import (
    auroc,
    expected_calibration_error,
    fit_agreement,
    fit_temperature,
    risk_coverage,
)
from tmca_core.evidence import agreement_evidence


def _pixels(temperature, n=40_000):
    """Logits that are too sure by ``temperature``, and references drawn from the true probabilities."""
    rng = np.random.default_rng(0)
    true = rng.normal(size=n) * 2
    return true * temperature, rng.random(n) < 1 / (1 + np.exp(-true))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_is_found(temperature):
    assert fit_temperature(*_pixels(temperature)) == pytest.approx(temperature, rel=0.05)


def test_the_fitted_temperature_mends_the_calibration_error():
    logits, reference = _pixels(3.0)

    def error(t):
        return expected_calibration_error(1 / (1 + np.exp(-logits / t)), reference)

    assert error(1.0) > 0.08
    assert error(fit_temperature(logits, reference)) < 0.01


def test_calibration_error_of_known_gaps():
    assert expected_calibration_error([0.0, 1.0], [False, True]) == 0.0
    assert expected_calibration_error([0.9, 0.9], [False, False]) == pytest.approx(0.9)
    assert expected_calibration_error([0.6, 0.6], [True, False]) == pytest.approx(0.1)


def test_agreement_tells_near_from_far():
    rng = np.random.default_rng(1)
    own, other = rng.normal(0.5, 0.1, (400, 4)), rng.normal(0.9, 0.1, (400, 4))
    fitted = fit_agreement(np.concatenate([own, other]), np.arange(800) < 400)
    near, far = [fitted.of(d) for d in own], [fitted.of(d) for d in other]
    assert auroc(near, far) > 0.99
    assert np.mean(np.array(near) < fitted.warning) == pytest.approx(0.05, abs=0.01)
    assert np.mean(near) > 0.9 > 0.1 > np.mean(far)


def test_evidence_compares_the_answer_to_the_report_with_that_to_the_image():
    seen, elsewhere = np.full((20, 20), -9.0), np.full((20, 20), -9.0)
    seen[:10], elsewhere[10:15] = 9.0, 0.5
    *distances, overlap, sure, sure_alone, ratio = agreement_evidence((0.1, 0.2), seen, seen)
    assert distances == [0.1, 0.2]
    assert overlap == pytest.approx(1.0, abs=1e-3)
    assert sure == sure_alone == pytest.approx(1.0, abs=1e-3)
    assert ratio == 0.0
    *_, overlap, sure, sure_alone, ratio = agreement_evidence((0.1, 0.2), elsewhere, seen)
    assert overlap < 0.01
    assert sure < 0.85 < sure_alone
    assert ratio == pytest.approx(np.log(0.5), abs=0.01)


def test_evidence_of_nothing_is_finite():
    nothing = np.full((30, 20, 20), -80.0, dtype=np.float32)
    assert np.isfinite(agreement_evidence((), nothing, nothing)).all()


def test_auroc_counts_ties_half():
    assert auroc([1, 2], [0, 1]) == pytest.approx(0.875)


def test_the_confident_come_first():
    found = risk_coverage([0.1, 0.9, 0.5, 0.7], [0.2, 1.0, 0.6, 0.8], (1.0, 0.5))
    assert found == {1.0: pytest.approx(0.65), 0.5: pytest.approx(0.9)}


def test_a_calibration_survives_its_file():
    calibration = Calibration(1.3, Agreement(0.5, (-1.0, 2.0), 0.2))
    assert Calibration.from_json(json.loads(json.dumps(calibration.as_json()))) == calibration
    assert Calibration.from_json({}) == Calibration()


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_temperature_is_refused(temperature):
    with pytest.raises(ValueError, match="expected a number above 0"):
        Calibration.from_json({"temperature": temperature})
