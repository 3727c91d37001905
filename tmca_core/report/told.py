"""What the network is told of a report: what was understood of it, in the words that the network knows best.

A radiologist has countless ways to say "opacity in the left lower zone", amid sentences about everything else. What the
rules understand of the opacities is told as one sentence in the benchmark's own grammar, in the place of the sentences
that it was read from. Where nothing was understood, the sentences are told as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tmca_core.report.facts import read_facts
from tmca_core.report.places import join_places
from tmca_core.report.rules import ZONES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tmca_core.report.facts import Facts
    from tmca_core.study import Place, Report, Sentence

# What becomes of a sentence: told in its own words; told as part of the statement; in use, and not told, for it says
# nothing of what is outlined while the statement does; or not in use.
Telling = Literal["whole", "stated", "left out", "unused"]

_INSTRUCTION = "Target:"
_COUNTS = ("", "one", "two", "three", "four", "five", "six", "seven", "eight")


def instruction(target: str) -> str:
    """Return the sentence that names what is to be outlined, before a report or in the place of one."""
    return f"{_INSTRUCTION} {target}."


def told_sentences(report: Report) -> tuple[str, ...]:
    """Return what the network is told of the sentences in use.

    Where the opacities can be stated: an instruction, sentences that state other findings, and last the `statement`.
    Else the sentences themselves; empty where none is in use.
    """
    used = [report.sentences[i] for i in report.used]
    stated = statement(read_facts(report))
    if not stated or not used:
        return tuple(sentence.text for sentence in used)
    stated = next((sentence.text for sentence in used if _plain(sentence.text) == _plain(stated)), stated)
    return (*(sentence.text for sentence in used if _says_something_else(sentence)), stated)


def tellings(report: Report) -> tuple[Telling, ...]:
    """Return, for each sentence of a report, how the network is told it (see `told_sentences`).

    Examples
    --------
    >>> from tmca_core.report import parse_report
    >>> tellings(parse_report("Opacity, left base. Rib fracture. Sternal wires. No effusion."))
    ('stated', 'whole', 'left out', 'unused')

    """
    is_stated = bool(statement(read_facts(report)))

    def telling(sentence: Sentence) -> Telling:
        if not is_stated or _says_something_else(sentence):
            return "whole"
        is_part = any(f.kind == "opacity" and f.certainty in ("affirmed", "uncertain") for f in sentence.findings)
        return "stated" if is_part else "left out"

    used = frozenset(report.used)
    return tuple(telling(s) if i in used else "unused" for i, s in enumerate(report.sentences))


def _says_something_else(sentence: Sentence) -> bool:
    """Return whether a sentence has to be told beside the statement; what names no other finding only distracts."""
    if sentence.text.lower().startswith(_INSTRUCTION.lower()):
        return True
    return bool(sentence.findings) and all(f.kind not in ("opacity", "device") for f in sentence.findings)


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
