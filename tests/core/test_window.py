"""The window that weights were trained behind: another formula would feed the network other numbers."""

from __future__ import annotations

import numpy as np
import pytest

from tmca_core.model.architecture import PreprocessArchitecture
from tmca_core.model.preprocess import intensity_window
from tmca_core.window import parse_windows, robust_window


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_a_small_image_is_taken_whole_and_in_double_precision(dtype):
    pixels = np.random.default_rng(0).normal(100, 30, (60, 50)).astype(dtype)
    low, high = np.percentile(pixels.astype(np.float64), [0.5, 99.5])
    assert robust_window(pixels) == (low, high)


def test_of_a_large_image_every_nth_value_counts():
    pixels = np.random.default_rng(0).normal(0, 1, (3, 1000, 1100)).astype(np.float32)
    low, high = np.percentile(pixels.reshape(-1)[::3].astype(np.float64), [0.5, 99.5])
    assert robust_window(pixels) == (low, high)


def test_the_network_sees_the_window_of_its_own_percentiles():
    pixels = np.arange(1001, dtype=np.float32)
    assert intensity_window(pixels, PreprocessArchitecture()) == robust_window(pixels) == (5.0, 995.0)
    assert intensity_window(pixels, PreprocessArchitecture(low_percentile=10, high_percentile=80)) == (100.0, 800.0)


def test_outliers_do_not_widen_it():
    pixels = np.random.default_rng(0).uniform(0, 1, (100, 100))
    pixels[0, :10], pixels[1, :10] = 1e6, -1e6
    low, high = robust_window(pixels)
    assert 0 <= low < high <= 1


def test_a_constant_image_has_equal_ends():
    assert robust_window(np.full((4, 4), 7, dtype=np.int16)) == (7.0, 7.0)


def test_named_windows_are_read_and_what_is_none_is_named():
    windows, unread = parse_windows("Liver: 60, 160; Late phase : -40.5 81\nBone: 400/1800;; wide; Flat: 40, 0; : 1, 2")
    assert windows == {"Liver": (-20.0, 140.0), "Late phase": (-81.0, 0.0), "Bone": (-500.0, 1300.0)}
    assert unread == ("wide", "Flat: 40, 0", ": 1, 2")


def test_no_windows_are_none():
    assert parse_windows(" ; \n") == ({}, ())
