"""Adapters: what a network learned from a few cases, small enough to hand on, and merged into its base at loading.

A frozen matrix W of an attention, a projection or a 1x1 convolution is used as W + up @ down, of low rank. The decoder
around them is small and is trained whole. Own code, because peft renames the modules it wraps, wants `accelerate`, and
would have to be there to *load* a model; torch's parametrizations do the same in a few lines and merge without a trace.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from tmca_core.errors import CheckpointError
from tmca_core.model.gate import CENTRES, KNOWN, ORIGIN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from tmca_core.model.tmca import Tmca

_DOWN, _UP = ".lora_down", ".lora_up"
_PARAMETRIZED = ".parametrizations.weight.0"
# Of the image encoder, the last stages are adapted (strides 16 and 32): no gradient is needed below them.
NUM_ADAPTED_STAGES = 2
_STAGE = re.compile(r"image_encoder\.(?:.+\.)?stages\.(\d+)\.")
_LATERAL = "image_encoder.laterals."  # between EfficientNet-Lite and the decoder
_WHOLE = ("decoder.", "to_align.", "alignment.", "text_encoder.null")


class LowRank(nn.Module):
    """W to W + up @ down; starts as W itself, and is seeded by torch's generator.

    Parameters
    ----------
    shape : torch.Size
        Of the weight, (out, in) or (out, in, 1, 1).
    rank : int
        Of the difference; never more than the weight's own.

    """

    def __init__(self, shape: torch.Size, rank: int) -> None:
        super().__init__()
        rank = min(rank, shape[0], shape[1])
        self.down = nn.Parameter(torch.randn(rank, shape[1]) / shape[1] ** 0.5)
        self.up = nn.Parameter(torch.zeros(shape[0], rank))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the adapted weight."""
        return weight + (self.up @ self.down).view_as(weight)


def add_adapters(model: Tmca, rank: int) -> None:
    """Freeze a network but for adapters and decoder, in place.

    Adapted are the attention and projections of every LTEM and the 1x1 convolutions of the image encoder's last stages
    and of its laterals; trained whole are the rest of the decoder, the projection into the space of alignment, and the
    null report.
    """
    late = late_parts(model)
    for name, parameter in model.named_parameters():
        is_late_scale = parameter.ndim == 1 and name.startswith(late)
        parameter.requires_grad_(name.startswith(_WHOLE) or is_late_scale)
    for name, module in list(model.named_modules()):
        if _is_product(module) and name.startswith((*late, "decoder.enhancements.")):
            module.weight.requires_grad_(False)
            parametrize.register_parametrization(module, "weight", LowRank(module.weight.shape, rank))


def trained_tensors(model: nn.Module) -> dict[str, NDArray[np.float16]]:
    """Return what an adapter file holds of a network with adapters: whole weights and pairs of factors, in float16."""
    tensors = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            for part, suffix in (("down", _DOWN), ("up", _UP)):
                name = name.replace(f"{_PARAMETRIZED}.{part}", f".weight{suffix}")
            tensors[name] = np.array(parameter.detach().float().cpu().numpy(), np.float16, order="C")
    return tensors


@torch.no_grad()
def merge_adapter(model: Tmca, tensors: Mapping[str, NDArray[np.float16]], name: str) -> None:
    """Put an adapter's weights into its base network, in place; for what it answers is said by its gate, not here.

    Raises
    ------
    CheckpointError
        If a tensor does not belong to this network, or is not finite.

    """
    own = dict(model.named_parameters())
    for key, values in tensors.items():
        if not np.isfinite(values).all():
            raise CheckpointError(f"{name}: weights are not finite in {key}.", hint="Use another version of it.")
        value = torch.from_numpy(values.astype(np.float32))
        if key.endswith(_DOWN) or key in (ORIGIN, CENTRES, KNOWN):
            continue
        if key.endswith(_UP):
            key = key.removesuffix(_UP)
            down = tensors.get(key + _DOWN)
            weight = own.get(key)
            if down is None or weight is None or (value.shape[0], down.shape[1]) != tuple(weight.shape[:2]):
                raise _belongs_elsewhere(name, key)
            weight.add_((value @ torch.from_numpy(down.astype(np.float32))).view_as(weight))
        elif key in own and own[key].shape == value.shape:
            own[key].copy_(value)
        else:
            raise _belongs_elsewhere(name, key)


def scaled_tensors(
    tensors: Mapping[str, NDArray[np.float16]], base: Tmca, share: float
) -> dict[str, NDArray[np.float16]]:
    """Return the adapter that goes only a share (0..1) of the way from its base to what was learned."""
    own = dict(base.named_parameters())
    scaled = {}
    for key, values in tensors.items():
        if key.endswith(_UP):
            values = share * values.astype(np.float32)
        elif not key.endswith(_DOWN):
            start = own[key].detach().float().cpu().numpy()
            values = start + share * (values.astype(np.float32) - start)
        scaled[key] = np.asarray(values, np.float16)  # arithmetic makes a scalar of an array without axes
    return scaled


def _belongs_elsewhere(name: str, key: str) -> CheckpointError:
    return CheckpointError(
        f"{name}: the adapter belongs to another architecture: {key} does not fit.", hint="Use it with its own base."
    )


def late_parts(model: nn.Module) -> tuple[str, ...]:
    """Return how the names of those parts of the image encoder begin that are adapted; all others stay as they are."""
    found = [match for name, _ in model.named_parameters() if (match := _STAGE.match(name))]
    last = max((int(match[1]) for match in found), default=-1)
    stages = dict.fromkeys(match[0] for match in found if int(match[1]) > last - NUM_ADAPTED_STAGES)
    return (*stages, _LATERAL)


def _is_product(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or (
        isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.groups == 1
    )
