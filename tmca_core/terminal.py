"""Words on a terminal: errors in two sentences, aligned tables, one line of progress. Plain text in files and pipes."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

_SECONDS_BETWEEN = {True: 0.1, False: 60.0}  # on a terminal the line is rewritten, in a log file it is repeated


class ProgressLine:
    """One line on stderr that says how far a long call is; rewritten in place on a terminal, a line a minute elsewhere.

    Parameters
    ----------
    stream : TextIO, optional
        Where to write; stderr by default.

    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._is_terminal = self._stream.isatty()
        self._started = self._shown = time.monotonic()
        self._width = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def show(self, text: str) -> None:
        """Show the text if enough time has passed since the last one."""
        now = time.monotonic()
        if now - self._shown < _SECONDS_BETWEEN[self._is_terminal]:
            return
        self._shown = now
        if self._is_terminal:
            self._stream.write("\r" + text.ljust(self._width))
            self._width = len(text)
        else:
            self._stream.write(text + "\n")
        self._stream.flush()

    def show_count(self, label: str, done: int, total: int) -> None:
        """Show how many of how many are done, and the time that the rest takes at the pace so far."""
        rest_s = (time.monotonic() - self._started) / max(done, 1) * (total - done)
        self.show(f"{label} {done:,} of {total:,} ({done / total:.0%}), {format_duration(rest_s)} left")

    def clear(self) -> None:
        """Empty the line so that the next output starts at its beginning."""
        if self._is_terminal and self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()
            self._width = 0


def format_duration(seconds: float) -> str:
    """Return "4 s", "2:05 min" or "1:02:05 h"."""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02} h"
    return f"{minutes}:{rest:02} min" if minutes else f"{rest} s"


def format_bytes(size: float) -> str:
    """Return a size with a decimal unit: "38.2 MB"."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def format_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows under a head, in columns: the first to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = []
    for first, *others in (head, *rows):
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]))
    return "\n".join(line.rstrip() for line in lines)


def printable(text: str, limit: int = 100) -> str:
    """Return the text on one line without control characters, cut at ``limit`` characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else line[: limit - 3] + "..."
