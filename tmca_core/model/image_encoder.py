"""Image encoders: a picture to features at strides 2 (detail), 4, 8, 16 and 32."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor, nn

from tmca_core.model.blocks import ConvNeXtBlock, DepthwiseConv2d, conv_bn_gelu

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
        Depthwise kernel per stage. A large kernel costs most on the largest map, so the first stage uses 3; context
        comes from the coarser ones.
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


class EfficientNetLiteBackbone(nn.Module):
    """The convolutions of EfficientNet-Lite0 without its head: (B, 3, H, W) to maps at strides 2, 4, 8, 16, 32.

    After M. Tan and Q. Le, EfficientNet, arXiv 1905.11946, in its "Lite" variant: no squeeze and excitation, ReLU6.
    Padding is even on all sides where the original pads right and bottom only; that moves the grid by a pixel, and the
    pretrained weights carry over.
    """

    channels = (16, 24, 40, 112, 320)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_conv_bn_relu6(nn.Conv2d(3, 32, 3, stride=2, padding=1, bias=False)))
        stages, before = [], 32
        for stage in _EFFICIENTNET_LITE0:
            blocks: list[nn.Module] = []
            for repeats, kernel_size, stride, expansion, channels in stage:
                for i in range(repeats):
                    blocks.append(
                        _InvertedResidual(before, channels, kernel_size, stride=1 if i else stride, expansion=expansion)
                    )
                    before = channels
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the five maps of (B, 3, H, W), H and W multiples of 32."""
        maps, x = [], self.stem(images)
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


# Per stride 2, 4, 8, 16, 32: repeats, kernel size, stride, expansion, channels.
_EFFICIENTNET_LITE0 = (
    ((1, 3, 1, 1, 16),),
    ((2, 3, 2, 6, 24),),
    ((2, 5, 2, 6, 40),),
    ((3, 3, 2, 6, 80), (3, 5, 1, 6, 112)),
    ((4, 5, 2, 6, 192), (1, 3, 1, 6, 320)),
)


class _InvertedResidual(nn.Module):
    """Widen by a 1x1 convolution, convolve depthwise, narrow by another, and add the input where shapes agree."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, stride: int, expansion: int) -> None:
        super().__init__()
        width = in_channels * expansion
        parts = _conv_bn_relu6(nn.Conv2d(in_channels, width, 1, bias=False)) if expansion > 1 else []
        parts += _conv_bn_relu6(DepthwiseConv2d(width, kernel_size, stride=stride))
        parts += _conv_bn_relu6(nn.Conv2d(width, out_channels, 1, bias=False))[:2]
        self.layers = nn.Sequential(*parts)
        self.is_residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return x + out if self.is_residual else out


def _conv_bn_relu6(conv: nn.Conv2d) -> list[nn.Module]:
    return [conv, nn.BatchNorm2d(conv.out_channels, eps=1e-3), nn.ReLU6(inplace=True)]


class EfficientNetLite(nn.Module):
    """An encoder that starts from ImageNet: EfficientNet-Lite0, and a 1x1 convolution per level.

    Parameters
    ----------
    channels : sequence of int, length 4
        Channels given to the decoder at strides 4, 8, 16, 32.
    detail_channels : int
        Channels given at stride 2.

    """

    stride = 32

    def __init__(self, *, channels: Sequence[int], detail_channels: int) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.detail_channels = detail_channels
        self.backbone = EfficientNetLiteBackbone()
        self.laterals = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after))
            for before, after in zip(self.backbone.channels, (detail_channels, *channels), strict=True)
        )

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return stride 2 detail and the four levels of (B, 3, H, W), H and W multiples of 32."""
        maps = self.backbone(images)
        detail, *levels = (lateral(x) for lateral, x in zip(self.laterals, maps, strict=True))
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
