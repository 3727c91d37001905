"""The yardstick: a plain U-Net, image only."""

from __future__ import annotations

import torch
from torch import nn


class PlainUNet(nn.Module):
    """A U-Net of 3x3 convolutions, image only, of about the compact network's number of weights."""

    def __init__(self, widths: tuple[int, ...] = (24, 48, 96, 192, 288)) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            _double(before, after) for before, after in zip((3, *widths[:-1]), widths, strict=True)
        )
        pairs = list(zip(widths[1:], widths[:-1], strict=True))[::-1]
        self.up = nn.ModuleList(_double(coarse + fine, fine) for coarse, fine in pairs)
        self.head = nn.Conv2d(widths[0], 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits of the picture's size."""
        skips = []
        for stage in self.down:
            x = stage(nn.functional.max_pool2d(x, 2) if skips else x)
            skips.append(x)
        for stage, skip in zip(self.up, skips[-2::-1], strict=True):
            x = stage(torch.cat([nn.functional.interpolate(x, scale_factor=2.0), skip], 1))
        out: torch.Tensor = self.head(x)
        return out


def _double(before: int, after: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (before, after):
        layers += [nn.Conv2d(channels, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers)
