"""Augmentation of a batch that keeps report and picture in step.

Small affine moves and changes of exposure leave every side and zone where the report says it is. Mirroring does not:
which pictures are mirrored is returned, and `tmca_core.data.telling` exchanges left and right in what is told of them.
Every draw comes from the generator that is passed in, so that a resumed training sees the same pictures. Drawing and
doing are apart: what is drawn is a few numbers, what is done to the pixels can be left to a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample


class AugmentConfig(BaseModel):
    """Ranges of the augmentation; 0 switches a part off.

    ``scale`` and ``shift`` are shares of the picture, ``rotate`` is in radians, ``gamma`` in octaves; ``brightness``,
    ``contrast`` and ``noise`` are shares of the intensity window. ``flip`` is the share of pictures that are mirrored.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scale: float = Field(default=0.15, ge=0, lt=1)
    rotate: float = Field(default=0.15, ge=0)
    shift: float = Field(default=0.10, ge=0)
    gamma: float = Field(default=0.4, ge=0)
    brightness: float = Field(default=0.1, ge=0)
    contrast: float = Field(default=0.2, ge=0, lt=1)
    noise: float = Field(default=0.02, ge=0)
    flip: float = Field(default=0.0, ge=0, le=1)


ALL_ROWS = slice(None)


@dataclass(frozen=True, eq=False)
class Changes:
    """What is drawn for each picture of a batch, on the CPU; carried out by `apply_changes` on any device.

    Attributes
    ----------
    matrices : Tensor, shape (B, 2, 3)
        Maps of output to input coordinates, -1 .. 1 over the picture.
    gamma, contrast, brightness : Tensor, shape (B,)
        In octaves, and as shares of the intensity window.
    noise : float
        Deviation of the noise, as a share of the intensity window.
    noise_seed : int
        What the noise is drawn from, on the device that adds it.
    mirrored : list of bool, length B
        Whose picture is mirrored.

    """

    matrices: Tensor
    gamma: Tensor
    contrast: Tensor
    brightness: Tensor
    noise: float
    noise_seed: int
    mirrored: list[bool]


def augment(
    images: Tensor,
    masks: Tensor,
    config: AugmentConfig,
    generator: torch.Generator,
    *,
    total: int | None = None,
    rows: slice = ALL_ROWS,
) -> tuple[Tensor, Tensor, list[bool]]:
    """Return moved and re-exposed pictures, their masks, and which of the whole batch are mirrored.

    Parameters
    ----------
    images : Tensor, shape (B, C, H, W)
        0..1 over the intensity window.
    masks : Tensor, shape (B, 1, H, W)
        0..1.
    config : AugmentConfig
        Ranges.
    generator : torch.Generator
        On the CPU; the only source of chance.
    total : int, optional
        Pictures of the whole batch, for which chance is drawn; those given by default.
    rows : slice
        Which of them are given.

    """
    changes = draw_changes(len(images) if total is None else total, config, generator)
    images, masks = apply_changes(images, masks, changes, rows)
    return images, masks, changes.mirrored


def draw_changes(total: int, config: AugmentConfig, generator: torch.Generator) -> Changes:
    """Draw what happens to each of ``total`` pictures."""
    mirrored = torch.rand(total, generator=generator) < config.flip
    matrices = _matrices(total, config, generator)
    matrices[mirrored, 0] *= -1.0  # the input is read from the other side
    gamma, contrast, brightness = (
        _uniform(total, amplitude, generator) for amplitude in (config.gamma, config.contrast, config.brightness)
    )
    seed = int(torch.randint(2**62, (1,), generator=generator))
    return Changes(matrices, gamma, contrast, brightness, config.noise, seed, mirrored.tolist())


def apply_changes(images: Tensor, masks: Tensor, changes: Changes, rows: slice = ALL_ROWS) -> tuple[Tensor, Tensor]:
    """Return moved and re-exposed pictures and their masks, computed where the pictures are.

    Parameters
    ----------
    images : Tensor, shape (B, C, H, W)
        0..1 over the intensity window.
    masks : Tensor, shape (B, 1, H, W)
        0..1.
    changes : Changes
        Of the whole batch.
    rows : slice
        Which pictures of it are given.

    """
    device = images.device
    grid = affine_grid(changes.matrices[rows].to(device), list(masks.shape), align_corners=False)
    images = grid_sample(images, grid, padding_mode="border", align_corners=False)
    masks = grid_sample(masks, grid, padding_mode="zeros", align_corners=False)
    return _expose(images, changes, rows), (masks >= 0.5).to(masks.dtype)


def _uniform(n: int, amplitude: float, generator: torch.Generator) -> Tensor:
    return (2.0 * torch.rand(n, generator=generator) - 1.0) * amplitude


def _matrices(n: int, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Return (B, 2, 3) maps of output to input coordinates, -1 .. 1 over the picture."""
    angle = _uniform(n, config.rotate, generator)
    scale = 1.0 + _uniform(n, config.scale, generator)
    shift_x, shift_y = (2.0 * _uniform(n, config.shift, generator) for _ in range(2))
    cos, sin = angle.cos() * scale, angle.sin() * scale
    return torch.stack([torch.stack([cos, -sin, shift_x], -1), torch.stack([sin, cos, shift_y], -1)], 1)


def _expose(images: Tensor, changes: Changes, rows: slice) -> Tensor:
    gamma, contrast, brightness = (
        amounts[rows, None, None, None].to(images.device)
        for amounts in (changes.gamma, changes.contrast, changes.brightness)
    )
    images = images.clamp(0.0, 1.0) ** torch.exp2(gamma)
    images = (images - 0.5) * (1.0 + contrast) + 0.5 + brightness
    if changes.noise:
        generator = torch.Generator(images.device).manual_seed(changes.noise_seed)
        shape = (len(changes.mirrored), *images.shape[1:])
        images = images + changes.noise * torch.randn(shape, generator=generator, device=images.device)[rows]
    return images
