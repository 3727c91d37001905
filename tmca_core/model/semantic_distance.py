"""Target-sensitive semantic distance module (TSDM): METHOD, section 1.

Distance is measured from the target's pixels, not from the pooled picture, and two pairs count as near when their
reports or their targets agree.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize


def foreground_vectors(pixel_embeddings: Tensor, targets: Tensor) -> Tensor:
    """Return v_l, the normalised mean embedding of the target's pixels.

    Parameters
    ----------
    pixel_embeddings : Tensor, shape (B, d_a, h, w)
        g_l, unit length per pixel.
    targets : Tensor, shape (B, 1, h, w)
        Y_l, share of each cell that is target, 0..1.

    Returns
    -------
    Tensor, shape (B, d_a)
        Meaningless where the target is empty: leave those rows out.

    """
    return normalize(foreground_sums(pixel_embeddings, targets), dim=-1)


def foreground_sums(pixel_embeddings: Tensor, targets: Tensor) -> Tensor:
    """Return v_l before it is brought to unit length, (B, d_a): sums of several pictures can be added."""
    rows = pixel_embeddings.permute(0, 2, 3, 1).flatten(1, 2)  # (B, hw, d_a), as the pixels lie in memory
    return (targets.flatten(1).unsqueeze(1) @ rows).squeeze(1)


def semantic_distances(foreground: Tensor, reports: Tensor) -> Tensor:
    """Return D_l(i, j) = 1 - <v_l,i , z_j>, shape (B_v, B_z), in 0..2.

    Parameters
    ----------
    foreground, reports : Tensor, shape (B, d_a)
        v_l and z, both of unit length.

    """
    return 1.0 - foreground @ reports.T


def target_overlaps(targets: Tensor) -> Tensor:
    """Return IoU(Y_i, Y_j) of every pair of targets, (B, B).

    Parameters
    ----------
    targets : Tensor, shape (B, 1, h, w)
        0..1; for fractions the soft IoU (products for the intersection).

    """
    flat = targets.flatten(1)
    intersection = flat @ flat.T
    area = (flat * flat).sum(1)
    return intersection / (area[:, None] + area[None] - intersection).clamp_min(1e-6)


def pair_similarities(report_embeddings: Tensor, targets: Tensor, *, report_weight: float) -> Tensor:
    """Return S of METHOD, (B, B): how near two cases are by report and by target.

    Parameters
    ----------
    report_embeddings : Tensor, shape (B, d)
        e, before W_t; detached here, so that the soft targets do not chase themselves.
    targets : Tensor, shape (B, 1, h, w)
        Y_l, 0..1.
    report_weight : float
        a of METHOD, 0..1.

    """
    e = normalize(report_embeddings.detach(), dim=-1)
    similarity = e @ e.T
    centred = (similarity - similarity.mean(dim=1, keepdim=True)).clamp_min(0.0)
    return report_weight * centred + (1.0 - report_weight) * target_overlaps(targets)


def soft_targets(similarities: Tensor, *, softness: float, temperature: float) -> Tensor:
    """Return Q of METHOD, (B, B), rows summing to 1.

    Parameters
    ----------
    similarities : Tensor, shape (B, B)
        S.
    softness : float
        rho; 0 gives the identity, which is plain InfoNCE.
    temperature : float
        tau_s.

    """
    identity = torch.eye(len(similarities), device=similarities.device, dtype=similarities.dtype)
    return softness * (similarities / temperature).softmax(dim=1) + (1.0 - softness) * identity
