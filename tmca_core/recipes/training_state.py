"""The state of a training on disk: one safetensors file, written atomically, from which it goes on unchanged."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from safetensors import safe_open
from safetensors.torch import save

from tmca_core.atomic import atomic_write
from tmca_core.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import Tensor, nn

STATE = "state.safetensors"


@dataclass
class Progress:
    """How far a training is.

    Attributes
    ----------
    epoch, batch : int
        Next batch of which epoch, both from 0.
    step : int
        Optimiser steps done.
    best_score : float
        Best validation score so far.
    seconds : float
        Time spent, over all runs.
    log : list of dict
        One entry per finished epoch.
    running : dict of str to list of float
        Sums of the losses of the epoch under way, and their count, so that its mean survives an interruption.

    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    best_score: float = -1.0
    seconds: float = 0.0
    log: list[dict[str, Any]] = field(default_factory=list)
    running: dict[str, float] = field(default_factory=dict)


def save_state(
    path: Path, config: str, progress: Progress, model: nn.Module, ema: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Write everything a training needs to go on.

    Weights that training never changes are left out: they come with the network that the configuration builds.
    """
    tensors = {**_weights("model.", model), **_weights("ema.", ema), **_moments(optimizer)}
    metadata = {"config": config, "progress": json.dumps(asdict(progress))}
    with atomic_write(path) as file:
        file.write(save(tensors, metadata))


def load_state(path: Path, config: str, model: nn.Module, ema: nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
    """Read back what `save_state` wrote.

    Raises
    ------
    CheckpointError
        If the file is damaged, or was made by another configuration.

    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
    except Exception as error:  # safetensors raises its own type
        raise CheckpointError(f"{path}: the training state is damaged.", hint="Start the training anew.") from error
    if metadata["config"] != config:
        raise CheckpointError(
            f"{path}: made by a training with another configuration.",
            hint="Resume with the configuration in that folder, or choose another folder.",
        )
    _restore("model.", model, tensors)
    _restore("ema.", ema, tensors)
    _restore_moments(optimizer, tensors)
    return Progress(**json.loads(metadata["progress"]))


def _changing(module: nn.Module) -> dict[str, Tensor]:
    fixed = {name for name, parameter in module.named_parameters() if not parameter.requires_grad}
    return {name: tensor for name, tensor in module.state_dict().items() if name not in fixed}


def _weights(prefix: str, module: nn.Module) -> dict[str, Tensor]:
    return {prefix + name: tensor.detach().clone().contiguous() for name, tensor in _changing(module).items()}


def _restore(prefix: str, module: nn.Module, tensors: dict[str, Tensor]) -> None:
    for name, own in _changing(module).items():
        own.copy_(tensors[prefix + name])


def _moments(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer.{index}.{key}": value.detach().clone().contiguous()
        for index, moments in state.items()
        for key, value in moments.items()
    }


def _restore_moments(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".")
            state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
