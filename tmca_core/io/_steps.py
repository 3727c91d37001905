"""Long readings in steps, so that they can be shown and cancelled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator

_Value = TypeVar("_Value")


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


def finished(steps: Generator[object, None, _Value]) -> _Value:
    """Run steps to their end and return what they return."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            value: _Value = stop.value
            return value
