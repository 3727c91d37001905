"""Where in a report the words stand that were understood: findings, sides, zones, denials, doubts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tmca_core.report.rules import BOTH, SIDES, load_rules

if TYPE_CHECKING:
    import re

    from tmca_core.study import Report

MarkKind = Literal["finding", "side", "zone", "denial", "doubt"]


@dataclass(frozen=True)
class Mark:
    """A stretch of ``Report.text`` and what it was understood as."""

    start: int
    end: int
    kind: MarkKind


def marks_in(report: Report) -> tuple[Mark, ...]:
    """Return what was understood in the sentences about the picture, in the order of the text.

    Stretches of different kinds may overlap: "RUL" is a side and a zone.
    """
    marks = [
        Mark(sentence.start + match.start(), sentence.start + match.end(), kind)
        for sentence in report.sentences
        if sentence.is_about_picture
        for kind, pattern in _patterns()
        for match in pattern.finditer(sentence.text)
        if kind != "zone" or " ".join(match.group().lower().split()) in load_rules().zones_of
    ]
    return tuple(sorted(set(marks), key=lambda mark: (mark.start, mark.end, mark.kind)))


def _patterns() -> tuple[tuple[MarkKind, re.Pattern[str]], ...]:
    rules = load_rules()
    sides: list[tuple[MarkKind, re.Pattern[str]]] = [("side", rules.sides[side]) for side in (*SIDES, BOTH)]
    return (
        ("finding", rules.kinds),
        *sides,
        ("zone", rules.places),
        ("denial", rules.denied_before),
        ("denial", rules.denied_after),
        ("doubt", rules.uncertain_before),
        ("doubt", rules.uncertain_after),
    )
