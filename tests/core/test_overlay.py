"""The overlay shows the scan grey, the mask orange, the right slice, and square pixels."""

from __future__ import annotations

import numpy as np
import pytest

from tmca_core.overlay import MASK_RGB, draw_overlay, fullest_slice
from tmca_core.study import Scan

RAMP = np.linspace(0, 4000, 20 * 30).reshape(20, 30).astype(np.uint16)


def square(shape: tuple[int, ...] = (20, 30)) -> np.ndarray:
    mask = np.zeros(shape, dtype=np.uint8)
    mask[..., 5:12, 8:16] = 1
    return mask


def test_outside_the_mask_the_scan_stays_grey_and_keeps_its_order():
    picture, slice_index = draw_overlay(Scan(RAMP), square())
    outside = picture[square() == 0]
    assert slice_index is None
    assert picture.shape == (20, 30, 3)
    assert np.array_equal(outside[:, 0], outside[:, 2])
    assert (np.diff(outside[:, 0].astype(int)) >= 0).all()
    assert (outside.min(), outside.max()) == (0, 255)


def test_mask_is_outlined_and_tinted():
    picture, _ = draw_overlay(Scan(np.zeros((20, 30))), square())
    assert tuple(picture[5, 8]) == MASK_RGB
    assert tuple(picture[8, 12]) == tuple(int(0.3 * c) for c in MASK_RGB)
    assert not picture[square() == 0].any()


def test_an_empty_mask_leaves_the_scan():
    picture, _ = draw_overlay(Scan(RAMP), np.zeros((20, 30)))
    assert np.array_equal(picture[..., 0], picture[..., 1])


def test_a_constant_scan_is_black():
    picture, _ = draw_overlay(Scan(np.full((20, 30), 7.0)), np.zeros((20, 30)))
    assert not picture.any()


def test_eight_bit_colour_stays_as_it_is():
    colours = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    picture, _ = draw_overlay(Scan(colours, is_rgb=True), np.zeros((20, 30)))
    assert np.array_equal(picture, colours)


def test_sixteen_bit_colour_keeps_its_hue():
    colours = np.zeros((20, 30, 3), dtype=np.uint16)
    colours[:, :15, 0] = 60_000
    picture, _ = draw_overlay(Scan(colours, is_rgb=True), np.zeros((20, 30)))
    assert tuple(picture[0, 0]) == (255, 0, 0)


@pytest.mark.parametrize(("filled", "expected"), [([3], 3), ([1, 3], 1), ([], 2)], ids=["one", "first-of-two", "none"])
def test_a_volume_shows_its_fullest_slice(filled, expected):
    volume = np.zeros((5, 20, 30), dtype=np.uint8)
    volume[filled] = square()
    picture, slice_index = draw_overlay(Scan(np.zeros((5, 20, 30))), volume)
    assert slice_index == fullest_slice(volume.astype(bool)) == expected
    assert picture.shape == (20, 30, 3)


def test_pixels_become_square_where_the_spacing_is_known():
    picture, _ = draw_overlay(Scan(RAMP, spacing_mm=(2.0, 1.0)), square())
    assert picture.shape == (40, 30, 3)
    assert tuple(picture[10, 8]) == MASK_RGB


def test_the_scan_itself_is_not_drawn_on():
    colours = np.zeros((20, 30, 3), dtype=np.uint8)
    draw_overlay(Scan(colours, is_rgb=True), square())
    assert not colours.any()
