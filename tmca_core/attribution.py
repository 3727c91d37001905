"""Which sentence of a report drove which part of a mask. numpy and scipy only.

The network is told the whole report at once, so no part of a mask is one sentence's alone; it is laid at the door of
the sentence whose own attention is highest there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy

from tmca_core.attention import attention_on_scan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tmca_core.study import Segmentation


def sentences_at(segmentation: Segmentation, index: Sequence[int]) -> dict[int, float]:
    """Return the attention of every used sentence at one pixel, the mean of all levels, 0..1.

    Parameters
    ----------
    segmentation : Segmentation
        Of a report; without one, or outside the scan, nothing is returned.
    index : sequence of int
        (y, x) or (z, y, x).

    """
    shape = segmentation.logits.shape
    if segmentation.report is None or not _is_inside(index, shape):
        return {}
    strengths = {}
    for sentence, levels in zip(segmentation.report.used, segmentation.sentence_attention, strict=True):
        values = [_at(level, index, shape) for level in levels]
        if values:
            strengths[sentence] = float(np.mean(values))
    return strengths


def parts_by_sentence(segmentation: Segmentation, mask: NDArray[np.bool_]) -> dict[int, NDArray[np.bool_]]:
    """Return, per used sentence, the connected parts of a mask that it drove; every part belongs to one sentence.

    Parameters
    ----------
    segmentation : Segmentation
        Of a report; without one nothing is returned.
    mask : NDArray[np.bool_], shape of the scan
        What is divided.

    """
    report = segmentation.report
    if report is None or not segmentation.sentence_attention:
        return {}
    parts, count = scipy.ndimage.label(mask, structure=np.ones((3,) * mask.ndim))
    owners = np.zeros(count + 1, dtype=int)
    best = np.full(count + 1, -1.0)
    for sentence in report.used:
        means = scipy.ndimage.mean(attention_on_scan(segmentation, sentence=sentence), parts, np.arange(1, count + 1))
        mean = np.concatenate([[-2.0], np.asarray(means).reshape(-1)])
        owners[mean > best] = sentence
        best = np.maximum(best, mean)
    owner_of_pixel = np.where(mask, owners[parts], -1)
    return {sentence: owner_of_pixel == sentence for sentence in report.used}


def _is_inside(index: Sequence[int], shape: tuple[int, ...]) -> bool:
    return len(index) == len(shape) and all(0 <= i < n for i, n in zip(index, shape, strict=True))


def _at(level: NDArray[np.float32], index: Sequence[int], shape: tuple[int, ...]) -> float:
    """Return the value of a map, (h, w) or (Z, h, w), under a pixel of the scan."""
    row = index[-2] * level.shape[-2] // shape[-2]
    column = index[-1] * level.shape[-1] // shape[-1]
    return float(level[(*index[:-2], row, column)])
