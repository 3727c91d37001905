"""Text to facts: which findings a report states, how surely, where, how many and how large.

Rules only, in the manner of ConText (Harkema et al., J Biomed Inform 2009, doi 10.1016/j.jbi.2009.05.002): a cue has a
scope, and a terminator ends it. A text that is not understood yields fewer facts, never an exception.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tmca_core.report.belonging import assign_places
from tmca_core.report.mentions import Mention, mentions_in, normal_structures_in, prepare
from tmca_core.report.places import join_places, places_in
from tmca_core.report.rules import SIDES, ZONES, load_rules
from tmca_core.report.sentences import SIDE_LABEL
from tmca_core.study import Finding, Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tmca_core.study import Certainty, Report

# A distance from a landmark is no size.
_SIZE = re.compile(r"(?<![\w.])(\d{1,3}(?:[.,]\d)?)\s*(mm|cm)\b(?!\s*(?:above|below|from))", re.IGNORECASE)
_ASIDE = re.compile(
    r",\s*(?=(?:the|its|with|but|while|nothing|none|nil|not|sparing)\b)|\s(?=(?:with|but|while)\b)", re.IGNORECASE
)
_LISTED = re.compile(r"\b(?:and|or|are|all|both)\b|&", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+")
_LARGEST_SIZE_MM = 400.0


Facts = frozenset[Finding]


def read_facts(report: Report) -> Facts:
    """Return what the sentences about the picture state, at most one finding per kind and certainty.

    A place said in one sentence and made more precise in another is one place. A doubt or a denial without a place adds
    nothing beside the same finding affirmed ("consolidation, suspicious for pneumonia").
    """
    return _without_spared(_merge(finding for s in report.sentences if s.is_about_picture for finding in s.findings))


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


@dataclass(frozen=True)
class Context:
    """What the sentences before have spoken of.

    Attributes
    ----------
    has_opacity : bool
        Whether they state an opacity, which "another at the left base" then goes on with.
    side : {"left", "right", ""}
        The one lung that the last opacity was in; "" for none or both.
    label : {"left", "right", ""}
        The lung whose name the sentences stand under: "Right lung: upper zone clear; mid zone consolidation".

    """

    has_opacity: bool = False
    side: str = ""
    label: str = ""

    def under(self, sentence: str) -> Context:
        """Return the context of a sentence: the lung that it begins with, or the one that it goes on with."""
        rules, label = load_rules(), SIDE_LABEL.match(sentence)
        words = [" ".join(m.group().lower().split()) for m in rules.places.finditer(sentence)]
        sides = {side for word in words for side in rules.sides_of.get(word, ())}
        if label:
            side = "left" if label.group(1)[0].lower() == "l" else "right"
            return replace(self, label=side if sides <= {side} else "")
        return self if words and not sides else replace(self, label="")

    def after(self, findings: Iterable[Finding]) -> Context:
        """Return the context behind a sentence that states ``findings``."""
        found = [f for f in findings if f.kind == "opacity" and f.certainty in ("affirmed", "uncertain")]
        if not found:
            return self
        sides = {place.side for finding in found for place in finding.places if place.side}
        return Context(True, self.side if not sides else sides.pop() if len(sides) == 1 else "", self.label)


def findings_in(sentence: str, context: Context | None = None) -> tuple[Finding, ...]:
    """Return what one sentence states, behind the sentences that ``context`` tells of."""
    context = (context or Context()).under(sentence)
    text = prepare(sentence)
    mentions = mentions_in(text)
    goes_on = _end_of_what_goes_on(text, mentions) if context.has_opacity else 0
    if goes_on:
        text = f"{text[:goes_on]};{text[goes_on + 1 :]}"
        mentions = [Mention("opacity", "affirmed", goes_on, goes_on, "vague"), *mentions]
    side = context.label or context.side
    stated = places_in(text, side)
    if context.has_opacity and _only_goes_on(text, mentions):
        stated = [place for place in stated if place.place.zones]
        mentions = [Mention("opacity", "affirmed", 0, 0, "vague")]
    places = assign_places(text, stated, mentions, side, is_labelled=bool(context.label))
    lungs = {mention: join_places(found) for mention, found in places.items()}
    kept = [m for m in dict.fromkeys([*mentions, *lungs]) if m.manner == "named" or _says_something(m, lungs.get(m))]
    kept += normal_structures_in(text, kept)
    if not kept:
        return ()
    counts = {_nearest(match, kept): _number(match.group(1)) for match in load_rules().counts.finditer(text)}
    sizes = {_nearest(match, kept): _millimetres(match) for match in _SIZE.finditer(text)}
    findings = [
        Finding(m.kind, m.certainty, lungs.get(m, frozenset()), counts.get(i), sizes.get(i)) for i, m in enumerate(kept)
    ]
    return tuple(_merge(_as_sure_as_the_surest(findings)))


def _only_goes_on(text: str, mentions: Sequence[Mention]) -> bool:
    """Return whether a sentence says of its places nothing but that the finding before is there too."""
    rules = load_rules()
    if mentions or rules.patient_cues.search(text) or rules.denied_before.search(text):
        return False
    return all(word in rules.going_on for word in _WORD.findall(rules.places.sub(" ", text).lower()))


def _end_of_what_goes_on(text: str, mentions: Sequence[Mention]) -> int:
    """Return where "two on the right, apical and perihilar, the base being clear" no longer tells of the finding."""
    if not mentions or any(m.manner != "clear" for m in mentions):
        return 0
    rules = load_rules()
    for part in _ASIDE.finditer(text, 0, mentions[0].end):
        if rules.places.search(text, 0, part.start()) and _only_goes_on(text[: part.start()], ()):
            is_clear = part.end() <= mentions[0].start and _LISTED.search(text, part.end(), mentions[0].start)
            return 0 if is_clear else part.start()
    return 0


def _says_something(mention: Mention, places: frozenset[Place] | None) -> bool:
    """Return whether a word that is no finding by itself is one here: a lung or a zone was said of it."""
    is_now = mention.manner != "clear" or mention.certainty == "denied"
    return is_now and any(place.side or place.zones for place in places or ())


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


def _without_spared(facts: Facts) -> Facts:
    """Take the zones that are clear out of a lung that is said to be affected, all or somewhere."""
    clear: dict[str, frozenset[str]] = defaultdict(frozenset)
    for place in (place for f in facts if f.kind == "opacity" and f.certainty == "denied" for place in f.places):
        clear[place.side] |= place.zones
    return frozenset(
        replace(f, places=frozenset(_spared(place, clear[place.side]) for place in f.places))
        if f.kind == "opacity" and f.certainty in ("affirmed", "uncertain")
        else f
        for f in facts
    )


def _spared(place: Place, clear: frozenset[str]) -> Place:
    every = frozenset(ZONES)
    return (
        Place(place.side, every - clear) if clear and clear < every and place.zones in (frozenset(), every) else place
    )


def _merge_group(kind: str, certainty: Certainty, group: Sequence[Finding]) -> Finding:
    places = join_places(place for finding in group for place in finding.places)
    if certainty == "denied" and places == {Place(side) for side in SIDES}:
        places = frozenset()  # "both lungs are clear" says no less than "no opacity"
    counts = [finding.count for finding in group if finding.count is not None]
    sizes = [finding.size_mm for finding in group if finding.size_mm is not None]
    return Finding(kind, certainty, places, sum(counts) if counts else None, max(sizes) if sizes else None)


def _nearest(span: re.Match[str], mentions: Sequence[Mention]) -> int:
    """Return the index of the mention with the fewest characters between; before a tie, the earlier one."""
    start, end = span.span()
    gaps = [max(mention.start - end, start - mention.end, 0) for mention in mentions]
    return gaps.index(min(gaps))


def _number(word: str) -> int:
    return load_rules().count_words.get(word.lower()) or int(word)


def _millimetres(match: re.Match[str]) -> float | None:
    value = float(match.group(1).replace(",", ".")) * (10.0 if match.group(2).lower() == "cm" else 1.0)
    return value if value <= _LARGEST_SIZE_MM else None
