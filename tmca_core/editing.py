"""Tools that correct a mask: a mask in, a new mask out. numpy and scipy only.

Masks are boolean, (Y, X) or (Z, Y, X). Holes are filled slice by slice, since a hole in a slice is seldom one of the
volume; everything else works on the whole mask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

SPECK_SHARE = 0.0005  # share of the picture, or of a slice, under which a part is a speck
_SMOOTH_SIGMA = 1.5
# Of `refine`: how fast a difference of grey parts two pixels, how strongly an opinion holds at least and when it is
# certain, and how far around the strokes it may change (share of the larger side).
_BETA = 60.0
_LEAST_HOLD, _FIRM_HOLD = 2e-4, 8e-3
_REACH = 0.25


def fill_holes(mask: Mask) -> Mask:
    """Return the mask without holes in any slice."""
    slices = [scipy.ndimage.binary_fill_holes(plane) for plane in _planes(mask)]
    return np.stack(slices).reshape(mask.shape)


def smooth(mask: Mask, sigma: float = _SMOOTH_SIGMA) -> Mask:
    """Return the mask with a smoother outline of about the same area; each slice for itself.

    Parameters
    ----------
    mask : NDArray[np.bool_]
    sigma : float
        Of the Gaussian, in pixels.

    """
    in_plane = (0.0,) * (mask.ndim - 2) + (sigma, sigma)
    return np.asarray(scipy.ndimage.gaussian_filter(mask.astype(np.float32), in_plane) >= 0.5)


def keep_largest(mask: Mask) -> Mask:
    """Return the largest connected part, diagonals included; an empty mask stays empty."""
    parts, sizes = _parts(mask)
    return parts == 1 + int(np.argmax(sizes)) if sizes.size else mask.copy()


def remove_specks(mask: Mask, smallest: int | None = None) -> Mask:
    """Return the mask without parts of fewer than ``smallest`` pixels.

    Parameters
    ----------
    mask : NDArray[np.bool_]
    smallest : int, optional
        Pixels or voxels; 0.05 % of a slice where not given.

    """
    least = max(SPECK_SHARE * mask.shape[-2] * mask.shape[-1], 2) if smallest is None else smallest
    parts, sizes = _parts(mask)
    return np.concatenate([[False], sizes >= least])[parts]


def grow(mask: Mask) -> Mask:
    """Return the mask, one pixel larger all around in every slice."""
    return np.asarray(scipy.ndimage.binary_dilation(mask, _cross(mask.ndim)))


def shrink(mask: Mask) -> Mask:
    """Return the mask, one pixel smaller all around in every slice; the picture's edge is no border."""
    return np.asarray(scipy.ndimage.binary_erosion(mask, _cross(mask.ndim), border_value=1))


def interpolate_slices(mask: Mask, first: int, last: int) -> Mask:
    """Return a volume whose slices between two are shaped from the one into the other, by signed distance.

    Parameters
    ----------
    mask : NDArray[np.bool_], shape (Z, Y, X)
    first, last : int
        Slices that stay, ``first < last``, both with a mask; all between are replaced.

    Raises
    ------
    ValueError
        If the slices are out of order or of range, or one of them is empty.

    """
    if mask.ndim != 3 or not 0 <= first < last < len(mask):
        raise ValueError(f"expected slices first < last of a volume, got {first} and {last} of shape {mask.shape}")
    if not mask[first].any() or not mask[last].any():
        raise ValueError(f"expected a mask in slices {first} and {last}, and one of them is empty")
    below, above = _signed_distance(mask[first]), _signed_distance(mask[last])
    out = mask.copy()
    for z in range(first + 1, last):
        share = (z - first) / (last - first)
        out[z] = (1 - share) * below + share * above > 0
    return out


def gap_around(mask: Mask, z: int) -> tuple[int, int] | None:
    """Return the nearest slices with a mask below and above slice ``z``, which has none; ``None`` without both."""
    filled = np.flatnonzero(mask.any(axis=(1, 2)))
    below, above = filled[filled < z], filled[filled > z]
    if z in filled or not below.size or not above.size:
        return None
    return int(below[-1]), int(above[0])


def refine(
    mask: Mask,
    probability: NDArray[np.floating],
    picture: NDArray[np.generic],
    include: Sequence[tuple[int, int]] = (),
    exclude: Sequence[tuple[int, int]] = (),
) -> Mask:
    """Return the mask of one slice after strokes over what belongs to the target and what does not.

    A random walk with the mask and the probability as its prior [1]_: along the grey values the strokes reach as far as
    nothing parts the pixels, and against a network that is sure they reach less far. Only what is connected to a stroke
    changes.

    Parameters
    ----------
    mask : NDArray[np.bool_], shape (Y, X)
        As it is now.
    probability : NDArray, shape (Y, X)
        Of the target, 0..1.
    picture : NDArray, shape (Y, X)
        Grey values.
    include, exclude : sequence of (y, x)
        Pixels of the strokes; a pixel in both is excluded.

    References
    ----------
    .. [1] L. Grady, Multilabel random walker image segmentation using prior models, CVPR 2005.

    """
    wanted, unwanted = _stroke(mask.shape, include), _stroke(mask.shape, exclude)
    wanted &= ~unwanted
    if not (wanted.any() or unwanted.any()):
        return mask.copy()
    window = _window_around(wanted | unwanted)
    x = _walk(_unit_range(picture[window]), _prior(mask[window], probability[window]), wanted[window], unwanted[window])
    new = mask.copy()
    new[window] = x >= 0.5
    return _connected_change(mask, new, wanted, unwanted)


def _prior(mask: Mask, probability: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the network's opinion, on the side of 0.5 on which the mask now is, at least a little."""
    p = np.asarray(probability, dtype=np.float64)
    return np.where(mask, np.maximum(p, 0.6), np.minimum(p, 0.4))


def _walk(grey: NDArray[np.float64], prior: NDArray[np.float64], wanted: Mask, unwanted: Mask) -> NDArray[np.float64]:
    """Solve (L + hold + held) x = hold * prior + held * wanted: hold per pixel of the prior, held where strokes lie."""
    height, width = grey.shape
    down = np.zeros_like(grey)
    down[:-1] = np.exp(-_BETA * np.square(np.diff(grey, axis=0)))
    right = np.zeros_like(grey)
    right[:, :-1] = np.exp(-_BETA * np.square(np.diff(grey, axis=1)))
    held = np.where(wanted | unwanted, 1e3, 0.0)
    degree = down + right
    degree[1:] += down[:-1]
    degree[:, 1:] += right[:, :-1]
    hold = _LEAST_HOLD + _FIRM_HOLD * np.square(2.0 * prior - 1.0)
    diagonal = (degree + hold + held).ravel()
    right_hand = (hold * prior + held * wanted).ravel()
    # Scaled by its diagonal the system needs no other preconditioner; the prior keeps it well conditioned.
    scale = 1.0 / np.sqrt(diagonal)
    to_right = -right.ravel()[:-1] * scale[:-1] * scale[1:]
    to_below = -down.ravel()[:-width] * scale[:-width] * scale[width:] if height > 1 else np.empty(0)
    bands, offsets = [np.ones(grey.size), to_right, to_right], [0, 1, -1]
    if to_below.size and width > 1:
        bands, offsets = [*bands, to_below, to_below], [*offsets, width, -width]
    elif to_below.size:
        bands, offsets = [np.ones(grey.size), to_below, to_below], [0, 1, -1]
    matrix = scipy.sparse.diags_array(bands, offsets=offsets, shape=(grey.size, grey.size)).tocsr()  # type: ignore[arg-type]  # its stub knows no arrays
    start = np.where(wanted, 1.0, np.where(unwanted, 0.0, prior)).ravel() / scale
    solution, _ = scipy.sparse.linalg.cg(matrix, right_hand * scale, x0=start, rtol=1e-3, maxiter=80)
    return np.asarray(solution * scale, dtype=np.float64).reshape(grey.shape)


def _connected_change(old: Mask, new: Mask, wanted: Mask, unwanted: Mask) -> Mask:
    """Return the old mask with those changes only that touch a stroke."""
    new = (new | wanted) & ~unwanted
    added, removed = new & ~old, old & ~new
    added = _touching(added | wanted, wanted) & added
    removed = _touching(removed | unwanted, unwanted) & removed
    return (old | added) & ~removed


def _touching(mask: Mask, stroke: Mask) -> Mask:
    parts, count = scipy.ndimage.label(mask)
    kept = np.zeros(count + 1, dtype=bool)
    kept[parts[stroke]] = True
    kept[0] = False
    return kept[parts]


def _window_around(strokes: Mask) -> tuple[slice, slice]:
    reach = max(int(_REACH * max(strokes.shape)), 24)
    rows, columns = np.nonzero(strokes)
    return (
        slice(max(int(rows.min()) - reach, 0), int(rows.max()) + reach + 1),
        slice(max(int(columns.min()) - reach, 0), int(columns.max()) + reach + 1),
    )


def _stroke(shape: tuple[int, ...], points: Sequence[tuple[int, int]]) -> Mask:
    out = np.zeros(shape, dtype=bool)
    for y, x in points:
        if 0 <= y < shape[0] and 0 <= x < shape[1]:
            out[y, x] = True
    return out


def _unit_range(picture: NDArray[np.generic]) -> NDArray[np.float64]:
    values = np.asarray(picture, dtype=np.float64)
    low, high = np.percentile(values, (1, 99))
    return np.clip((values - low) / max(high - low, 1e-9), 0.0, 1.0)


def _signed_distance(mask: Mask) -> NDArray[np.float64]:
    """Return the distance to the outline, positive inside; from its true place half a pixel off the centres."""
    inside = scipy.ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    outside = scipy.ndimage.distance_transform_edt(~mask)
    return np.where(mask, inside - 0.5, 0.5 - outside)


def _parts(mask: Mask) -> tuple[NDArray[np.signedinteger], NDArray[np.signedinteger]]:
    """Return the connected parts, numbered from 1, and their sizes."""
    parts, count = scipy.ndimage.label(mask, structure=np.ones((3,) * mask.ndim))
    return parts, np.bincount(parts.ravel(), minlength=count + 1)[1:]


def _cross(ndim: int) -> Mask:
    """Return the four neighbours in the plane."""
    cross = scipy.ndimage.generate_binary_structure(2, 1)
    return cross if ndim == 2 else cross[None]


def _planes(mask: Mask) -> Mask:
    return mask.reshape(-1, *mask.shape[-2:])
