"""How far to go from the old weights to the learned ones (Wortsman et al. 2022, WiSE-FT).

On the straight line between them the gain comes early and the forgetting late. So where a model will answer for what
it knew before, it goes no farther than most of the gain needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tmca_core.recipes.before_after import REFERENCE_TOLERANCE

if TYPE_CHECKING:
    from collections.abc import Mapping

SHARES = (0.3, 0.5, 0.7, 0.85, 1.0)
KEPT_GAIN = 0.9


def choose_share(gains: Mapping[float, float], forgotten: Mapping[float, float]) -> float:
    """Return the share of the way to go.

    Parameters
    ----------
    gains : mapping of float to float
        By share, what is gained on the held-out cases, in Dice as a fraction.
    forgotten : mapping of float to float
        By share, what is lost on the reference set.

    Returns
    -------
    float
        Of the shares that are not worse on the reference set, the smallest that keeps nine tenths of the best gain
        among them. Where none of these gains, that with the greatest gain after what is forgotten; where that is a
        loss, too, all of the way, so that what was learned is judged as it is.

    """
    keeping = [share for share in gains if forgotten[share] <= REFERENCE_TOLERANCE]
    best = max((gains[share] for share in keeping), default=0.0)
    if best <= 0.0:
        left = {share: gains[share] - max(forgotten[share], 0.0) for share in gains}
        most = max(left, key=lambda share: (left[share], share))
        return most if left[most] > 0.0 else 1.0
    return min(share for share in keeping if gains[share] >= KEPT_GAIN * best)
