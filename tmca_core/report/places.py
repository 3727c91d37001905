"""Where in the lungs: sides and zones, and which of them belong together."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tmca_core.report.rules import load_rules
from tmca_core.study import Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_CONJUNCTION = re.compile(r"\b(?:and|plus|as well as|also)\b|[,&/]", re.IGNORECASE)
_NOUN = re.compile(r"\b(?:(?:lung|zone|lobe|field|region|third|portion|part|side)s?|hemithorax)\b", re.IGNORECASE)
_ARTICLE = re.compile(r"\bthe\b", re.IGNORECASE)
# A conjunction after a noun of place parts two places.
_PARTS = 3.0


@dataclass(frozen=True)
class StatedPlace:
    """A place, and the stretch of text that states it."""

    place: Place
    start: int
    end: int


@dataclass(frozen=True)
class _Word:
    """A word of place: its sides, its zones, or both ("RUL")."""

    sides: frozenset[str]
    zones: frozenset[str]
    start: int
    end: int


def join_places(places: Iterable[Place]) -> frozenset[Place]:
    """Return at most one place per side; what has a zone makes what has none more precise."""
    zones: dict[str, frozenset[str]] = defaultdict(frozenset)
    for place in places:
        zones[place.side] |= place.zones
    if len(zones) > 1 and "" in zones:  # a zone without a side belongs to the sides that have none
        unsided = zones.pop("")
        zones = {side: known or unsided for side, known in zones.items()}
    return frozenset(Place(side, known) for side, known in zones.items())


def places_in(text: str) -> list[StatedPlace]:
    """Return the places that a sentence states, in the order of the text.

    "Upper lower left lung and lower right lung", "left upper and right lower zone" and "left lower zone and upper zone
    of the right lung" are all understood: between two sides, the zones are cut where the words between part most.
    """
    stated = [place for group in _groups(text) for place in _resolve(text, group)]
    return _share_zones(stated)


def _groups(text: str) -> list[list[_Word]]:
    """Return words of place in stretches that nothing but glue interrupts."""
    rules = load_rules()
    groups: list[list[_Word]] = []
    for match in rules.places.finditer(text):
        term = " ".join(match.group().lower().split())
        word = _Word(
            rules.sides_of.get(term, frozenset()), rules.zones_of.get(term, frozenset()), match.start(), match.end()
        )
        if groups and _goes_on(text, groups[-1], word):
            groups[-1].append(word)
        else:
            groups.append([word])
    return groups


def _goes_on(text: str, group: Sequence[_Word], word: _Word) -> bool:
    is_whole = any(w.sides and w.zones for w in (group[-1], word))  # "RUL" needs no other word
    return not is_whole and bool(load_rules().glue.fullmatch(text, group[-1].end, word.start))


def _resolve(text: str, group: Sequence[_Word]) -> list[StatedPlace]:
    runs = _side_runs(text, group)
    if not runs:
        return _state([], group)
    first_of_run = [group.index(run[0]) for run in runs]
    after_run = [group.index(run[-1]) + 1 for run in runs]
    cuts = [0]
    for i in range(len(runs) - 1):
        has_zones = cuts[-1] < first_of_run[i]
        cuts.append(_cut(text, group, after_run[i], first_of_run[i + 1], needs_zone=not has_zones))
    cuts.append(len(group))
    stated = []
    for run, start, end in zip(runs, cuts, cuts[1:], strict=False):
        stated += _state(run, [word for word in group[start:end] if word.zones])
    return stated


def _side_runs(text: str, group: Sequence[_Word]) -> list[list[_Word]]:
    """Return sides that share their zones: "left and right", and no "left lung and right"."""
    runs: list[list[_Word]] = []
    for before, word in zip([None, *group], group, strict=False):
        if not word.sides:
            continue
        if before is not None and before.sides and _parting(text, before, word) < _PARTS:
            runs[-1].append(word)
        else:
            runs.append([word])
    return runs


def _cut(text: str, group: Sequence[_Word], first: int, last: int, *, needs_zone: bool) -> int:
    """Return the index in ``first .. last`` from which zones belong to the next side; a tie goes to the last."""
    best, best_score = first, -1.0
    for i in range(first, last + 1):
        score = _parting(text, group[i - 1], group[i]) - (1.0 if needs_zone and i == first else 0.0)
        if score >= best_score:
            best, best_score = i, score
    return best


def _parting(text: str, before: _Word, after: _Word) -> float:
    """Return how clearly the words between two words of place part them; 0 where they belong together."""
    between = text[before.end : after.start]
    conjunctions = len(_CONJUNCTION.findall(between)) + (1 if "/" in between else 0)
    if not conjunctions:
        return 0.0
    begins_anew = 0.5 if _ARTICLE.search(between) else 0.0
    return conjunctions + begins_anew + (_PARTS - 1.0 if _NOUN.search(between) else 0.0)


def _state(sides: Sequence[_Word], zones: Sequence[_Word]) -> list[StatedPlace]:
    words = [*sides, *zones]
    start, end = min(word.start for word in words), max(word.end for word in words)
    named = frozenset[str]().union(*(word.zones for word in zones))
    all_sides = sorted(frozenset[str]().union(*(word.sides for word in sides))) or [""]
    return [StatedPlace(Place(side, named), start, end) for side in all_sides]


def _share_zones(stated: Sequence[StatedPlace]) -> list[StatedPlace]:
    """Give zones without a side to the sides without a zone: "bilateral opacities in the lower zones"."""
    bare = [s for s in stated if s.place.side and not s.place.zones]
    unsided = [s for s in stated if not s.place.side]
    if not bare or not unsided:
        return list(stated)
    zones = frozenset[str]().union(*(s.place.zones for s in unsided))
    return [StatedPlace(Place(s.place.side, zones), s.start, s.end) if s in bare else s for s in stated if s.place.side]
