"""Segmentation losses, on logits: METHOD, section 4."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

if TYPE_CHECKING:
    from torch import Tensor


def dice_loss(logits: Tensor, targets: Tensor, weights: Tensor | None = None, *, smooth: float = 1.0) -> Tensor:
    """Return 1 - soft Dice, taken per picture and averaged over the batch.

    Per picture, so that a small target weighs as much as a large one, as in the mean Dice that the network is judged
    by. An empty target is met by an empty prediction: ``smooth`` makes that 0.

    Parameters
    ----------
    logits, targets : Tensor, shape (B, 1, H, W)
        Logits, and targets 0..1.
    weights : Tensor, shape (B, 1, H, W), optional
        How much each pixel counts; 1 by default.
    smooth : float
        Added to numerator and denominator, in pixels.

    """
    probabilities = logits.float().sigmoid().flatten(1)
    reference = targets.float().flatten(1)
    weight = torch.ones_like(reference) if weights is None else weights.flatten(1)
    intersection = (weight * probabilities * reference).sum(1)
    total = (weight * probabilities).sum(1) + (weight * reference).sum(1)
    return (1.0 - (2.0 * intersection + smooth) / (total + smooth)).mean()


def segmentation_loss(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return Dice + binary cross entropy of (B, 1, H, W) logits against targets 0..1, pixels weighed by ``weights``."""
    entropy = binary_cross_entropy_with_logits(logits.float(), targets.float(), weights)
    return dice_loss(logits, targets, weights) + entropy
