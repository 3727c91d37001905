"""Several processes that train one network, as torchrun starts them; everything here does nothing for one alone.

The batch of a step is the global one: each process takes its rows of it, with the same pictures, the same augmentation
and the same words that one process would have drawn. Batch normalisation and the alignment see all rows, gradients are
averaged after the backward pass, so the loss is that of one process up to rounding. One process writes checkpoints and
logs; each holds all samples in memory.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed as dist

from tmca_core.errors import ConfigError, DeviceError
from tmca_core.model.global_norm import use_global_statistics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn


@dataclass(frozen=True)
class Processes:
    """One process among all.

    Attributes
    ----------
    rank, count : int
        Which of how many.
    local_rank : int
        Which on this machine: the number of its GPU.

    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def rows(self, batch_size: int) -> slice:
        """Return which rows of a global batch are this process's."""
        each = batch_size // self.count
        return slice(self.rank * each, (self.rank + 1) * each)

    def require_even(self, batch_size: int, num_samples: int) -> None:
        """Refuse a batch that cannot be shared out evenly.

        Raises
        ------
        ConfigError
            If the batch is no multiple of the number of processes, or there are fewer samples than one batch.

        """
        if batch_size % self.count:
            raise ConfigError(
                f"schedule.batch_size: expected a multiple of {self.count} processes, got {batch_size}.",
                hint="It is the batch of all processes together.",
            )
        if self.count > 1 and num_samples < batch_size:
            raise ConfigError(
                f"schedule.batch_size: expected at most the {num_samples} samples, got {batch_size}.",
                hint="Lower it, or train in one process.",
            )

    def device(self, chosen: torch.device) -> torch.device:
        """Return this process's own device: its GPU where GPUs compute.

        Raises
        ------
        DeviceError
            If this machine has fewer GPUs than processes.

        """
        if self.count == 1 or chosen.type != "cuda":
            return chosen
        if self.local_rank >= torch.cuda.device_count():
            raise DeviceError(
                f"Process {self.local_rank} of this machine: it has {torch.cuda.device_count()} GPUs.",
                hint="Start as many processes as there are GPUs: torchrun --nproc-per-node=gpu.",
            )
        torch.cuda.set_device(self.local_rank)
        return torch.device("cuda", self.local_rank)

    def prepare(self, model: nn.Module) -> None:
        """Let a network normalise over all processes, and start from the first one's weights."""
        if self.count > 1:
            use_global_statistics(model)
            for tensor in model.state_dict().values():
                dist.broadcast(tensor, 0)

    def average_gradients(self, model: nn.Module) -> None:
        """Replace gradients by their mean over the processes; one that no process has stays absent."""
        if self.count == 1:
            return
        parameters = [p for p in model.parameters() if p.requires_grad]
        device = parameters[0].device
        is_there = torch.tensor([p.grad is not None for p in parameters], dtype=torch.uint8, device=device)
        dist.all_reduce(is_there, dist.ReduceOp.MAX)
        used = [p for p, flag in zip(parameters, is_there.tolist(), strict=True) if flag]
        flat = torch.cat([(p.grad if p.grad is not None else torch.zeros_like(p)).reshape(-1) for p in used])
        dist.all_reduce(flat)
        flat /= self.count
        for parameter, mean in zip(used, flat.split([p.numel() for p in used]), strict=True):
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            parameter.grad.copy_(mean.view_as(parameter))

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """Return the mean of a scalar over the processes: the same number on each."""
        if self.count == 1:
            return value.detach()
        total = value.detach().clone()
        dist.all_reduce(total)
        return total / self.count

    def interleave(self, own: list[Any]) -> list[Any]:
        """Return all values in order, where this process holds every ``count``-th from ``rank`` on."""
        if self.count == 1:
            return own
        parts: list[list[Any]] = [[] for _ in range(self.count)]
        dist.all_gather_object(parts, own)
        return [part[n] for n in range(len(parts[0])) for part in parts if n < len(part)]

    def agree(self, value: Any) -> Any:
        """Return the first process's value on all of them."""
        if self.count == 1:
            return value
        told = [value]
        dist.broadcast_object_list(told, 0)
        return told[0]

    def wait(self) -> None:
        """Go on when all processes are here."""
        if self.count > 1:
            dist.barrier()


ALONE = Processes()


@contextmanager
def joined_processes(device: torch.device) -> Iterator[Processes]:
    """Join the processes that torchrun started, until the block ends; `ALONE` without torchrun."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(dist.get_rank(), count, int(os.environ.get("LOCAL_RANK", "0")))
    finally:
        dist.destroy_process_group()


def is_lost_process(error: RuntimeError) -> bool:
    """Return whether an error says that another process is gone; gloo raises no type of its own."""
    return isinstance(error, dist.DistError) or any(word in str(error) for word in ("gloo", "Connection closed"))


def is_first_process() -> bool:
    """Return whether this process speaks to the user; no torchrun needed."""
    return os.environ.get("RANK", "0") == "0"


def is_alone() -> bool:
    """Return whether torchrun started no other process."""
    return os.environ.get("WORLD_SIZE", "1") == "1"


def was_restarted() -> bool:
    """Return whether torchrun started this process anew after one died (``--max-restarts``)."""
    return os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"
