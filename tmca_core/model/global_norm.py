"""Batch normalisation over the rows of all processes.

`torch.nn.SyncBatchNorm` works on GPUs only; this one works wherever the processes can talk, so that training in several
processes is tested without a GPU.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.nn.functional import all_reduce as all_reduce_with_gradient


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """A BatchNorm2d whose statistics in training are those of the global batch, in float32.

    Every process must hold as many rows of the same size. In evaluation, and alone, it is its parent.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, H, W)."""
        if not self.training or not dist.is_initialized():
            return super().forward(x)
        count = x.numel() // x.shape[1] * dist.get_world_size()
        with torch.autocast(x.device.type, enabled=False):
            values = x.float()
            mean = all_reduce_with_gradient(values.sum((0, 2, 3))) / count
            centred = values - mean[:, None, None]
            variance = all_reduce_with_gradient(centred.square().sum((0, 2, 3))) / count
            self._remember(mean.detach(), variance.detach() * count / max(count - 1, 1))
            scale = self.weight * (variance + self.eps).rsqrt()
            return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


def use_global_statistics(model: nn.Module) -> None:
    """Turn every BatchNorm2d of a network into a `GlobalBatchNorm2d`; weights, buffers and their names stay."""
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = GlobalBatchNorm2d  # it holds nothing of its own
