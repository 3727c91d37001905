"""Is a finding affirmed or denied? In the manner of ConText: cues, their scope, and what ends it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tmca_core.report.rules import load_rules

if TYPE_CHECKING:
    from collections.abc import Sequence

_LIST = re.compile(r"\b(?:or|nor)\b", re.IGNORECASE)
# "Opacities in the upper zones, none at the base" denies what is at the base.
_OF_A_PLACE = re.compile(r"\s+(?:at|in|on|over|within|elsewhere)\b", re.IGNORECASE)
# "Opacity: no", in a form that is filled in.
_ANSWER_NO = re.compile(r"[\w-]+(?:\s+(?:present|seen))?\s*[:=?\u2013-]\s*no\s*(?=[,;.\n]|$)", re.IGNORECASE)
_STOP = re.compile(r";|\s[-\u2013]\s")


def is_negated(sentence: str) -> bool:
    """Return whether a sentence denies every finding in it, or says that all is normal without naming one."""
    rules = load_rules()
    text = rules.pseudo.sub(lambda match: " " * len(match.group()), sentence)
    findings = [match.start() for match in rules.findings.finditer(text)]
    if not findings:
        return bool(rules.normal.search(text) or rules.denied_before.match(text.lstrip()))
    clauses = clauses_of(text)
    return all(is_denied(text, position, clauses) for position in findings)


def clauses_of(text: str) -> list[tuple[int, int]]:
    """Return the stretches between terminators."""
    starts = [0, *(match.start() for match in load_rules().terminators.finditer(text))]
    return list(zip(starts, [*starts[1:], len(text)], strict=True))


def is_denied(text: str, position: int, clauses: Sequence[tuple[int, int]], reach: int | None = None) -> bool:
    """Return whether the finding at ``position`` is denied within its clause, by a cue behind it up to ``reach``."""
    rules = load_rules()
    start, end = next((a, b) for a, b in clauses if a <= position < b)
    behind = rules.denied_after.finditer(text, position, end if reach is None else reach)
    if _ANSWER_NO.match(text, position, end) or any(
        cue.group().lower() not in ("none", "nil") or not _OF_A_PLACE.match(text, cue.end()) for cue in behind
    ):
        return True
    return any(_reaches(text, cue, position, end) for cue in rules.denied_before.finditer(text, start, position))


def _reaches(text: str, cue: re.Match[str], position: int, end: int) -> bool:
    """Return whether a denial before a finding is one of it.

    "No effusion, pneumothorax or consolidation" denies three; "no effusion, consolidation at the left base" one.
    "Not" is said of the words up to a comma.
    """
    between = text[cue.end() : position]
    if _STOP.search(between):
        return False
    comma = between.rfind(",")
    if comma < 0:
        return True
    if cue.group().lower() == "not":
        return False
    if _LIST.search(text, cue.end(), end):
        return True
    next_comma = text.find(",", position, end)
    return not load_rules().places.search(text, cue.end() + comma, end if next_comma < 0 else next_comma)
