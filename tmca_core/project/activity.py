"""Time of work on a case: raw events in ``events.jsonl``, and the active time that follows from them."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

EVENTS_NAME = "events.jsonl"
IDLE_S = 60.0
"""Longer gaps between two signs of life are not counted as work."""


@dataclass(frozen=True)
class Event:
    """Something somebody did.

    Attributes
    ----------
    time : float
        Seconds since 1970, UTC.
    kind : str
        "open" and "close" of the case, "active" for a sign of life, "save", "machine" for what a program did with
        nobody before it, or another word.
    who : str
        Annotator; "" where not told.

    """

    time: float
    kind: str
    who: str = ""


def active_seconds(events: Iterable[Event], idle_s: float = IDLE_S) -> float:
    """Return the seconds of work: the gaps between events that follow each other within ``idle_s``.

    What passes between the end of one sitting and the "open" of the next is never counted, nor what leads to or from
    an event of a "machine". A clock that was set back counts nothing.

    Examples
    --------
    >>> active_seconds([Event(0, "open"), Event(30, "active"), Event(500, "active"), Event(510, "close")])
    40.0

    """
    total, last = 0.0, None
    for event in events:
        if last is not None and event.kind not in ("open", "machine") and 0.0 <= event.time - last <= idle_s:
            total += event.time - last
        last = None if event.kind in ("close", "machine") else event.time
    return total


def append_events(folder: Path, events: Iterable[Event]) -> None:
    """Append events to the case's file, one line of JSON each."""
    lines = "".join(
        json.dumps({"time": round(event.time, 3), "kind": event.kind, "who": event.who}) + "\n" for event in events
    )
    if lines:
        with (folder / EVENTS_NAME).open("ab") as stream:
            # One write: lines of a process that is killed are there or not, and at most the last is torn.
            stream.write(lines.encode())


def read_events(folder: Path) -> tuple[Event, ...]:
    """Return the events of a case in their order; lines that were torn are left out."""
    try:
        content = (folder / EVENTS_NAME).read_bytes()
    except FileNotFoundError:
        return ()
    found = []
    for line in content.splitlines():
        try:
            values = json.loads(line)
            found.append(Event(float(values["time"]), str(values["kind"]), str(values.get("who", ""))))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return tuple(found)


def event(kind: str, who: str = "") -> Event:
    """Return an event of now."""
    return Event(time.time(), kind, who)
