"""Text to facts: which findings a report states, how surely, where, how many and how large.

Rules only, in the manner of ConText (Harkema et al., J Biomed Inform 2009, doi 10.1016/j.jbi.2009.05.002): a cue has a
scope, and a terminator ends it. A text that is not understood yields fewer facts, never an exception.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tmca_core.report.negation import clauses_of, is_denied
from tmca_core.report.places import StatedPlace, join_places, places_in
from tmca_core.report.rules import SIDES, load_rules
from tmca_core.study import Finding, Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tmca_core.study import Certainty, Report

# A distance from a landmark is no size.
_SIZE = re.compile(r"(?<![\w.])(\d{1,3}(?:[.,]\d)?)\s*(mm|cm)\b(?!\s*(?:above|below|from))", re.IGNORECASE)
_LARGEST_SIZE_MM = 400.0


Facts = frozenset[Finding]


@dataclass(frozen=True)
class _Mention:
    kind: str
    certainty: Certainty
    start: int
    end: int


def read_facts(report: Report) -> Facts:
    """Return what the sentences about the picture state, at most one finding per kind and certainty.

    A place said in one sentence and made more precise in another is one place. A doubt or a denial without a place adds
    nothing beside the same finding affirmed ("consolidation, suspicious for pneumonia").
    """
    return _merge(finding for s in report.sentences if s.is_about_picture for finding in s.findings)


def states_opacity_alone(facts: Facts) -> bool:
    """Return whether opacities in stated places are all that is said: `write_report` then loses nothing."""
    return len(facts) == 1 and all(f.kind == "opacity" and f.certainty == "affirmed" and f.places for f in facts)


def swap_facts(facts: Facts) -> Facts:
    """Return the facts of the mirrored picture: left and right exchanged."""
    other = {"left": "right", "right": "left", "": ""}
    return frozenset(
        replace(finding, places=frozenset(Place(other[place.side], place.zones) for place in finding.places))
        for finding in facts
    )


def findings_in(sentence: str) -> tuple[Finding, ...]:
    """Return what one sentence states."""
    rules = load_rules()
    text = rules.comparison.sub(_blank, rules.pseudo.sub(_blank, sentence))
    mentions = _mentions(text)
    if not mentions:
        return ()
    places: dict[int, list[Place]] = defaultdict(list)
    for stated in places_in(text):
        places[_nearest(stated, mentions)].append(stated.place)
    counts = {_nearest(match, mentions): _number(match.group(1)) for match in rules.counts.finditer(text)}
    sizes = {_nearest(match, mentions): _millimetres(match) for match in _SIZE.finditer(text)}
    findings = [
        Finding(m.kind, m.certainty, join_places(places[i]), counts.get(i), sizes.get(i))
        for i, m in enumerate(mentions)
    ]
    return tuple(_merge(_as_sure_as_the_surest(findings)))


def _mentions(text: str) -> list[_Mention]:
    rules, clauses = load_rules(), clauses_of(text)
    found = [
        _Mention(rules.kind_of[_key(match.group())], _certainty(text, match, clauses), match.start(), match.end())
        for match in rules.kinds.finditer(text)
    ]
    for start, end in clauses:
        normal = rules.normal.search(text, start, end)
        if normal and not any(start <= m.start < end for m in found):
            for kind, pattern in rules.normal_structures.items():
                match = pattern.search(text, start, end)
                if match:
                    found.append(_Mention(kind, "denied", match.start(), match.end()))
    return found


def _certainty(text: str, match: re.Match[str], clauses: Sequence[tuple[int, int]]) -> Certainty:
    rules, (start, end) = load_rules(), next((a, b) for a, b in clauses if a <= match.start() < b)
    if rules.past_after.search(text, match.end(), end) or rules.past_before.search(text, start, match.start()):
        return "past"
    if is_denied(text, match.start(), clauses):
        return "denied"
    before = rules.uncertain_before.search(text, start, match.start())
    return "uncertain" if before or rules.uncertain_after.search(text, match.end(), end) else "affirmed"


def _as_sure_as_the_surest(findings: Iterable[Finding]) -> list[Finding]:
    """Let one sentence affirm or doubt a kind, not both."""
    findings = list(findings)
    affirmed = {finding.kind for finding in findings if finding.certainty == "affirmed"}
    return [
        replace(finding, certainty="affirmed")
        if finding.certainty == "uncertain" and finding.kind in affirmed
        else finding
        for finding in findings
    ]


def _merge(findings: Iterable[Finding]) -> Facts:
    groups: dict[tuple[str, Certainty], list[Finding]] = defaultdict(list)
    for finding in findings:
        groups[finding.kind, finding.certainty].append(finding)
    affirmed = {kind for kind, certainty in groups if certainty == "affirmed"}
    merged = [_merge_group(kind, certainty, group) for (kind, certainty), group in groups.items()]
    return frozenset(f for f in merged if f.certainty == "affirmed" or f.places or f.kind not in affirmed)


def _merge_group(kind: str, certainty: Certainty, group: Sequence[Finding]) -> Finding:
    places = join_places(place for finding in group for place in finding.places)
    if certainty == "denied" and places == {Place(side) for side in SIDES}:
        places = frozenset()  # "both lungs are clear" says no less than "no opacity"
    counts = [finding.count for finding in group if finding.count is not None]
    sizes = [finding.size_mm for finding in group if finding.size_mm is not None]
    return Finding(kind, certainty, places, sum(counts) if counts else None, max(sizes) if sizes else None)


def _nearest(span: StatedPlace | re.Match[str], mentions: Sequence[_Mention]) -> int:
    """Return the index of the mention with the fewest characters between; before a tie, the earlier one."""
    start, end = (span.start, span.end) if isinstance(span, StatedPlace) else span.span()
    gaps = [max(mention.start - end, start - mention.end, 0) for mention in mentions]
    return gaps.index(min(gaps))


def _number(word: str) -> int:
    return load_rules().count_words.get(word.lower()) or int(word)


def _millimetres(match: re.Match[str]) -> float | None:
    value = float(match.group(1).replace(",", ".")) * (10.0 if match.group(2).lower() == "cm" else 1.0)
    return value if value <= _LARGEST_SIZE_MM else None


def _key(term: str) -> str:
    return " ".join(term.lower().split())


def _blank(match: re.Match[str]) -> str:
    return " " * len(match.group())
