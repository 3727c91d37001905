"""Attention maps, which each level of the network has at its own resolution, brought to the scan's grid. numpy only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tmca_core.study import Segmentation


def attention_on_scan(
    segmentation: Segmentation, level: int | Literal["mean"] = "mean", sentence: int | None = None
) -> NDArray[np.float32]:
    """Return one attention map on the scan's grid, bilinear within each slice.

    Parameters
    ----------
    segmentation : Segmentation
        With attention maps of shape (h, w) or (Z, h, w), fine to coarse.
    level : int or "mean"
        1 (finest) to the number of levels, or the mean of all levels.
    sentence : int, optional
        Index into ``segmentation.report.sentences``, one of ``report.used``: the map of that sentence alone. Without
        it, the map of the whole report.

    Returns
    -------
    NDArray[np.float32], shape of the scan
        0..1.

    Raises
    ------
    ValueError
        If there is no such level, or no map for that sentence; the message lists what there is.

    """
    return maps_on_scan(_levels(segmentation, sentence), segmentation.logits.shape, level)


def maps_on_scan(
    levels: Sequence[NDArray[np.float32]], shape: tuple[int, ...], level: int | Literal["mean"] = "mean"
) -> NDArray[np.float32]:
    """Return one level's map, or the mean of all, on a grid of ``shape``; see `attention_on_scan`."""
    if level == "mean":
        chosen = levels
    elif level not in range(1, len(levels) + 1):
        raise ValueError(f'expected level "mean" or 1 to {len(levels)} (fine to coarse), got {level!r}')
    else:
        chosen = [levels[level - 1]]
    total = np.zeros(shape, dtype=np.float32)
    for attention in chosen:
        total += resize_slices(attention, shape)
    total /= len(chosen)
    return np.clip(total, 0.0, 1.0, out=total)


def resize_slices(maps: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Resize the last two axes bilinearly, pixel centres at half-pixel positions and edges held.

    The same grid as ``torch.nn.functional.interpolate(mode="bilinear", align_corners=False)``, so that a map lies where
    the network saw it. Two small matrix products per slice; much faster than a general spline.

    Parameters
    ----------
    maps : NDArray[np.float32], shape (h, w) or (Z, h, w)
    shape : tuple of int
        (Y, X) or (Z, Y, X) with the same Z.

    Raises
    ------
    ValueError
        If the number of axes, or of slices, differs.

    """
    if maps.ndim != len(shape) or maps.shape[:-2] != shape[:-2]:
        raise ValueError(f"expected one map per slice of a scan of shape {shape}, got maps of shape {maps.shape}")
    rows = _interpolation(maps.shape[-2], shape[-2])
    columns = _interpolation(maps.shape[-1], shape[-1])
    resized: NDArray[np.float32] = rows @ maps.astype(np.float32, copy=False) @ columns.T
    return resized


def _levels(segmentation: Segmentation, sentence: int | None) -> tuple[NDArray[np.float32], ...]:
    """Return the maps of the whole report, or of one sentence."""
    if sentence is None:
        levels = segmentation.attention
    else:
        used = segmentation.report.used if segmentation.report else ()
        if sentence not in used or len(segmentation.sentence_attention) != len(used):
            valid = ", ".join(map(str, used)) if segmentation.sentence_attention else "none"
            raise ValueError(f"sentence {sentence} has no attention map; sentences that have one: {valid}")
        levels = segmentation.sentence_attention[used.index(sentence)]
    if not levels:
        raise ValueError("this segmentation has no attention maps")
    return levels


def _interpolation(source: int, target: int) -> NDArray[np.float32]:
    """Return the (target, source) matrix of linear interpolation weights."""
    position = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    below = np.floor(position).astype(int)
    above = np.minimum(below + 1, source - 1)
    weights = np.zeros((target, source), dtype=np.float32)
    np.add.at(weights, (np.arange(target), below), 1 - (position - below))
    np.add.at(weights, (np.arange(target), above), position - below)
    return weights
