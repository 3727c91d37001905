"""What an answer says of whether the report belongs to the image. numpy and scipy only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_MOST_PIXELS = 1 << 20


def agreement_evidence(
    distances: Sequence[float],
    logits: NDArray[np.floating],
    image_only_logits: NDArray[np.floating],
    *,
    temperature: float = 1.0,
) -> tuple[float, ...]:
    """Return what tells an image's own report from another's, shape (L + 4,).

    The semantic distances alone leave out how the answer changes when the report is believed: a report that is wrong
    for the image moves the mask away from what the image shows, and makes the network unsure.

    Parameters
    ----------
    distances : sequence of float, length L
        Semantic distance of the image-only target and the report, per level.
    logits, image_only_logits : NDArray, the same shape
        The answer to the report, and to the image alone.
    temperature : float
        That both were divided by. It is taken out again, since it is fitted in the same run as the agreement.

    Returns
    -------
    tuple of float
        The distances; soft Dice of both answers; Dice that the network expects of the one and of the other; logarithm
        of the ratio of their areas.

    """
    step = max(logits.size // _MOST_PIXELS, 1)
    p, q = (expit(values.ravel()[::step] * np.float32(temperature)) for values in (logits, image_only_logits))
    least = 1e-3 * p.size  # keeps the ratio of two small areas tame
    overlap = 2.0 * float(p @ q) / max(float(p.sum() + q.sum()), 1e-6)
    ratio = np.log((np.count_nonzero(p >= 0.5) + least) / (np.count_nonzero(q >= 0.5) + least))
    return (*distances, overlap, _expected_dice(p), _expected_dice(q), float(ratio))


def _expected_dice(probability: NDArray[np.floating]) -> float:
    mask = probability >= 0.5
    return 2.0 * float(probability[mask].sum()) / max(float(probability.sum()) + np.count_nonzero(mask), 1e-6)
