"""Where in the lungs: sides and zones, and which of them belong together."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from tmca_core.report.rules import SIDES, ZONES, load_rules
from tmca_core.study import Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_CONJUNCTION = re.compile(r"\b(?:and|plus|as well as|also)\b|[,&/+]", re.IGNORECASE)
_RANGE = re.compile(r"\b(?:to|into|through|thru|till|until)\b|^\s*[-\u2013]\s*$", re.IGNORECASE)
_REACHES = re.compile(r"\b(?:extend|reach|stretch|spread|continu|track)\w*", re.IGNORECASE)
_PLURAL = re.compile(r"(?:apices|apexes|bases|midzones|mzs|lzs|uzs)", re.IGNORECASE)
_PLURAL_NOUN = re.compile(r"\s*(?:lung\s+)?(?:zones|lobes|fields|regions|portions|lungs|thirds|areas)\b", re.IGNORECASE)
_NOUN = re.compile(r"\b(?:(?:lung|zone|lobe|field|region|third|portion|part|side)s?|hemithorax)\b", re.IGNORECASE)
_ON = re.compile(r"\bon\s+(?:the\s+)?\Z", re.IGNORECASE)
_ARTICLE = re.compile(r"\bthe\b", re.IGNORECASE)
# A conjunction after a noun of place parts two places.
_PARTS = 3.0
_EXTENDS = 0.9
_BREAK = re.compile(r"[,;.:]|\b(?:and|but|while|whereas|with)\b", re.IGNORECASE)


@dataclass(frozen=True)
class StatedPlace:
    """A place, and the stretch of text that states it."""

    place: Place
    start: int
    end: int
    is_plural: bool = False
    """Whether it is one zone of several lungs ("bases"): without a side, one of each lung."""
    is_whole: bool = False
    """Whether it is all of a lung, in words that name no zone, and leave no doubt ("diffuse" does)."""


@dataclass(frozen=True)
class _Word:
    """A word of place: its sides, its zones, or both ("RUL")."""

    sides: frozenset[str]
    zones: frozenset[str]
    start: int
    end: int
    is_whole: bool = False
    is_loose: bool = False


@dataclass(frozen=True)
class _Unit:
    """Sides that share zones."""

    sides: frozenset[str]
    zones: frozenset[str]
    start: int
    end: int
    is_plural: bool = False
    is_whole: bool = False
    is_loose: bool = False


def join_places(places: Iterable[Place]) -> frozenset[Place]:
    """Return at most one place per side; what has a zone makes what has none more precise."""
    zones: dict[str, frozenset[str]] = defaultdict(frozenset)
    for place in places:
        zones[place.side] |= place.zones
    if len(zones) > 1 and "" in zones:  # a zone without a side belongs to the sides that have none
        unsided = zones.pop("")
        zones = {side: known or unsided for side, known in zones.items()}
    return frozenset(Place(side, known) for side, known in zones.items())


def places_in(text: str, side: str = "") -> list[StatedPlace]:
    """Return the places that a sentence states, in the order of the text.

    "Upper lower left lung and lower right lung", "left upper and right lower zone" and "left lower zone and upper zone
    of the right lung" are all understood: between two sides, the zones are cut where the words between part most. A
    zone without a side is one of the lung last spoken of.

    Parameters
    ----------
    text : str
        Where nothing but lungs is named by words of place.
    side : str
        The one side that the sentences before speak of, "" for none: what "contralateral" is opposite to.

    """
    units: list[_Unit] = []
    is_paired = False
    for group in _groups(text, side):
        before = next((unit for unit in reversed(units) if unit.sides), None)
        awaits_side = bool(units) and not units[-1].sides and not units[-1].is_plural
        if awaits_side and (before is None or is_paired) and _follows_its_zones(text, units[-1], group):
            units[-1] = replace(units[-1], sides=group[0].sides)
            units += _resolve(text, group[1:], None) if len(group) > 1 else []
            is_paired = True
        else:
            units += _resolve(text, group, before)
    return [
        StatedPlace(Place(side, unit.zones), unit.start, unit.end, unit.is_plural, unit.is_whole and not unit.is_loose)
        for unit in _with_sides(text, units)
        for side in sorted(unit.sides) or [""]
    ]


def _groups(text: str, side: str) -> list[list[_Word]]:
    """Return words of place in stretches that nothing but glue interrupts."""
    groups: list[list[_Word]] = []
    for match in load_rules().places.finditer(text):
        word = _word(match, side)
        if len(word.sides) == 1:
            side = next(iter(word.sides))
        if groups and _goes_on(text, groups[-1], word):
            groups[-1].append(word)
        else:
            groups.append([word])
    return groups


def _word(match: re.Match[str], side: str) -> _Word:
    rules, term = load_rules(), " ".join(match.group().lower().split())
    sides = rules.sides_of.get(term, frozenset())
    if side in SIDES and term in rules.opposite:
        sides = frozenset(SIDES) - {side}
    elif side in SIDES and term in rules.same:
        sides = frozenset({side})
    zones = rules.zones_of.get(term, frozenset())
    return _Word(sides, zones, match.start(), match.end(), term in rules.whole, term in rules.loose)


def _goes_on(text: str, group: Sequence[_Word], word: _Word) -> bool:
    is_complete = any(w.sides and w.zones for w in (group[-1], word))  # "RUL" needs no other word
    return not is_complete and bool(load_rules().glue.fullmatch(text, group[-1].end, word.start))


def _follows_its_zones(text: str, zones: _Unit, group: Sequence[_Word]) -> bool:
    """Return whether a side is of the zones before it: "apical opacity on the right and basal opacity on the left"."""
    side, rest = group[0], group[1:]
    if side.zones or len(side.sides) != 1 or _BREAK.search(text, zones.end, side.start):
        return False
    is_alone = not rest or (not any(w.sides for w in rest[:1]) and _parting(text, side, rest[0]) >= 1.0)
    return is_alone and bool(_ON.search(text, zones.end, side.start))


def _resolve(text: str, group: Sequence[_Word], before: _Unit | None) -> list[_Unit]:
    """Return the sides of a group with their zones; ``before`` is what was last said of a side before it."""
    runs = _side_runs(text, group)
    if not runs:
        return [_unit(text, [], group)]
    goes_on = _end_of_what_goes_on(text, group, group.index(runs[0][0]), before)
    if goes_on:
        return [_unit(text, [], group[:goes_on]), *_resolve(text, group[goes_on:], None)]
    first_of_run = [group.index(run[0]) for run in runs]
    after_run = [group.index(run[-1]) + 1 for run in runs]
    cuts = [0]
    for i in range(len(runs) - 1):
        has_zones = cuts[-1] < first_of_run[i]
        cuts.append(_cut(text, group, after_run[i], first_of_run[i + 1], needs_zone=not has_zones))
    cuts.append(len(group))
    return [
        _unit(text, run, [word for word in group[start:end] if word.zones])
        for run, start, end in zip(runs, cuts, cuts[1:], strict=False)
    ]


def _end_of_what_goes_on(text: str, group: Sequence[_Word], first_side: int, before: _Unit | None) -> int:
    """Return how many zones at the start of a group are of the lung before it, and not of the side behind them.

    "The left lung is hazy in the upper zone and base, and the right mid zone".
    """
    has_own_zones = len(group) > first_side + 1
    if before is None and first_side and has_own_zones:  # "the bases and the right apex"
        is_plural = _unit(text, [], group[:first_side]).is_plural
        return first_side if is_plural and _parting(text, group[first_side - 1], group[first_side]) else 0
    if before is None or not first_side:
        return 0
    if before.zones and not has_own_zones:
        return 0
    scores = [_parting(text, group[i - 1], group[i]) for i in range(1, first_side + 1)]
    best = max(scores)
    return (
        1 + max(i for i, score in enumerate(scores) if score == best) if best >= (3.0 if before.zones else 1.0) else 0
    )


def _side_runs(text: str, group: Sequence[_Word]) -> list[list[_Word]]:
    """Return sides that share their zones: "left and right", and no "left lung and right"."""
    runs: list[list[_Word]] = []
    for before, word in zip([None, *group], group, strict=False):
        if not word.sides:
            continue
        if before is not None and _are_listed(text, before, word):
            runs[-1].append(word)
        else:
            runs.append([word])
    return runs


def _are_listed(text: str, before: _Word, word: _Word) -> bool:
    """Return whether two sides share their zones."""
    if len(before.sides) != 1 or len(word.sides) != 1 or _REACHES.search(text[before.end : word.start]):
        return before.sides == word.sides
    return _parting(text, before, word) < _PARTS


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
        return _EXTENDS if _REACHES.search(between) else 0.0
    begins_anew = 0.5 if _ARTICLE.search(between) else 0.0
    return conjunctions + begins_anew + (_PARTS - 1.0 if _NOUN.search(between) else 0.0)


def _unit(text: str, sides: Sequence[_Word], zones: Sequence[_Word]) -> _Unit:
    words = [*sides, *zones]
    start, end = min(word.start for word in words), max(word.end for word in words)
    all_sides = frozenset[str]().union(*(word.sides for word in sides))
    wholes = [word for word in zones if word.is_whole]
    named = [word for word in zones if not word.is_whole]
    if not named or (wholes and not _is_narrowed(text, wholes, named)):
        is_loose = all(word.is_loose for word in wholes)
        return _Unit(all_sides, frozenset(ZONES) if wholes else frozenset(), start, end, False, bool(wholes), is_loose)
    last = named[-1]
    is_plural = len({word.zones for word in named}) == 1 and bool(
        _PLURAL.fullmatch(text, last.start, last.end) or _PLURAL_NOUN.match(text, last.end)
    )
    return _Unit(all_sides, _zones(text, named), start, end, is_plural)


def _is_narrowed(text: str, wholes: Sequence[_Word], named: Sequence[_Word]) -> bool:
    """Return whether "all" is all of a zone: "the entire right lower lobe", "diffuse opacity, lower zones"."""
    if all(word.is_loose for word in wholes):
        return True
    before, after = wholes[0], named[0]
    return before.start < after.start and not re.search(r"[,:(]|\blungs?\b", text[before.end : after.start])


def _zones(text: str, named: Sequence[_Word]) -> frozenset[str]:
    """Return the zones of words in a row; "apex to base" has the zone between."""
    zones = frozenset[str]().union(*(word.zones for word in named))
    for before, after in pairwise(named):
        if _RANGE.search(text[before.end : after.start]):
            ends = sorted(ZONES.index(zone) for zone in before.zones | after.zones)
            zones |= frozenset(ZONES[ends[0] : ends[-1] + 1])
    return zones


def _with_sides(text: str, units: Sequence[_Unit]) -> list[_Unit]:
    """Give units without a side the side of the lung that they are of: the last one named, or the next."""
    result: list[_Unit] = []
    for i, unit in enumerate(units):
        if unit.sides:
            result.append(unit)
            continue
        before = next((u for u in reversed(result) if u.sides), None)
        after = next((u for u in units[i + 1 :] if u.sides), None)
        if unit.is_whole:
            owner = _owner_of_whole(text, unit, before, after)
            if owner is None and unit.is_loose and (before or after):
                continue
        elif before is not None and (not before.zones or not unit.is_plural):
            owner = before
        elif after is not None and not after.zones and not unit.is_plural | (before is not None):
            owner = after if not _BREAK.search(text[unit.end : after.start]) else None
        elif after is not None and not after.zones and len(after.sides) == len(SIDES):
            owner = after
        else:
            owner = None
        result.append(replace(unit, sides=owner.sides) if owner else unit)
    return result


def _owner_of_whole(text: str, unit: _Unit, before: _Unit | None, after: _Unit | None) -> _Unit | None:
    if before is not None and not before.zones and not re.search(r"[,;.]", text[before.end : unit.start]):
        return before
    if after is not None and not after.zones and not re.search(r"[;.]", text[unit.end : after.start]):
        return after
    return before if before is not None and not before.zones else None
