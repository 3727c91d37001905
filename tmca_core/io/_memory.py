"""Whether there is memory for an image, asked before any of it is allocated."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

from tmca_core.errors import StudyReadError
from tmca_core.io._files import size_text

_SMALL = 1 << 26  # bytes that are there on every machine
_MEMINFO = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")


def check_memory(name: str, size: str, needed: int, *, shrinks: bool = True) -> None:
    """Raise `StudyReadError` if so many bytes are not free; where the system does not tell, nothing is checked.

    Parameters
    ----------
    name : str
        The file's name.
    size : str
        What the image is, such as "30000 x 30000 pixels".
    needed : int
        Bytes that reading it takes.
    shrinks : bool
        Whether reading it with ``shrink`` takes less.

    """
    free = None if needed < _SMALL else free_bytes()
    if free is None or needed <= free:
        return
    hint = "Close other programs, or crop it with the program that made it."
    if shrinks:
        factor = max(2, math.ceil(math.sqrt(2 * needed / max(free, 1))))
        hint = f"Read it smaller, with shrink={factor} or --shrink {factor}, or crop it with the program that made it."
    raise StudyReadError(
        f"{name}: {size} take about {size_text(needed)} of memory to read, and {size_text(free)} are free.", hint=hint
    )


def free_bytes() -> int | None:
    """Return the memory that this program can still get; None where the system does not tell (only Linux does)."""
    free: int | None = None
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = dict(line.split(":", 1) for line in _MEMINFO.read_text(encoding="ascii").splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    with contextlib.suppress(OSError, ValueError):  # a container's own limit
        limit, used = (int((_GROUP / f"memory.{what}").read_text(encoding="ascii")) for what in ("max", "current"))
        kept = dict(line.split() for line in (_GROUP / "memory.stat").read_text(encoding="ascii").splitlines())
        used -= int(kept.get("inactive_file", 0)) + int(kept.get("active_file", 0))  # given back when it is needed
        free = max(0, limit - used) if free is None else min(free, max(0, limit - used))
    return free
