"""Small parts that several rooms of the network share."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class DepthwiseConv2d(nn.Conv2d):
    """Depthwise convolution without bias, padded to the input's size over its stride.

    On a CPU it computes in float32 under autocast where the kernel is larger than 3 or the stride is 2: in bfloat16 the
    gradient of these is slow (benchmarks/depthwise.py).
    """

    def __init__(self, channels: int, kernel_size: int, *, stride: int = 1) -> None:
        super().__init__(
            channels, channels, kernel_size, stride=stride, padding=kernel_size // 2, groups=channels, bias=False
        )
        self._is_slow_in_bfloat16 = kernel_size > 3 or stride > 1

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        if self._is_slow_in_bfloat16 and x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                return super().forward(x.float())
        return super().forward(x)


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution, two pointwise convolutions, residual: (B, C, H, W) to the same shape.

    BatchNorm in the place of ConvNeXt's LayerNorm: it folds into the convolution at inference, and on a CPU it costs a
    fraction of a LayerNorm over channels.
    """

    def __init__(self, channels: int, *, kernel_size: int = 7, expansion: int = 3) -> None:
        super().__init__()
        self.depthwise: nn.Conv2d = DepthwiseConv2d(channels, kernel_size)
        self.norm: nn.Module = nn.BatchNorm2d(channels)
        self.expand = nn.Conv2d(channels, expansion * channels, 1)
        self.project = nn.Conv2d(expansion * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        residual = self.norm(self.depthwise(x))
        return x + self.project(nn.functional.gelu(self.expand(residual)))


def conv_bn_gelu(in_channels: int, out_channels: int, *, stride: int = 1) -> nn.Sequential:
    """Return 3x3 convolution, BatchNorm, GELU; ``stride`` 2 halves the picture."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.GELU(),
    )


class PositionCode(nn.Module):
    """A 2-D position code for any height and width, (1, C, H, W).

    Sines and cosines of the coordinates relative to the picture's own extent, so that "lower left" is the same code at
    every resolution, followed by a learned 1x1 convolution.

    Parameters
    ----------
    channels : int
        Channels of the feature map that the code is added to.
    num_frequencies : int
        Octaves, from half a period over the picture upwards.

    """

    def __init__(self, channels: int, *, num_frequencies: int = 4) -> None:
        super().__init__()
        self.num_frequencies = num_frequencies
        self.project = nn.Conv2d(2 + 4 * num_frequencies, channels, 1)

    def forward(self, height: int, width: int, extent: tuple[float, float] = (1.0, 1.0)) -> Tensor:
        """Return the code of a (height, width) grid.

        Parameters
        ----------
        height, width : int
            Size of the feature map.
        extent : tuple of float
            Share of the (height, width) of the padded picture that the unpadded one covers, so that padding moves no
            coordinate.

        """
        weight = self.project.weight
        y = _centres(height, extent[0], weight)
        x = _centres(width, extent[1], weight)
        grid = torch.stack(torch.meshgrid(y, x, indexing="ij"))  # (2, H, W), -1 .. 1 over the picture
        octaves = 2.0 ** torch.arange(self.num_frequencies, device=weight.device, dtype=torch.float32) * (math.pi / 2)
        angles = (grid[None] * octaves[:, None, None, None]).flatten(0, 1)  # (2F, H, W)
        code = torch.cat([grid, angles.sin(), angles.cos()])[None]
        out: Tensor = self.project(code)
        return out


def _centres(n: int, extent: float, like: Tensor) -> Tensor:
    """Return pixel centres along one axis, scaled so that -1 .. 1 spans the unpadded picture."""
    positions = (torch.arange(n, device=like.device, dtype=torch.float32) + 0.5) / (n * extent)
    return 2.0 * positions - 1.0


def masked_mean(tokens: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over tokens where ``mask`` is true: (B, T, d), (B, T) to (B, d); zero where no token is."""
    weights = mask.to(tokens.dtype).unsqueeze(-1)  # (B, T, 1)
    return (tokens * weights).sum(1) / weights.sum(1).clamp_min(1.0)


def pixel_similarity(pixels: Tensor, vectors: Tensor) -> Tensor:
    """Return <g(p), z> of every pixel: (B or 1, d, H, W) and (B, d) to (B, 1, H, W), in float32.

    One picture may meet many vectors, without a copy of the picture for each. A product of matrices over the pixels as
    they lie in memory (channels last): its gradient lies the same way. An einsum's does not, and adding two layouts is
    slow.
    """
    rows = pixels.float().permute(0, 2, 3, 1).flatten(1, 2)  # (B or 1, HW, d)
    if len(pixels) == 1:
        similarity = (rows[0] @ vectors.float().T).T  # (B, HW)
    else:
        similarity = (rows @ vectors.float().unsqueeze(-1)).squeeze(-1)
    return similarity.unflatten(1, pixels.shape[-2:]).unsqueeze(1)
