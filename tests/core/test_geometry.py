"""Reorientation permutes and flips only: every voxel keeps its value and its place in space, there and back."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from tmca_core.errors import GeometryError
from tmca_core.geometry import (
    axis_codes,
    check_affine,
    is_sheared,
    plan_reading,
    ras_from_lps,
    spacing_from_affine,
    to_native,
    to_reading,
)

SHAPE = (4, 5, 6)
ORIENTATIONS = [(axes, signs) for axes in permutations(range(3)) for signs in product((1, -1), repeat=3)]


def _affine(axes, signs, spacing=(0.7, 1.9, 5.0), origin=(-31.5, 12.25, 800.0)):
    affine = np.eye(4)
    affine[:3, :3] = 0
    for native, (world, sign) in enumerate(zip(axes, signs, strict=True)):
        affine[world, native] = sign * spacing[native]
    affine[:3, 3] = origin
    return affine


def _rotation(rng, degrees):
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
    x, y, z = axis * np.deg2rad(degrees)
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(degrees)
    unit = k / angle
    rotation = np.eye(4)
    rotation[:3, :3] += np.sin(angle) * unit + (1 - np.cos(angle)) * unit @ unit
    return rotation


def _world(affine, indices):
    return (np.c_[indices, np.ones(len(indices))] @ affine.T)[:, :3]


def _read(voxels, affine):
    grid = plan_reading(voxels.shape, affine)
    return to_reading(voxels, grid), grid


def _every_index(shape):
    return np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).reshape(-1, len(shape))


@pytest.mark.parametrize(("axes", "signs"), ORIENTATIONS)
def test_every_orientation_comes_back_voxel_for_voxel(axes, signs):
    voxels = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    reading, grid = _read(voxels, _affine(axes, signs))
    np.testing.assert_array_equal(to_native(reading, grid), voxels)


@pytest.mark.parametrize(("axes", "signs"), ORIENTATIONS)
def test_every_orientation_reads_superior_posterior_left(axes, signs):
    grid = plan_reading(SHAPE, _affine(axes, signs))
    assert axis_codes(grid.affine_reading_ras) == "SPL"


@pytest.mark.parametrize("degrees", [0.0001, 10.0, 30.0, 75.0])
@pytest.mark.parametrize(("axes", "signs"), ORIENTATIONS)
def test_every_voxel_keeps_its_place_in_space(axes, signs, degrees):
    voxels = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    affine = _rotation(np.random.default_rng(int(degrees)), degrees) @ _affine(axes, signs)
    reading, grid = _read(voxels, affine)
    native_index, reading_index = _every_index(voxels.shape), _every_index(reading.shape)
    native_places = _world(affine, native_index)[np.argsort(voxels[tuple(native_index.T)])]
    reading_places = _world(grid.affine_reading_ras, reading_index)[np.argsort(reading[tuple(reading_index.T)])]
    np.testing.assert_allclose(reading_places, native_places, atol=1e-5)
    np.testing.assert_array_equal(to_native(reading, grid), voxels)


def test_spacing_follows_the_axes():
    grid = plan_reading(SHAPE, _affine((1, 2, 0), (1, -1, 1)))
    assert spacing_from_affine(grid.affine_reading_ras) == pytest.approx((1.9, 0.7, 5.0))


def test_oblique_volume_turns_to_the_nearest_direction_not_the_first():
    affine = _rotation(np.random.default_rng(3), 20) @ _affine((2, 0, 1), (-1, 1, 1))
    grid = plan_reading(SHAPE, affine)
    assert axis_codes(grid.affine_reading_ras) == "SPL"


def test_half_way_oblique_does_not_turn_with_the_last_digit():
    c = np.sqrt(0.5)
    affine = np.eye(4)
    affine[:2, :2] = [[c, -c], [c, c]]
    plans = {plan_reading(SHAPE, affine + noise).axes for noise in (0, 1e-9 * np.eye(4), -1e-9 * np.eye(4))}
    assert len(plans) == 1


def test_colour_axis_stays_last():
    voxels = np.arange(np.prod(SHAPE) * 3).reshape(*SHAPE, 3)
    reading = to_reading(voxels, plan_reading(SHAPE, _affine((2, 1, 0), (1, 1, -1))))
    assert reading.shape == (4, 5, 6, 3)
    assert set(map(tuple, reading.reshape(-1, 3))) == set(map(tuple, voxels.reshape(-1, 3)))


@pytest.mark.parametrize(
    ("shape", "codes"),
    [((4, 5, 1), "PL"), ((4, 1, 5), "IL"), ((1, 4, 5), "IP")],
    ids=["axial", "coronal", "sagittal"],
)
def test_a_single_slice_keeps_its_plane_and_is_read_as_that_plane_is(shape, codes):
    voxels = np.arange(20).reshape(shape)
    reading, grid = _read(voxels, _affine((0, 1, 2), (1, 1, 1)))
    assert grid.is_slice
    assert reading.ndim == 2
    assert axis_codes(grid.affine_reading_ras)[1:] == codes
    np.testing.assert_array_equal(to_native(reading, grid), voxels)


def test_a_two_axis_grid_comes_back_with_two_axes():
    voxels = np.arange(20).reshape(4, 5)
    reading, grid = _read(voxels, _affine((0, 1, 2), (1, 1, 1)))
    assert reading.shape == (5, 4)
    np.testing.assert_array_equal(to_native(reading, grid), voxels)


@pytest.mark.parametrize("shape", [(4, 5, 6), (4, 5, 1), (1, 4, 5), (4, 5)])
def test_without_orientation_the_stored_order_is_kept(shape):
    voxels = np.arange(np.prod(shape)).reshape(shape)
    grid = plan_reading(shape, None)
    reading = to_reading(voxels, grid)
    np.testing.assert_array_equal(reading, np.squeeze(voxels).T)
    np.testing.assert_array_equal(to_native(reading, grid), voxels)
    assert grid.affine_reading_ras is None


def test_a_mask_of_another_shape_is_refused_on_the_way_back():
    grid = plan_reading(SHAPE, None)
    with pytest.raises(ValueError, match=r"expected an array of the reading shape \(6, 5, 4\), got \(4, 5, 6\)"):
        to_native(np.zeros(SHAPE), grid)


def test_from_lps_to_ras_x_and_y_turn_round_and_z_stays():
    affine_lps = _affine((0, 1, 2), (1, 1, 1))
    affine_ras = ras_from_lps(affine_lps)
    assert axis_codes(affine_ras) == "LPS"
    places = _world(affine_lps, _every_index(SHAPE))
    np.testing.assert_array_equal(_world(affine_ras, _every_index(SHAPE)), places * [-1, -1, 1])


def test_shear_is_seen():
    affine = _affine((0, 1, 2), (1, 1, 1))
    assert not is_sheared(affine)
    affine[1, 2] = 0.5
    assert is_sheared(affine)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda a: a[:, :3], "4 x 4"),
        (lambda a: np.where(a == 0, np.nan, a), "NaN or infinite"),
        (lambda a: a * [0, 1, 1, 1], "singular"),
        (lambda a: a[[0, 0, 2, 3]], "singular"),
    ],
    ids=["shape", "nan", "zero-step", "parallel-axes"],
)
def test_an_affine_that_describes_no_grid_is_refused(spoil, message):
    with pytest.raises(GeometryError, match=message):
        check_affine(spoil(_affine((0, 1, 2), (1, 1, 1))))
