"""Long work as a generator of its progress, whose return value is the result."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator

_Value = TypeVar("_Value")


def finished(steps: Generator[object, None, _Value]) -> _Value:
    """Run steps to their end and return what they return."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            value: _Value = stop.value
            return value
