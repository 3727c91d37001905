"""Image encoders: a picture to features at strides 2 (detail), 4, 8, 16 and 32."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor, nn

from tmca_core.model.blocks import ConvNeXtBlock, conv_bn_gelu

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import ConvNextModel


@dataclass(frozen=True, eq=False)
class ImageFeatures:
    """What the decoder needs of a batch of pictures; computed once per scan.

    Attributes
    ----------
    detail : Tensor, shape (B, C_0, H/2, W/2)
        Fine edges, used by the head only.
    levels : tuple of Tensor
        ``levels[l - 1]`` is level l, (B, C_l, H/s, W/s) at stride s = 4, 8, 16, 32.
    image_shape : tuple of int
        (H, W) of the picture before padding to the stride.

    """

    detail: Tensor
    levels: tuple[Tensor, Tensor, Tensor, Tensor]
    image_shape: tuple[int, int]

    @property
    def extent(self) -> tuple[float, float]:
        """Share of the padded picture that the unpadded one covers, (y, x)."""
        height, width = self.levels[0].shape[-2:]
        return self.image_shape[0] / (4 * height), self.image_shape[1] / (4 * width)

    def at(self, index: int) -> ImageFeatures:
        """Return the features of one picture of the batch, still with a batch axis of 1."""
        one = slice(index, index + 1)
        level_1, level_2, level_3, level_4 = (level[one] for level in self.levels)
        return ImageFeatures(self.detail[one], (level_1, level_2, level_3, level_4), self.image_shape)


class CompactConvNeXt(nn.Module):
    """The encoder of ``tmca-compact``: ConvNeXt stages behind an overlapping stem, for training and running on a CPU.

    Parameters
    ----------
    channels : sequence of int, length 4
        Channels at strides 4, 8, 16, 32.
    depths : sequence of int, length 4
        Blocks per stage.
    kernel_sizes : sequence of int, length 4
        Depthwise kernel per stage. In bfloat16 on a CPU the gradient of 5x5 and 7x7 takes many times that of 3x3
        (benchmarks/depthwise.py), so the first stage, of the largest map, uses 3; context comes from the coarser ones.
    detail_channels : int
        Channels at stride 2.

    """

    stride = 32

    def __init__(
        self,
        *,
        channels: Sequence[int],
        depths: Sequence[int],
        kernel_sizes: Sequence[int],
        detail_channels: int,
    ) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.detail_channels = detail_channels
        self.stem = conv_bn_gelu(3, detail_channels, stride=2)
        widths = (detail_channels, *channels)
        self.downsamples = nn.ModuleList(conv_bn_gelu(before, after, stride=2) for before, after in pairwise(widths))
        self.stages = nn.ModuleList(
            nn.Sequential(*(ConvNeXtBlock(width, kernel_size=kernel) for _ in range(depth)))
            for width, depth, kernel in zip(channels, depths, kernel_sizes, strict=True)
        )

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return stride 2 detail and the four levels of (B, 3, H, W), H and W multiples of 32."""
        detail = self.stem(images)
        levels, x = [], detail
        for downsample, stage in zip(self.downsamples, self.stages, strict=True):
            x = stage(downsample(x))
            levels.append(x)
        return detail, levels


class PretrainedConvNeXt(nn.Module):
    """The encoder of ``tmca-base``: a ConvNeXt of transformers, with a stride 2 stem beside it for the detail.

    Parameters
    ----------
    backbone : ConvNextModel
        With four stages at strides 4, 8, 16, 32.
    detail_channels : int
        Channels at stride 2.

    """

    stride = 32

    def __init__(self, backbone: ConvNextModel, *, detail_channels: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.channels = tuple(backbone.config.hidden_sizes)
        self.detail_channels = detail_channels
        self.detail = conv_bn_gelu(3, detail_channels, stride=2)

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return stride 2 detail and the four levels of (B, 3, H, W), H and W multiples of 32."""
        states = self.backbone(pixel_values=images, output_hidden_states=True).hidden_states
        return self.detail(images), list(states[1:])
