"""Surface distances against all pairs of surface pixels, and the stated conventions at the edges."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tmca_core import surface
from tmca_core.surface import hausdorff95, surface_dice

MASK_PAIRS = hnp.array_shapes(min_dims=2, max_dims=3, max_side=5).flatmap(
    lambda shape: st.tuples(hnp.arrays(bool, shape), hnp.arrays(bool, shape))
)
EMPTY, FULL = np.zeros((5, 5), dtype=bool), np.ones((5, 5), dtype=bool)


def slow_surface(mask: np.ndarray) -> list[tuple[int, ...]]:
    padded = np.pad(mask, 1)
    steps = [tuple(sign * (a == axis) for a in range(mask.ndim)) for axis in range(mask.ndim) for sign in (1, -1)]
    inside = [index for index in np.ndindex(mask.shape) if mask[index]]
    return [
        index
        for index in inside
        if not all(padded[tuple(i + 1 + s for i, s in zip(index, step, strict=True))] for step in steps)
    ]


def slow_distances(a: np.ndarray, b: np.ndarray, spacing: tuple[float, ...]) -> list[float]:
    def place(index: tuple[int, ...]) -> list[float]:
        return [i * step for i, step in zip(index, spacing, strict=True)]

    theirs = [place(q) for q in slow_surface(b)]
    return [min(math.dist(place(p), q) for q in theirs) for p in slow_surface(a)]


@settings(max_examples=40, deadline=None)
@given(MASK_PAIRS, st.sampled_from([(1.0, 1.0, 1.0), (5.0, 0.5, 0.7)]), st.sampled_from([0.0, 1.0, 2.3]))
def test_both_equal_all_pairs_of_surface_pixels(pair, spacing, tolerance):
    a, b = pair
    spacing = spacing[-a.ndim :]
    if not a.any() or not b.any():
        return
    there, back = slow_distances(a, b, spacing), slow_distances(b, a, spacing)
    assert hausdorff95(a, b, spacing) == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)))
    near = sum(d <= tolerance + 1e-9 for d in there + back)
    exact = surface_dice(a, b, spacing, tolerance_mm=tolerance + 1e-9)
    assert exact == pytest.approx(near / (len(there) + len(back)))


@pytest.mark.parametrize(
    ("a", "b", "distance", "share"),
    [(EMPTY, FULL, math.inf, 0.0), (FULL, EMPTY, math.inf, 0.0), (FULL, FULL, 0.0, 1.0)],
    ids=["prediction-empty", "reference-empty", "equal"],
)
def test_one_empty_mask_is_infinitely_far(a, b, distance, share):
    assert hausdorff95(a, b, (1, 1)) == distance
    assert surface_dice(a, b, (1, 1), tolerance_mm=3) == share


def test_two_empty_masks_have_no_distance_and_agree():
    assert math.isnan(hausdorff95(EMPTY, EMPTY, (1, 1)))
    assert surface_dice(EMPTY, EMPTY, (1, 1), tolerance_mm=1) == 1.0


@pytest.mark.parametrize("spacing", [(1.0,), (1.0, 0.0), (1.0, math.nan), (1.0, math.inf)], ids=str)
def test_a_spacing_that_fits_no_grid_is_refused(spacing):
    with pytest.raises(ValueError, match="expected one positive spacing per axis"):
        hausdorff95(FULL, FULL, spacing)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="expected masks of one shape"):
        hausdorff95(FULL, FULL[:4], (1, 1))


def test_the_examples_hold():
    assert doctest.testmod(surface, extraglobs={"np": np}).failed == 0
