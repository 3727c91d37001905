"""Batches of a training: what is drawn and told is prepared on the CPU, ahead; pixels are left to the device."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch

from tmca_core.data.ahead import ahead, ahead_in_processes
from tmca_core.data.augment import ALL_ROWS, apply_changes, draw_changes
from tmca_core.data.loader import bring_to_size, stack, standardise_batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    from tmca_core.data.augment import AugmentConfig, Changes
    from tmca_core.data.loader import Sample
    from tmca_core.data.telling import Teller
    from tmca_core.model.text_encoder import ReportTokenizer, ReportTokens

T = TypeVar("T")
Job = TypeVar("Job")

# Most of what is prepared is Python, and of a machine's processes others want some.
_MOST_WORKERS = 8


@dataclass(frozen=True, eq=False)
class PreparedBatch:
    """A batch before any pixel is touched, on the CPU.

    Attributes
    ----------
    images, masks : Tensor of uint8, shapes (B, C, S, S) and (B, 1, S, S)
        As `tmca_core.data.loader.stack` gives them; the masks of denied targets are empty.
    size : int
        Pixels a side that the network is shown.
    changes : Changes
        Of all rows of the batch, over all processes.
    rows : slice
        Which of these are here.
    tokens : ReportTokens
        What is told.
    is_own : Tensor of bool, shape (B,)
        Whether it comes from the case's own report.

    """

    images: Tensor
    masks: Tensor
    size: int
    changes: Changes
    rows: slice
    tokens: ReportTokens
    is_own: Tensor


@dataclass(frozen=True, eq=False)
class ShownBatch:
    """What the network is shown, on its device: standardised pictures (B, 3, S, S), masks (B, 1, S, S), and words."""

    images: Tensor
    masks: Tensor
    tokens: ReportTokens
    is_own: Tensor


def prepare_batch(
    samples: Sequence[Sample],
    size: int,
    augmentation: AugmentConfig,
    teller: Teller,
    tokenizer: ReportTokenizer,
    generator: torch.Generator,
    rows: slice = ALL_ROWS,
) -> PreparedBatch:
    """Draw what happens to each picture, tell it, and join those of ``rows``.

    Parameters
    ----------
    samples : sequence of Sample
        The whole batch, over all processes: chance is drawn for all.
    size : int
        Pixels a side that the network is shown.
    augmentation : AugmentConfig
        Ranges.
    teller : Teller
        Draws what is told.
    tokenizer : ReportTokenizer
        The network's.
    generator : torch.Generator
        On the CPU; the only source of chance.
    rows : slice
        Which of the samples this process is shown.

    """
    changes = draw_changes(len(samples), augmentation, generator)
    told = teller.tell(samples, changes.mirrored, generator)[rows]
    images, masks = stack(samples[rows])
    masks[[one.is_denied for one in told]] = 0
    tokens = tokenizer([one.sentences for one in told])
    return PreparedBatch(images, masks, size, changes, rows, tokens, torch.tensor([one.is_own for one in told]))


def show(prepared: PreparedBatch, device: torch.device) -> ShownBatch:
    """Bring a batch to the device, and to its size; move, re-expose and standardise it there."""
    batch = bring_to_size(_send(prepared.images, device), _send(prepared.masks, device), prepared.size)
    images, masks = apply_changes(batch.images, batch.masks, prepared.changes, prepared.rows)
    images = standardise_batch(images).contiguous(memory_format=torch.channels_last)
    return ShownBatch(images, masks, prepared.tokens.to(device), _send(prepared.is_own, device))


def batches_ahead(
    work: Callable[[Job], T], jobs: Sequence[Job], device: torch.device, workers: int = 0
) -> Iterator[tuple[T, float]]:
    """Yield what ``work`` makes of each job, in order, with the seconds that were waited for it.

    Ahead of its use where a GPU computes: in processes where these can be forked, else in threads.
    """
    workers = batch_workers(device, workers)
    if workers and sys.platform == "linux":
        return ahead_in_processes(work, jobs, processes=workers)
    return ahead(work, jobs, threads=workers)


def batch_workers(device: torch.device, workers: int = 0) -> int:
    """Return how many workers prepare batches ahead: none on a CPU, where the network uses all cores itself.

    Elsewhere ``workers``, or for 0 as many as the machine has cores to spare, up to eight.
    """
    if device.type == "cpu":
        return 0
    return workers or max(min((os.cpu_count() or 2) - 1, _MOST_WORKERS), 1)


def _send(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on the device; from pinned memory a copy does not hold up the host."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
