"""Decoder: coarse to fine over four levels, each enhanced by the report; then logits at the picture's size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from torch import Tensor, nn
from torch.nn.functional import interpolate

from tmca_core.model.blocks import ConvNeXtBlock, conv_bn_gelu

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tmca_core.model.enhancement import Enhanced, TargetEnhancement
    from tmca_core.model.image_encoder import ImageFeatures
    from tmca_core.model.text_encoder import ReportEmbedding


@dataclass(frozen=True, eq=False)
class Decoded:
    """Logits at the picture's size, (B, 1, H, W), and the enhanced levels 1 to 4 (none when LTEM is switched off)."""

    logits: Tensor
    levels: tuple[Enhanced, ...]


class Merge(nn.Module):
    """Bring a coarser level up, join the encoder's features of the same size, and mix."""

    def __init__(self, coarse: int, skip: int, *, depth: int, kernel_size: int) -> None:
        super().__init__()
        self.reduce = nn.Sequential(nn.Conv2d(coarse, skip, 1, bias=False), nn.BatchNorm2d(skip))
        self.mix = nn.Sequential(*(ConvNeXtBlock(skip, kernel_size=kernel_size) for _ in range(depth)))

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """Return (B, skip, h, w) from (B, coarse, h/2, w/2) and (B, skip, h, w)."""
        up = interpolate(self.reduce(coarse), size=skip.shape[-2:], mode="bilinear", align_corners=False)
        out: Tensor = self.mix(up + skip)
        return out


class Decoder(nn.Module):
    """The four levels, coarse to fine.

    Parameters
    ----------
    channels : sequence of int, length 4
        Channels of the image encoder at strides 4, 8, 16, 32.
    detail_channels : int
        Channels at stride 2.
    enhancements : sequence of TargetEnhancement, length 4, or None
        Level 1 to 4; ``None`` gives an image-only decoder. For ablation.
    depth : int
        ConvNeXt blocks per merge.
    kernel_sizes : sequence of int, length 4
        As in the encoder.

    """

    def __init__(
        self,
        *,
        channels: Sequence[int],
        detail_channels: int,
        enhancements: Sequence[TargetEnhancement] | None,
        depth: int,
        kernel_sizes: Sequence[int],
    ) -> None:
        super().__init__()
        self.enhancements = nn.ModuleList(enhancements) if enhancements is not None else None
        self.merges = nn.ModuleList(
            Merge(channels[i + 1], channels[i], depth=depth, kernel_size=kernel_sizes[i]) for i in range(3)
        )
        self.to_detail = nn.Conv2d(channels[0], detail_channels, 1)
        self.refine = conv_bn_gelu(detail_channels, detail_channels)
        self.head = nn.Conv2d(detail_channels, 1, 1)

    def forward(self, features: ImageFeatures, report: ReportEmbedding, report_vectors: Tensor) -> Decoded:
        """Decode a batch of pictures with a batch of reports."""
        levels: list[Enhanced] = []
        x = self._enhance(3, features.levels[3], features, report, report_vectors, levels)
        for i in (2, 1, 0):
            x = self.merges[i](x, features.levels[i])
            x = self._enhance(i, x, features, report, report_vectors, levels)
        return Decoded(self._logits(x, features), tuple(reversed(levels)))

    def _enhance(
        self,
        index: int,
        x: Tensor,
        features: ImageFeatures,
        report: ReportEmbedding,
        report_vectors: Tensor,
        levels: list[Enhanced],
    ) -> Tensor:
        if self.enhancements is None:
            return x
        enhanced: Enhanced = self.enhancements[index](x, report, report_vectors, features.extent)
        levels.append(enhanced)
        return enhanced.features

    def _logits(self, x: Tensor, features: ImageFeatures) -> Tensor:
        up = interpolate(self.to_detail(x), size=features.detail.shape[-2:], mode="bilinear", align_corners=False)
        fine = self.head(self.refine(up + features.detail)).float()
        full = interpolate(fine, scale_factor=2.0, mode="bilinear", align_corners=False)
        height, width = features.image_shape
        return full[..., :height, :width].contiguous()


def level_attention(decoder: Decoder, levels: Sequence[Enhanced], text_vectors: Tensor) -> list[Tensor]:
    """Return the maps of other text vectors than the report's, such as one sentence's.

    Parameters
    ----------
    decoder : Decoder
        That made ``levels``.
    levels : sequence of Enhanced
        Of one picture, batch size 1.
    text_vectors : Tensor, shape (S, d_a)
        z of each sentence or word.

    Returns
    -------
    list of Tensor
        One per level, (S, 1, h, w), 0..1.

    """
    if decoder.enhancements is None:
        return []
    maps = []
    for enhancement, level in zip(decoder.enhancements, levels, strict=True):
        maps.append(cast("TargetEnhancement", enhancement).attention(level.pixel_embeddings, text_vectors))
    return maps
