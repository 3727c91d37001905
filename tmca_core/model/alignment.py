"""Multi-level contrastive alignment: METHOD, section 2.

Two terms per level: the report against the targets of the whole batch (soft targets of the TSDM), and the report
against the pixels of its own picture. In float32 throughout; under several processes the batch is the global one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.nn.functional import all_gather as all_gather_with_gradient
from torch.nn.functional import adaptive_avg_pool2d, softplus

from tmca_core.model.blocks import pixel_similarity
from tmca_core.model.semantic_distance import (
    foreground_vectors,
    pair_similarities,
    semantic_distances,
    soft_targets,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, eq=False)
class AlignmentLosses:
    """Means over the levels that are switched on; each a scalar with gradient."""

    soft: Tensor
    pixel: Tensor


class MultiLevelAlignment(nn.Module):
    """The contrastive losses of every level.

    Parameters
    ----------
    levels : sequence of int
        Levels that take part, out of 1..4; the others cost nothing. For ablation.
    use_soft, use_pixel : bool
        Switch L_soft and L_pix on or off. For ablation.
    report_weight : float
        a: weight of the reports' agreement in S, against the targets'.
    softness : float
        rho: 0 turns the TSDM's soft targets into hard ones.
    temperature : float
        Start of tau, learned.
    target_temperature : float
        tau_s.

    """

    def __init__(
        self,
        *,
        levels: Sequence[int] = (1, 2, 3, 4),
        use_soft: bool = True,
        use_pixel: bool = True,
        report_weight: float = 0.5,
        softness: float = 0.8,
        temperature: float = 0.07,
        target_temperature: float = 0.1,
    ) -> None:
        super().__init__()
        self.levels = tuple(levels)
        self.use_soft, self.use_pixel = use_soft, use_pixel
        self.report_weight, self.softness = report_weight, softness
        self.target_temperature = target_temperature
        self.log_scale = nn.Parameter(torch.tensor(temperature).reciprocal().log())

    @property
    def temperature(self) -> Tensor:
        """tau, kept in 0.01 .. 1."""
        return (-self.log_scale).exp().clamp(0.01, 1.0)

    def forward(
        self,
        pixel_embeddings: Sequence[Tensor],
        report_vectors: Tensor,
        report_embeddings: Tensor,
        has_report: Tensor,
        targets: Tensor,
    ) -> AlignmentLosses:
        """Return both losses of a batch.

        Parameters
        ----------
        pixel_embeddings : sequence of 4 Tensor, each (B, d_a, H_l, W_l)
            g_l, level 1 to 4.
        report_vectors : Tensor, shape (B, d_a)
            z.
        report_embeddings : Tensor, shape (B, d)
            e.
        has_report : Tensor of bool, shape (B,)
            Cases without a report take no part in L_soft: they have no words to be told apart by.
        targets : Tensor, shape (B, 1, H, W)
            Y.

        """
        zero = report_vectors.float().sum() * 0.0
        soft, pixel = [], []
        with torch.autocast(targets.device.type, enabled=False):
            z, e = report_vectors.float(), report_embeddings.float()
            # Once for all levels: a device is waited for here.
            keep = gather(has_report & (targets.flatten(1).sum(1) > 0)).nonzero().squeeze(1)
            for level in self.levels:
                g = pixel_embeddings[level - 1].float()
                y = adaptive_avg_pool2d(targets.float(), (g.shape[-2], g.shape[-1]))
                if self.use_soft:
                    soft.append(self._soft_loss(g, z, e, y, keep))
                if self.use_pixel:
                    pixel.append(pixel_loss(g, z, y, self.temperature))
        return AlignmentLosses(torch.stack(soft).mean() if soft else zero, torch.stack(pixel).mean() if pixel else zero)

    def _soft_loss(self, g: Tensor, z: Tensor, e: Tensor, y: Tensor, keep: Tensor) -> Tensor:
        """Return L_soft of one level; ``keep`` numbers the cases of all processes that have a report and a target."""
        v, z_all, e_all, y_all = gather(foreground_vectors(g, y)), gather(z), gather(e), gather(y)
        if len(keep) < 2:
            return v.sum() * 0.0
        similarities = pair_similarities(e_all[keep], y_all[keep], report_weight=self.report_weight)
        return soft_contrast_loss(
            semantic_distances(v[keep], z_all[keep]),
            similarities,
            temperature=self.temperature,
            softness=self.softness,
            target_temperature=self.target_temperature,
        )


def soft_contrast_loss(
    distances: Tensor,
    similarities: Tensor,
    *,
    temperature: Tensor | float,
    softness: float,
    target_temperature: float,
) -> Tensor:
    """Return L_soft: cross entropy of softmax(-D / tau) with Q, in both directions, averaged.

    Parameters
    ----------
    distances : Tensor, shape (B, B)
        D; rows are targets, columns reports.
    similarities : Tensor, shape (B, B)
        S; its transpose gives the soft targets of the direction from reports to targets.
    temperature : Tensor or float
        tau.
    softness, target_temperature : float
        rho and tau_s.

    """
    losses = []
    for d, s in ((distances, similarities), (distances.T, similarities.T)):
        q = soft_targets(s, softness=softness, temperature=target_temperature)
        losses.append(-(q * (-d / temperature).log_softmax(dim=1)).sum(dim=1).mean())
    return (losses[0] + losses[1]) / 2


def pixel_loss(
    pixel_embeddings: Tensor, report_vectors: Tensor, targets: Tensor, temperature: Tensor | float
) -> Tensor:
    """Return L_pix: the report's vector must light up target pixels and no others.

    Fractional cells count by their share on either side. Pictures whose target is empty or fills everything have no
    contrast and are left out of the mean, which is over the pictures of all processes; with none left the loss is 0.

    Parameters
    ----------
    pixel_embeddings : Tensor, shape (B, d_a, h, w)
        g_l.
    report_vectors : Tensor, shape (B, d_a)
        z.
    targets : Tensor, shape (B, 1, h, w)
        Y_l, 0..1.
    temperature : Tensor or float
        tau.

    """
    scores = pixel_similarity(pixel_embeddings, report_vectors).flatten(1) / temperature  # (B, hw)
    inside = targets.flatten(1)
    cover, leak = _log_mean_exp(scores, inside), _log_mean_exp(scores, 1.0 - inside)
    has_contrast = (inside.sum(1) > 0) & ((1.0 - inside).sum(1) > 0)
    losses = softplus(leak - cover)
    return gather(torch.where(has_contrast, losses, 0.0)).sum() / gather(has_contrast).sum().clamp_min(1)


def _log_mean_exp(scores: Tensor, weights: Tensor) -> Tensor:
    """Return the log of the weighted mean of exp(scores) per row; finite also where every weight is 0."""
    tiny = torch.finfo(scores.dtype).tiny
    total = weights.sum(1).clamp_min(tiny).log()
    return (scores + weights.clamp_min(tiny).log()).logsumexp(dim=1) - total


def gather(rows: Tensor) -> Tensor:
    """Return the rows of all processes, in rank order, with gradient to this one's; the same rows when alone.

    Every process must hold the same number of rows.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return rows
    if rows.requires_grad:
        return torch.cat(all_gather_with_gradient(rows.contiguous()))
    parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, rows.contiguous())
    return torch.cat(parts)
