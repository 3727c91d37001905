"""What in a report looks like a person's identity: names, dates, numbers. Rules are data, in identity.toml.

A help for the reader, not a de-identification: what the rules do not know, they do not find.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class Identity:
    """A stretch of text, ``text[start:end]``, and what it looks like: "name", "date", "number" or "email"."""

    start: int
    end: int
    kind: str


def find_identity(text: str) -> tuple[Identity, ...]:
    """Return what looks like identity, in the order of the text; stretches never overlap.

    Examples
    --------
    >>> [identity.kind for identity in find_identity("Dr. Miller, 3 May 2024: MRN 0012345.")]
    ['name', 'date', 'number']

    """
    if not text or text.isspace():  # an empty panel should not wait for the rules
        return ()
    found: list[Identity] = []
    for kind, patterns in _rules():
        for pattern in patterns:
            for match in pattern.finditer(text):
                group = "mark" if "mark" in pattern.groupindex else 0
                start, end = match.span(group)
                if all(end <= known.start or known.end <= start for known in found):
                    found.append(Identity(start, end, kind))
    return tuple(sorted(found, key=lambda identity: identity.start))


def remove_identity(text: str) -> str:
    """Return the text with everything that `find_identity` finds replaced by its kind in brackets, as in "[date]"."""
    out, position = [], 0
    for identity in find_identity(text):
        out += [text[position : identity.start], f"[{identity.kind}]"]
        position = identity.end
    return "".join([*out, text[position:]])


@cache
def _rules() -> tuple[tuple[str, tuple[re.Pattern[str], ...]], ...]:
    raw = tomllib.loads((files("tmca_core.report") / "identity.toml").read_text(encoding="utf-8"))
    return tuple((kind, tuple(re.compile(p) for p in table["patterns"])) for kind, table in raw.items())
