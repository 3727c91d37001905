"""Segmentation losses, on logits: METHOD, section 4."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn.functional import binary_cross_entropy_with_logits

if TYPE_CHECKING:
    from torch import Tensor


def dice_loss(logits: Tensor, targets: Tensor, *, smooth: float = 1.0) -> Tensor:
    """Return 1 - soft Dice, taken per picture and averaged over the batch.

    Per picture, so that a small target weighs as much as a large one, as in the mean Dice that the network is judged
    by. An empty target is met by an empty prediction: ``smooth`` makes that 0.

    Parameters
    ----------
    logits, targets : Tensor, shape (B, 1, H, W)
        Logits, and targets 0..1.
    smooth : float
        Added to numerator and denominator, in pixels.

    """
    probabilities = logits.float().sigmoid().flatten(1)
    reference = targets.float().flatten(1)
    intersection = (probabilities * reference).sum(1)
    total = probabilities.sum(1) + reference.sum(1)
    return (1.0 - (2.0 * intersection + smooth) / (total + smooth)).mean()


def segmentation_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return Dice + binary cross entropy of (B, 1, H, W) logits against targets 0..1."""
    return dice_loss(logits, targets) + binary_cross_entropy_with_logits(logits.float(), targets.float())
