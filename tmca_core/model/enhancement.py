"""Language-guided target enhancement module (LTEM): METHOD, section 3, one per decoder level."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, scaled_dot_product_attention

from tmca_core.model.blocks import PositionCode, pixel_similarity

if TYPE_CHECKING:
    from tmca_core.model.text_encoder import ReportEmbedding


@dataclass(frozen=True, eq=False)
class Enhanced:
    """One level after enhancement.

    Attributes
    ----------
    features : Tensor, shape (B, C, h, w)
        F'_l.
    pixel_embeddings : Tensor, shape (B, d_a, h, w)
        g_l.
    attention : Tensor, shape (B, 1, h, w)
        A_l, 0..1.

    """

    features: Tensor
    pixel_embeddings: Tensor
    attention: Tensor


class CrossAttention(nn.Module):
    """Multi-head attention from pixels to the words of the report.

    Parameters
    ----------
    channels : int
        Channels of the feature map.
    text_dim : int
        d, size of a token embedding.
    dim, num_heads : int
        Size of the attention and its number of heads.

    """

    def __init__(self, channels: int, text_dim: int, *, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, dim)
        self.key_value = nn.Linear(text_dim, 2 * dim)
        self.out = nn.Linear(dim, channels)

    def forward(self, x: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        """Return what the words say to each pixel.

        Parameters
        ----------
        x : Tensor, shape (B, C, h, w)
            Features with position code.
        tokens : Tensor, shape (B, T, d)
            E.
        mask : Tensor of bool, shape (B, T)
            True where a token stands; every row has one.

        Returns
        -------
        Tensor, shape (B, C, h, w)

        """
        height, width = x.shape[-2:]
        pixels = self.norm(x.flatten(2).transpose(1, 2))  # (B, hw, C)
        query = self._split(self.query(pixels))  # (B, heads, hw, dim/heads)
        key, value = (self._split(half) for half in self.key_value(tokens).chunk(2, dim=-1))
        attend = partial(scaled_dot_product_attention, attn_mask=mask[:, None, None])
        if query.device.type == "cpu":  # where its gradient is several times slower in bfloat16 than in float32
            with torch.autocast("cpu", enabled=False):
                said = attend(query.float(), key.float(), value.float())
        else:
            said = attend(query, key, value)
        said = self.out(said.transpose(1, 2).flatten(2))  # (B, hw, C)
        return said.transpose(1, 2).unflatten(2, (height, width))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class TargetEnhancement(nn.Module):
    """LTEM of one level: what the report names is strengthened, by a gate that starts closed.

    g_l is taken from the features *with* position code, so that the similarity of a pixel and a report can depend on
    where the pixel lies: words such as "left lower zone" name a place before they name an appearance.

    Parameters
    ----------
    channels : int
        C_l.
    text_dim : int
        d.
    align_dim : int
        d_a, the space in which pixels and reports are compared.
    attention_dim, num_heads : int
        Of the cross-attention.
    use_target : bool
        Whether what the words say is weighted with A_l; else it is added everywhere. For ablation.

    """

    def __init__(
        self,
        channels: int,
        text_dim: int,
        *,
        align_dim: int = 128,
        attention_dim: int = 128,
        num_heads: int = 4,
        use_target: bool = True,
    ) -> None:
        super().__init__()
        self.use_target = use_target
        self.position = PositionCode(channels)
        self.cross_attention = CrossAttention(channels, text_dim, dim=attention_dim, num_heads=num_heads)
        self.to_align = nn.Conv2d(channels, align_dim, 1)
        self.attention_scale = nn.Parameter(torch.tensor(10.0))
        self.attention_shift = nn.Parameter(torch.tensor(0.0))
        self.gamma = nn.Parameter(torch.zeros(channels))

    def forward(
        self, features: Tensor, report: ReportEmbedding, report_vectors: Tensor, extent: tuple[float, float]
    ) -> Enhanced:
        """Enhance F_l.

        Parameters
        ----------
        features : Tensor, shape (B, C, h, w)
            F_l.
        report : ReportEmbedding
            E and its mask.
        report_vectors : Tensor, shape (B, d_a)
            z.
        extent : tuple of float
            See `PositionCode`.

        """
        placed = features + self.position(*features.shape[-2:], extent).to(features.dtype)
        embeddings = normalize(self.to_align(placed), dim=1)
        attention = self.attention(embeddings, report_vectors)
        said = placed + self.cross_attention(placed, report.tokens, report.mask)
        gate = self.gamma[None, :, None, None]
        if self.use_target:
            gate = gate * attention
        return Enhanced(features + (gate * said).to(features.dtype), embeddings, attention)

    def attention(self, pixel_embeddings: Tensor, report_vectors: Tensor) -> Tensor:
        """Return A_l of any text vector, 0..1: (B or 1, d_a, h, w) and (B, d_a) to (B, 1, h, w)."""
        similarity = pixel_similarity(pixel_embeddings, report_vectors)
        return torch.sigmoid(self.attention_scale * similarity + self.attention_shift)
