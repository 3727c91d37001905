"""Time methods in turn, so that a busy machine is busy for all of them, and how much memory each takes alone."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

REPORTS = (
    "Bilateral pulmonary infection, two infected areas, upper left lung and lower right lung.",
    "Unilateral pulmonary infection, one infected area, lower left lung.",
)


def made_up_batch(batch: int, size: int) -> tuple[torch.Tensor, list[str], torch.Tensor]:
    """Return pictures (B, 3, S, S), texts and masks (B, 1, S, S): what they show does not change the time they take."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(batch, 1, size, size, generator=generator).expand(-1, 3, -1, -1).contiguous()
    masks = torch.zeros(batch, 1, size, size)
    masks[..., size // 4 : size // 2, size // 4 : size // 2] = 1.0
    return images, [REPORTS[n % 2] for n in range(batch)], masks


def in_turn(calls: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 1) -> dict[str, float]:
    """Return the median seconds of each call; each has each place in the row, and so each neighbour's caches."""
    names, times = list(calls), {name: list[float]() for name in calls}
    for round_ in range(warm_up + rounds):
        first = round_ % len(names)
        for name in names[first:] + names[:first]:
            started = time.perf_counter()
            calls[name]()
            if round_ >= warm_up:
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def peak_memory_mb() -> float | None:
    """Return the most memory that this process ever held; ``None`` on Windows.

    Linux tells it in /proc: what ``getrusage`` says there includes the parent that the process was forked from.
    """
    status = Path("/proc/self/status")
    if status.exists():
        peak = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) / 1024
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2  # bytes on macOS
