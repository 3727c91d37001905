"""What the network is told of a report: its sentences, and what they state put into the words it knows best.

A radiologist has countless ways to say "opacity in the left lower zone". The sentences reach the network as they are;
beside them stands one sentence in the benchmark's own grammar that says what was understood of them. Where nothing was
understood, the sentences stand alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tmca_core.report.facts import read_facts
from tmca_core.report.places import join_places
from tmca_core.report.rules import ZONES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tmca_core.report.facts import Facts
    from tmca_core.study import Place, Report

_COUNTS = ("", "one", "two", "three", "four", "five", "six", "seven", "eight")


def told_sentences(report: Report) -> tuple[str, ...]:
    """Return the texts of the sentences in use, and last, where it says something new, the `statement` of them.

    Empty where no sentence is in use.
    """
    used = tuple(report.sentences[i].text for i in report.used)
    return with_statement(used, statement(read_facts(report)))


def with_statement(sentences: tuple[str, ...], stated: str) -> tuple[str, ...]:
    """Return the sentences and behind them the statement, unless there is none or it is one of them."""
    if not stated or not sentences or any(_plain(stated) == _plain(sentence) for sentence in sentences):
        return sentences
    return (*sentences, stated)


def statement(facts: Facts) -> str:
    """Return the opacities of a report in the grammar of the QaTa-COV19 texts; "" where no lung is named.

    What is suspected counts as what is there: the outline of a suspicion is what was asked for.

    Examples
    --------
    >>> from tmca_core.report import parse_report
    >>> statement(read_facts(parse_report("Patchy GGO, LLL and right base. No effusion.")))
    'bilateral pulmonary infection, lower right lung and lower left lung.'

    """
    found = [f for f in facts if f.kind == "opacity" and f.certainty in ("affirmed", "uncertain")]
    places = join_places(place for finding in found for place in finding.places)
    if not places or any(not place.side for place in places) or _is_contradicted(places, facts):
        return ""
    counts = [finding.count for finding in found if finding.certainty == "affirmed"]
    reach = "bilateral" if len(places) > 1 else "unilateral"
    ordered = sorted(places, key=lambda place: place.side, reverse=True)
    return f"{reach} pulmonary infection,{_areas(counts)} {' and '.join(_lung(place) for place in ordered)}."


def _is_contradicted(places: Iterable[Place], facts: Facts) -> bool:
    """Return whether a place is said to be clear as well: then one of the two was misread, and which is not known."""
    denied = [p for f in facts if f.kind == "opacity" and f.certainty == "denied" for p in f.places if p.side]
    return any(p.side == d.side and (not d.zones or p.zones & d.zones) for p in places for d in denied)


def _areas(counts: list[int | None]) -> str:
    count = counts[0] if counts else None
    if count is None or not 0 < count < len(_COUNTS):
        return ""
    return f" {_COUNTS[count]} infected {'area' if count == 1 else 'areas'},"


def _lung(place: Place) -> str:
    if place.zones == frozenset(ZONES):
        return f"all {place.side} lung"
    return " ".join([*(zone for zone in ZONES if zone in place.zones), place.side, "lung"])


def _plain(sentence: str) -> str:
    return " ".join(sentence.lower().strip(" .").split())
