"""The rules of rules.toml, as compiled patterns."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

BOTH = "both"
SIDES = ("left", "right")
ZONES = ("upper", "middle", "lower")


@dataclass(frozen=True)
class Rules:
    """What `load_rules` makes of rules.toml; every pattern matches whole words and ignores case."""

    headings: re.Pattern[str]
    headings_about_picture: frozenset[str]
    abbreviations: frozenset[str]
    findings: re.Pattern[str]
    kinds: re.Pattern[str]
    kind_of: dict[str, str]
    normal_structures: dict[str, re.Pattern[str]]
    places: re.Pattern[str]
    sides_of: dict[str, frozenset[str]]
    zones_of: dict[str, frozenset[str]]
    glue: re.Pattern[str]
    comparison: re.Pattern[str]
    uncertain_before: re.Pattern[str]
    uncertain_after: re.Pattern[str]
    past_before: re.Pattern[str]
    past_after: re.Pattern[str]
    counts: re.Pattern[str]
    count_words: dict[str, int]
    denied_before: re.Pattern[str]
    denied_after: re.Pattern[str]
    terminators: re.Pattern[str]
    normal: re.Pattern[str]
    pseudo: re.Pattern[str]
    sides: dict[str, re.Pattern[str]]
    swaps: tuple[tuple[str, str], ...]
    patient_cues: re.Pattern[str]


@cache
def load_rules() -> Rules:
    """Read the rules once."""
    raw = tomllib.loads((files("tmca_core.report") / "rules.toml").read_text(encoding="utf-8"))
    sections, negation, sides, certainty = raw["sections"], raw["negation"], raw["sides"], raw["certainty"]
    kinds, zones, counting = raw["findings"], dict(raw["zones"]), raw["counting"]
    glue = zones.pop("glue")
    headings = [*sections["about_picture"], *sections["not_about_picture"]]
    return Rules(
        headings=re.compile(rf"({_alternatives(headings)})[ \t]*:", re.IGNORECASE),
        headings_about_picture=frozenset(sections["about_picture"]),
        abbreviations=frozenset(raw["sentences"]["abbreviations"]),
        findings=_words(term for kind, terms in kinds.items() if kind != "device" for term in terms),
        kinds=_words(term for terms in kinds.values() for term in terms),
        kind_of={term: kind for kind, terms in kinds.items() for term in terms},
        normal_structures={kind: _words(terms) for kind, terms in raw["normal_denies"].items()},
        places=_words({term for terms in (*zones.values(), *(sides[s] for s in (*SIDES, BOTH))) for term in terms}),
        sides_of=_members({**{side: sides[side] for side in SIDES}, BOTH: sides[BOTH]}, {BOTH: frozenset(SIDES)}),
        zones_of=_members(zones, {"all": frozenset(ZONES)}),
        glue=re.compile(rf"(?:[\s,/&():-]|(?<!\w)(?:{_alternatives(glue)})(?!\w))*", re.IGNORECASE),
        comparison=_words(raw["comparison"]["patterns"]),
        uncertain_before=_words(certainty["uncertain_before"]),
        uncertain_after=_words(certainty["uncertain_after"]),
        past_before=_words(certainty["past_before"]),
        past_after=_words(certainty["past_after"]),
        counts=_count_pattern(counting),
        count_words=counting["words"],
        denied_before=_words(negation["before"]),
        denied_after=_words(negation["after"]),
        terminators=_words(negation["terminators"]),
        normal=_words(negation["normal"]),
        pseudo=_words(negation["pseudo"]),
        sides={side: _words(sides[side]) for side in (*SIDES, BOTH)},
        swaps=tuple((a, b) for a, b in sides["swaps"]),
        patient_cues=_words(raw["not_about_picture"]["cues"]),
    )


def _alternatives(words: Iterable[str]) -> str:
    """Return words as alternatives, longest first, any run of blanks between the parts of a term."""
    return "|".join(re.escape(word).replace(r"\ ", r"[ \t\n]+") for word in sorted(words, key=len, reverse=True))


def _members(groups: dict[str, list[str]], union: dict[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """Return what each term belongs to; a group in ``union`` stands for several."""
    members: dict[str, frozenset[str]] = {}
    for group, terms in groups.items():
        for term in terms:
            members[term] = members.get(term, frozenset()) | union.get(group, frozenset({group}))
    return members


def _count_pattern(counting: dict[str, Any]) -> re.Pattern[str]:
    """Return a pattern of a number (group 1), at most three words, and something that is counted."""
    numbers = f"{_alternatives(counting['words'])}|[1-9]"
    nouns = _alternatives(counting["nouns"])
    return re.compile(rf"(?<![\w.])({numbers})(?:[ \t\n]+[a-z-]+){{0,3}}?[ \t\n]+(?:{nouns})(?!\w)", re.IGNORECASE)


def _words(words: Iterable[str]) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{_alternatives(words)})(?!\w)", re.IGNORECASE)
