from __future__ import annotations

import math

import numpy as np
import pytest

from tmca_core.errors import ConfigError
from tmca_core.slicewise import neighbour_dice, parse_range, smooth_across


@pytest.mark.parametrize(
    ("text", "expected"), [("10:40", range(9, 40)), (":3", range(3)), ("7:", range(6, 50)), (" 5 : 5 ", range(4, 5))]
)
def test_a_range_counts_from_one_and_includes_both_ends(text, expected):
    assert parse_range(text, 50) == expected


@pytest.mark.parametrize("text", ["0:4", "4:3", "1:51", "5", "a:b", "1:2:3", "-1:4", ""])
def test_what_is_no_range_of_the_scan_is_refused(text):
    with pytest.raises(ConfigError, match="expected a range such as 10:40 within 1:50, got"):
        parse_range(text, 50)


def test_one_slice_that_flickers_is_carried_by_its_neighbours_and_slices_stay_sharp():
    logits = np.full((9, 100, 4), -6.0, dtype=np.float32)
    logits[:, 30:70] = 6.0
    logits[4] = -2.0
    smooth_across(logits)
    mask = logits > 0
    assert mask[:, 30:70].all()
    assert not mask[:, :30].any()
    assert not mask[:, 70:].any()


def test_certain_logits_stay_finite():
    logits = np.full((3, 2, 2), 80.0, dtype=np.float32)
    smooth_across(logits)
    assert np.isfinite(logits).all()
    assert (logits > 10).all()


def test_neighbours_without_target_do_not_count():
    mask = np.zeros((5, 4, 4))
    assert math.isnan(neighbour_dice(mask))
    mask[1:3, :2] = 1
    assert neighbour_dice(mask) == pytest.approx(1 / 3)  # nothing, the same, nothing; the last pair is empty
