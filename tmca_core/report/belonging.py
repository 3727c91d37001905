"""Which place belongs to which finding of a sentence, or to the words that say it is clear."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from tmca_core.report.mentions import Mention
from tmca_core.report.rules import BOTH, SIDES, ZONES, load_rules
from tmca_core.study import Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tmca_core.report.places import StatedPlace

# What keeps a place and a finding apart, and how much.
_APART = (
    (re.compile(r";|\.\s"), 25.0),
    (re.compile(r"\b(?:but|however|while|whereas|although|though|yet|which|where)\b", re.IGNORECASE), 20.0),
    (re.compile(r"\bwith\b", re.IGNORECASE), 20.0),
    (re.compile(r","), 6.0),
    (re.compile(r"\b(?:and|plus)\b|[&+:]|\s[-\u2013]\s", re.IGNORECASE), 3.0),
)
# "Consolidation in the apex sparing the mid zone, and at the base" goes back to the consolidation.
_ANEW = re.compile(r"\band\s+(?:also\s+)?(?:in|at|within|over|of|involving)\b", re.IGNORECASE)
_MARK = re.compile(r"[,&+]|\band\b")
_ONLY = re.compile(r"\bonly\b", re.IGNORECASE)
_ONLY_REACH = 6
_PER_CHARACTER = 0.05
_PER_FINDING_BETWEEN = 8.0
_WRONG_SIDE = 30.0
_SEGMENT_END = re.compile(r"[,;]|\.\s|\b(?:but|while|whereas|with)\b", re.IGNORECASE)
_EXCEPTION_END = re.compile(
    r"[,;.]|\b(?:is|are|was|were|shows?|appears?|looks?|involved|affected|has|have)\b", re.IGNORECASE
)
_LISTED = re.compile(
    r"(?:[\s,/&+-]|\b(?:and|with|or|plus)\b|\b(?:small|associated|mild|some|minor|minimal)\b)*", re.IGNORECASE
)


def assign_places(
    text: str, stated: Sequence[StatedPlace], mentions: Sequence[Mention], side: str, *, is_labelled: bool = False
) -> dict[Mention, list[Place]]:
    """Return the places of each mention, mentions that only an exception makes among them.

    Parameters
    ----------
    text : str
        A prepared sentence.
    stated : sequence of StatedPlace
        Its places.
    mentions : sequence of Mention
        What it mentions.
    side : str
        The lung that the sentences before speak of, "" for none.
    is_labelled : bool
        Whether the sentence stands under that lung's name ("Right lung: ..."), and so all its zones are of it.

    """
    owners: dict[Mention, list[StatedPlace]] = defaultdict(list)
    excepted = dict(_exceptions(text, stated, mentions))
    for place in stated:
        owner = excepted.get(place) or _owner(text, place, stated, mentions)
        if owner is not None:
            owners[owner].append(place)
    _share(text, owners, mentions)
    has_exception = bool(excepted) or any(
        m.manner == "clear" and _ONLY.search(text, *_segment(text, m)) for m in owners
    )
    names_side = bool(side) or any(place.place.side for place in stated)
    side = side if names_side else BOTH
    if is_labelled:
        stated_there = {s: replace(s, place=Place(side, s.place.zones)) for s in stated if not s.place.side}
        owners = defaultdict(list, {m: [stated_there.get(s, s) for s in found] for m, found in owners.items()})
    return {m: [p for s in found for p in _places(text, s, m, side, has_exception)] for m, found in owners.items()}


def _segment(text: str, mention: Mention) -> tuple[int, int]:
    return max(text.rfind(mark, 0, mention.start) for mark in ",;.") + 1, mention.end + _ONLY_REACH


def _owner(text: str, place: StatedPlace, stated: Sequence[StatedPlace], mentions: Sequence[Mention]) -> Mention | None:
    costs = [_cost(text, place, mention, stated, mentions) for mention in mentions]
    return mentions[costs.index(min(costs))] if costs else None


def _cost(
    text: str, place: StatedPlace, mention: Mention, stated: Sequence[StatedPlace], mentions: Sequence[Mention]
) -> float:
    """Return how far a place is from a mention, in words that part them."""
    is_behind = mention.end <= place.start
    start, end = (mention.end, place.start) if is_behind else (place.end, mention.start)
    between = text[start:end]
    for other in stated:  # the commas of "upper, mid and lower zones" keep nothing apart
        if start <= other.start and other.end <= end:
            first, last = other.start - start, other.end - start
            inner = _MARK.sub(lambda m: " " * len(m.group()), between[first:last])
            between = between[:first] + inner + between[last:]
    cost = sum(weight * len(pattern.findall(between)) for pattern, weight in _APART) + _PER_CHARACTER * len(between)
    cost += _PER_FINDING_BETWEEN * sum(start <= m.start and m.end <= end and m.manner != "vague" for m in mentions)
    if mention.manner == "clear":
        towards = [s for s in stated if _in_same_segment(text, s, mention)]
        has_before = any(s.end <= mention.start for s in towards)
        has_after = any(s.start >= mention.end for s in towards)
        stands_before = mention.before and (has_after or not mention.after)
        is_wrong = stands_before and has_after if not is_behind else has_before and not stands_before
        if is_wrong or (is_behind and _ANEW.search(between)):
            cost += _WRONG_SIDE
    return cost


def _in_same_segment(text: str, place: StatedPlace, mention: Mention) -> bool:
    start, end = (mention.end, place.start) if mention.end <= place.start else (place.end, mention.start)
    return not _SEGMENT_END.search(text, start, max(start, end))


def _exceptions(
    text: str, stated: Sequence[StatedPlace], mentions: Sequence[Mention]
) -> Iterator[tuple[StatedPlace, Mention]]:
    """Yield what is excepted, with the opposite of what is said of the rest."""
    for cue in load_rules().excepts.finditer(text):
        stop = _EXCEPTION_END.search(text, cue.end())
        end = stop.start() if stop else len(text)
        own = [m for m in mentions if cue.end() <= m.start < end and m.is_there]
        rest = [m for m in mentions if m.end <= cue.end()][-1:] or [m for m in mentions if m.start >= end][:1]
        is_clear = bool(rest) and not rest[0].is_there
        if is_clear and own:
            continue
        virtual = Mention("opacity", "affirmed" if is_clear else "denied", cue.start(), cue.end(), "vague")
        yield from ((s, virtual) for s in stated if cue.end() <= s.start and s.end <= end)


def _share(text: str, owners: dict[Mention, list[StatedPlace]], mentions: Sequence[Mention]) -> None:
    """Give an opacity without a place that of the finding listed with it: "consolidation and effusion on the left"."""
    for first, second in pairwise(mentions):
        if first.manner != "named" or second.manner != "named" or not _LISTED.fullmatch(text, first.end, second.start):
            continue
        for mention, listed in ((first, second), (second, first)):
            if mention.kind == "opacity" and mention not in owners and listed in owners:
                owners[mention] = list(owners[listed])


def _places(text: str, stated: StatedPlace, mention: Mention, side: str, has_exception: bool) -> list[Place]:
    place = stated.place
    if mention.kind != "opacity":
        return [place]
    if not mention.is_there and not place.zones and has_exception:
        return []
    if not mention.is_there and (not place.zones or stated.is_whole) and _is_rest(text, stated, mention):
        return []
    if mention.is_there and has_exception and not place.zones:
        place = Place(place.side, frozenset(ZONES))
    if place.side:
        return [place]
    if stated.is_plural and mention.certainty != "denied":
        return [Place(lung, place.zones) for lung in SIDES]
    if stated.is_plural and mention.manner == "clear":
        return [Place(lung, place.zones) for lung in SIDES]
    if stated.is_whole and mention.is_there and (has_exception or side == BOTH):
        return [Place(lung, place.zones) for lung in SIDES]
    if side in SIDES and (mention.manner != "named" or stated.is_whole):
        return [Place(side, place.zones)]
    return [place]


def _is_rest(text: str, stated: StatedPlace, mention: Mention) -> bool:
    """Return whether a denial is of what was not named: "the rest of the right lung is clear"."""
    start, end = min(stated.start, mention.start), max(stated.end, mention.end)
    begins = max(text.rfind(",", 0, start), text.rfind(";", 0, start)) + 1
    return bool(load_rules().rest.search(text, begins, end))
