"""Long readings in steps, so that they can be shown and cancelled."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FilesRead:
    """Progress of a reading.

    Attributes
    ----------
    what : str
        "looking through files" or "reading slices".
    done, total : int
        Files.

    """

    what: str
    done: int
    total: int
