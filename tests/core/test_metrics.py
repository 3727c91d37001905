"""Scores against slow set arithmetic, their laws, and the stated conventions at the edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tmca_core.metrics import (
    CaseScore,
    Scores,
    bootstrap_intervals,
    dice,
    iou,
    is_mostly_in_half,
    score_case,
    stated_half_of_picture,
)
from tmca_core.study import Finding, Report, Sentence, SideConvention

MASK_PAIRS = hnp.array_shapes(min_dims=2, max_dims=3, max_side=7).flatmap(
    lambda shape: st.tuples(hnp.arrays(bool, shape), hnp.arrays(bool, shape))
)
EMPTY = np.zeros((4, 4), dtype=bool)
FULL = np.ones((4, 4), dtype=bool)


def where(mask: np.ndarray) -> set[tuple[int, ...]]:
    return {index for index in np.ndindex(mask.shape) if mask[index]}


def slow_dice(prediction: np.ndarray, reference: np.ndarray) -> float:
    p, r = where(prediction), where(reference)
    return 2 * len(p & r) / (len(p) + len(r)) if p or r else 1.0


def slow_iou(prediction: np.ndarray, reference: np.ndarray) -> float:
    p, r = where(prediction), where(reference)
    return len(p & r) / len(p | r) if p or r else 1.0


@given(MASK_PAIRS)
def test_dice_and_iou_equal_slow_set_arithmetic(pair):
    assert dice(*pair) == pytest.approx(slow_dice(*pair))
    assert iou(*pair) == pytest.approx(slow_iou(*pair))


@given(MASK_PAIRS)
def test_scores_are_symmetric_fractions_tied_to_each_other(pair):
    prediction, reference = pair
    d, j = dice(prediction, reference), iou(prediction, reference)
    assert 0 <= j <= d <= 1
    assert d == pytest.approx(2 * j / (1 + j))
    assert d == dice(reference, prediction)
    assert (d == 1) == np.array_equal(prediction, reference)


@given(MASK_PAIRS)
def test_mirrored_masks_score_the_same(pair):
    prediction, reference = pair
    assert dice(prediction[..., ::-1], reference[..., ::-1]) == dice(prediction, reference)


@pytest.mark.parametrize(
    ("prediction", "reference", "expected"),
    [(EMPTY, EMPTY, 1.0), (EMPTY, FULL, 0.0), (FULL, EMPTY, 0.0), (FULL, FULL, 1.0)],
    ids=["both-empty", "prediction-empty", "reference-empty", "equal"],
)
def test_empty_masks_follow_the_stated_convention(prediction, reference, expected):
    assert dice(prediction, reference) == expected
    assert iou(prediction, reference) == expected


def test_any_value_but_zero_is_target():
    assert dice(np.array([[255, 0]], dtype=np.uint8), np.array([[1.0, 0.0]])) == 1.0


def test_masks_of_two_shapes_are_refused():
    with pytest.raises(ValueError, match=r"expected masks of one shape, got \(4, 4\) and \(4, 5\)"):
        dice(EMPTY, np.zeros((4, 5)))


@given(st.lists(MASK_PAIRS, min_size=1, max_size=5))
def test_mean_and_pooled_scores_equal_their_definitions(pairs):
    scores = Scores.of(score_case(*pair) for pair in pairs)

    flat_prediction = np.concatenate([p.ravel() for p, _ in pairs])
    flat_reference = np.concatenate([r.ravel() for _, r in pairs])
    assert scores.n == len(pairs)
    assert scores.dice_mean == pytest.approx(np.mean([slow_dice(*pair) for pair in pairs]))
    assert scores.iou_mean == pytest.approx(np.mean([slow_iou(*pair) for pair in pairs]))
    assert scores.dice_pooled == pytest.approx(slow_dice(flat_prediction, flat_reference))
    assert scores.iou_pooled == pytest.approx(slow_iou(flat_prediction, flat_reference))


def test_pooled_counts_do_not_overflow():
    huge = CaseScore(2**62, 2**62, 2**62)
    assert Scores.of([huge, huge]).dice_pooled == 1.0


def test_scores_of_no_case_are_refused():
    with pytest.raises(ValueError, match="at least one case"):
        Scores.of([])


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=3, max_side=7)))
def test_side_of_a_mask_equals_a_pixel_count(mask):
    middle = (mask.shape[-1] - 1) / 2
    columns = [index[-1] for index in where(mask)]
    left, right = sum(c < middle for c in columns), sum(c > middle for c in columns)
    assert is_mostly_in_half(mask, "left") == (left > right)
    assert is_mostly_in_half(mask, "right") == (right > left)


def test_an_empty_or_balanced_mask_lies_on_no_side():
    for mask in (EMPTY, FULL, np.eye(3, dtype=bool)):
        assert not is_mostly_in_half(mask, "left")
        assert not is_mostly_in_half(mask, "right")


def test_side_accuracy_counts_one_sided_cases_only():
    left = np.zeros((2, 4), dtype=bool)
    left[:, 0] = True
    cases = [
        score_case(left, left, stated_half="left"),
        score_case(left, left, stated_half="right"),
        score_case(EMPTY, EMPTY, stated_half="left"),
        score_case(left, left),
    ]
    assert [case.is_on_stated_side for case in cases] == [True, False, False, None]
    assert Scores.of(cases).side_accuracy == pytest.approx(1 / 3)


def test_side_accuracy_is_undefined_without_a_one_sided_report():
    assert Scores.of([score_case(FULL, FULL)]).side_accuracy is None


def report(*sentences: tuple[str, bool]) -> Report:
    """A report of (sides, is_negated) pairs; "lr" names both sides."""
    names = {"l": "left", "r": "right"}
    made = tuple(
        Sentence(
            0,
            0,
            "",
            sides=frozenset(names[c] for c in sides),
            is_negated=negated,
            findings=(Finding("opacity", "denied" if negated else "affirmed"),),
        )
        for sides, negated in sentences
    )
    return Report("", made)


@pytest.mark.parametrize(
    ("sentences", "convention", "half"),
    [
        ([("l", False)], SideConvention.PATIENT, "right"),
        ([("r", False)], SideConvention.PATIENT, "left"),
        ([("l", False)], SideConvention.PICTURE, "left"),
        ([("l", False), ("l", False), ("", False)], SideConvention.PICTURE, "left"),
        ([("l", True), ("r", False)], SideConvention.PATIENT, "left"),
        ([("lr", False)], SideConvention.PATIENT, None),
        ([("l", False), ("r", False)], SideConvention.PATIENT, None),
        ([("", False)], SideConvention.PATIENT, None),
        ([], SideConvention.PATIENT, None),
    ],
    ids=["patients-left", "patients-right", "picture", "twice", "negated-other", "bilateral", "both", "none", "empty"],
)
def test_stated_half_follows_report_and_convention(sentences, convention, half):
    assert stated_half_of_picture(report(*sentences), convention) == half


def test_scores_are_plain_finite_floats():
    scores = Scores.of([score_case(FULL, EMPTY, "left")])
    assert all(math.isfinite(v) and type(v) in (int, float) for v in vars(scores).values())


def _random_cases(n, seed=0):
    rng = np.random.default_rng(seed)
    both = rng.integers(0, 100, n)
    return [CaseScore(int(b), int(b + rng.integers(0, 60)), int(b + rng.integers(0, 60))) for b in both]


def test_bootstrap_intervals_equal_a_slow_resampling():
    cases, patients = _random_cases(30), [f"p{i % 9}" for i in range(30)]
    found = bootstrap_intervals(cases, patients, num_resamples=4000)
    rng = np.random.default_rng(1)
    names = sorted(set(patients))
    samples = []
    for _ in range(4000):
        drawn = rng.choice(names, len(names))
        samples.append(Scores.of(c for name in drawn for c, p in zip(cases, patients, strict=True) if p == name))
    for name, interval in found.items():
        slow = np.percentile([getattr(s, name) for s in samples], [2.5, 97.5])
        assert interval == pytest.approx(slow, abs=0.01)


def test_intervals_hold_the_score_and_narrow_with_patients():
    few, many = _random_cases(10), _random_cases(1000)
    widths = []
    for cases in (few, many):
        intervals = bootstrap_intervals(cases, [str(i) for i in range(len(cases))])
        scores = Scores.of(cases)
        for name, (low, high) in intervals.items():
            assert low <= getattr(scores, name) <= high
        low, high = intervals["dice_mean"]
        widths.append(high - low)
    assert widths[1] < widths[0] / 3


def test_one_patient_has_no_spread():
    intervals = bootstrap_intervals(_random_cases(5), ["p"] * 5)
    assert all(low == pytest.approx(high) for low, high in intervals.values())


def test_empty_masks_on_both_sides_count_as_right():
    intervals = bootstrap_intervals([CaseScore(0, 0, 0)] * 3, list("abc"))
    assert set(intervals.values()) == {(1.0, 1.0)}
