from __future__ import annotations

import numpy as np
import pytest

from tmca_core.editing import (
    fill_holes,
    gap_around,
    grow,
    interpolate_slices,
    keep_largest,
    refine,
    remove_specks,
    shrink,
    smooth,
)


def disc(shape=(64, 64), centre=(32, 32), radius=12):
    y, x = np.indices(shape)
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2


TOOLS = [fill_holes, smooth, keep_largest, remove_specks, grow, shrink]


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("shape", [(20, 30), (4, 20, 30), (1, 1)], ids=["picture", "volume", "one pixel"])
def test_every_tool_takes_an_empty_mask_and_changes_no_input(tool, shape):
    mask = np.zeros(shape, bool)
    out = tool(mask)
    assert out.shape == shape
    assert out.dtype == bool
    assert not out.any()
    full = np.ones(shape, bool)
    tool(full)
    assert full.all()


def test_holes_are_filled_slice_by_slice():
    ring = disc() & ~disc(radius=5)
    volume = np.stack([ring, disc()])
    assert np.array_equal(fill_holes(volume), np.stack([disc(), disc()]))


def test_smoothing_takes_a_spike_and_keeps_the_area():
    mask = disc()
    mask[32, 44:56] = True
    out = smooth(mask)
    assert not out[32, 50]
    assert out.sum() == pytest.approx(disc().sum(), rel=0.05)


def test_the_largest_part_stays():
    mask = disc() | disc(centre=(6, 6), radius=3)
    assert np.array_equal(keep_largest(mask), disc())


def test_specks_go_and_parts_stay():
    mask = disc() | disc(centre=(6, 6), radius=3)
    mask[60, 60] = True
    assert np.array_equal(remove_specks(mask), disc() | disc(centre=(6, 6), radius=3))
    assert np.array_equal(remove_specks(mask, smallest=100), disc())


def test_growing_and_shrinking_undo_each_other_on_a_square_and_stay_within_the_slice():
    volume = np.zeros((3, 20, 20), bool)
    volume[1, 5:10, 5:10] = True
    assert not grow(volume)[[0, 2]].any()
    assert np.array_equal(shrink(grow(volume)), volume)
    assert shrink(np.ones((8, 8), bool)).all()


def test_between_two_slices_the_shape_goes_over_from_the_one_to_the_other():
    volume = np.zeros((5, 64, 64), bool)
    volume[0], volume[4] = disc(radius=8), disc(radius=16)
    assert gap_around(volume, 2) == (0, 4)
    out = interpolate_slices(volume, 0, 4)
    for z, radius in ((1, 10), (2, 12), (3, 14)):
        assert out[z].sum() == pytest.approx(np.pi * radius**2, rel=0.05)
    assert np.array_equal(out[[0, 4]], volume[[0, 4]])


def test_there_is_no_gap_at_the_ends_or_in_a_filled_slice():
    volume = np.zeros((5, 8, 8), bool)
    volume[1, 2, 2] = volume[3, 2, 2] = True
    assert gap_around(volume, 2) == (1, 3)
    assert [gap_around(volume, z) for z in (0, 1, 4)] == [None, None, None]


@pytest.mark.parametrize(("first", "last", "match"), [(3, 1, "first < last"), (0, 2, "empty"), (0, 9, "first < last")])
def test_slices_that_cannot_be_joined_are_refused(first, last, match):
    volume = np.zeros((5, 8, 8), bool)
    volume[2] = True
    with pytest.raises(ValueError, match=match):
        interpolate_slices(volume, first, last)


def test_a_stroke_takes_in_what_looks_alike_and_leaves_the_rest_alone():
    bright = disc(centre=(32, 32), radius=12)
    other = disc(centre=(10, 54), radius=5)
    picture = np.where(bright | other, 200.0, 50.0)
    probability = np.full((64, 64), 0.3)
    probability[other] = 0.9
    out = refine(other, probability, picture, include=[(32, x) for x in range(28, 37)])
    assert (out & bright).sum() > 0.95 * bright.sum()
    assert (out & ~bright & ~other).sum() < 0.05 * bright.sum()
    assert (out & other).sum() == other.sum()


def test_a_stroke_excludes_what_was_masked():
    left, right = disc(centre=(32, 20), radius=8), disc(centre=(32, 44), radius=8)
    picture = np.where(left | right, 200.0, 50.0)
    out = refine(left | right, np.where(left | right, 0.7, 0.1), picture, exclude=[(32, x) for x in range(41, 48)])
    assert (out & right).sum() < 0.1 * right.sum()
    assert np.array_equal(out & left, left)


def test_the_pixels_of_a_stroke_are_as_they_were_drawn_even_against_a_sure_network():
    out = refine(np.zeros((40, 40), bool), np.zeros((40, 40)), np.zeros((40, 40)), include=[(5, 5)], exclude=[(6, 6)])
    assert out[5, 5]
    assert not out[6, 6]


@pytest.mark.parametrize("shape", [(1, 30), (30, 1), (1, 1)])
def test_pictures_of_one_row_or_column_are_refined(shape):
    out = refine(np.zeros(shape, bool), np.full(shape, 0.5), np.zeros(shape), include=[(0, 0)])
    assert out[0, 0]


def test_strokes_beside_the_picture_change_nothing():
    mask = disc()
    assert np.array_equal(refine(mask, mask * 0.9, mask * 1.0, include=[(-1, 3), (64, 0)]), mask)
