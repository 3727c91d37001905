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
    headings_of_description: frozenset[str]
    brief_headings: frozenset[str]
    abbreviations: frozenset[str]
    findings: re.Pattern[str]
    kinds: re.Pattern[str]
    kind_of: dict[str, str]
    normal_structures: dict[str, re.Pattern[str]]
    places: re.Pattern[str]
    sides_of: dict[str, frozenset[str]]
    zones_of: dict[str, frozenset[str]]
    whole: frozenset[str]
    loose: frozenset[str]
    opposite: frozenset[str]
    same: frozenset[str]
    meanings: re.Pattern[str]
    meaning_of: dict[str, str]
    landmarks: tuple[tuple[re.Pattern[str], str], ...]
    structures: re.Pattern[str]
    beside_structure: tuple[re.Pattern[str], ...]
    vague: re.Pattern[str]
    other_organs: re.Pattern[str]
    not_vague: re.Pattern[str]
    clear_after: re.Pattern[str]
    clear_before: re.Pattern[str]
    spared: re.Pattern[str]
    excepts: re.Pattern[str]
    going_on: frozenset[str]
    rest: re.Pattern[str]
    glue: re.Pattern[str]
    comparison: re.Pattern[str]
    uncertain_before: re.Pattern[str]
    uncertain_after: re.Pattern[str]
    past_before: re.Pattern[str]
    past_after: re.Pattern[str]
    still_there: re.Pattern[str]
    clear_in_past: re.Pattern[str]
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
    glue, loose = zones.pop("glue"), zones.pop("loose")
    clear, vague, structures = raw["clear"], raw["vague_opacity"], raw["structures"]["words"]
    headings = [*sections["about_picture"], *sections["not_about_picture"]]
    return Rules(
        headings=re.compile(rf"({_alternatives(headings)})[ \t]*:", re.IGNORECASE),
        headings_about_picture=frozenset(sections["about_picture"]),
        headings_of_description=frozenset(sections["description"]),
        brief_headings=frozenset(sections["brief"]),
        abbreviations=frozenset(raw["sentences"]["abbreviations"]),
        findings=_words(term for kind, terms in kinds.items() if kind != "device" for term in terms),
        kinds=_words(term for terms in kinds.values() for term in terms),
        kind_of={term: kind for kind, terms in kinds.items() for term in terms},
        normal_structures={kind: _words(terms) for kind, terms in raw["normal_denies"].items()},
        places=_place_pattern(zones, sides),
        sides_of=_members(
            {"left": [*sides["left"], "l"], "right": [*sides["right"], "r"], BOTH: sides[BOTH]},
            {BOTH: frozenset(SIDES)},
        ),
        zones_of=_members(zones, {"all": frozenset(ZONES)}),
        whole=frozenset(zones["all"]),
        loose=frozenset(loose),
        opposite=frozenset(sides["opposite"]),
        same=frozenset(sides["same"]),
        meanings=_words(term for terms in raw["means"].values() for term in terms),
        meaning_of={term: meaning for meaning, terms in raw["means"].items() for term in terms},
        landmarks=tuple((_landmark(table), table["is"]) for table in raw["landmarks"].values()),
        structures=_words(structures),
        beside_structure=_beside_structure(structures),
        vague=_words(vague["words"]),
        other_organs=_words(vague["never_with"]),
        not_vague=re.compile(
            rf"(?<!\w)(?:{_alternatives(vague['not_after'])})[ \t\n-]+(?:\w+[ \t\n]+)?\Z", re.IGNORECASE
        ),
        clear_after=_words(clear["after"]),
        clear_before=re.compile(rf"{_words(clear['before']).pattern}|{_NOT_A_ZONE}", re.IGNORECASE),
        spared=_words(clear["implies"]),
        excepts=_words(clear["except"]),
        going_on=frozenset(word for term in (*raw["going_on"]["words"], *glue) for word in term.split()),
        rest=_words(clear["rest"]),
        glue=re.compile(rf"(?:[\s,/&():+\u2013-]|(?<!\w)(?:{_alternatives(glue)})(?!\w))*", re.IGNORECASE),
        comparison=_words(raw["comparison"]["patterns"]),
        uncertain_before=_words(certainty["uncertain_before"]),
        uncertain_after=_words(certainty["uncertain_after"]),
        past_before=_words(certainty["past_before"]),
        past_after=_words(certainty["past_after"]),
        clear_in_past=_words(certainty["clear_in_past"]),
        still_there=_words(certainty["still_there"]),
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


# "Both" tells of lungs, and of no opacities: "both at the right base".
_NO_SIDES_AFTER_BOTH = (
    r"(?!\s+(?:at|in|on|are|were|is|within|being|lie|lying|located|involving|affecting|these|of\s+(?:them|these|which)|"
    r"(?:the\s+)?(?:apex|base)\s+and|[^.;,]{0,40}\bof\s+the\s+(?:left|right)|opacit\w+|areas?|patch\w*|foci|lesions?|consolidations?|infiltrates?|shadows?|right|left)\b)"
)
# "All" is a zone only of something: "four areas in all" has none.
_WHOLE_OF = (
    r"(?=\s+(?:of\s+)?(?:the\s+|its\s+)?(?:both\s+)?(?:\w+\s+)?"
    r"(?:left|right|lungs?|zones?|lobes?|fields?|hemithorax|l|r)\b)"
)
# The hilum is a structure, what is about it a zone.
_ABOUT_HILUM = r"(?=\s+(?:region|zone|area|level|field|opac|consol|infiltr|shadowing|haz|dens|patch|to)\w*)"
# "Completely resolved" says nothing of where.
_DEGREES = ("complete", "completely", "fully", "total", "totally", "entirely", "wholly")
_NOT_OF_DEGREE = r"(?!\s+(?:resol|clear|normal|spared|aerated|free|regress|remission|unremarkable)\w*)"
# Two lungs alike only before a zone, and a zone only of a lung: "symmetric hila", "low volumes".
_SYMMETRIC = r"symmetric(?:al)?(?=\s+(?:perihilar|para\w*hilar|apical|mid|middle|upper|lower|bas\w+)(?!\w))"
_LOW = (
    r"low(?=\s+(?:zone|lobe|field|third|patch|consol|infil|opac|haz|shadow)\w*|\s+lung(?!\s+vol))|(?<=mid/)low(?!\w)"
    r"|(?<=mid & )low(?!\w)|(?<=mid and )low(?!\w)"
)
# "The middle and inferior part, not superior".
_NOT_A_ZONE = r"(?<=,\s)not(?=\s+(?:upper|mid|middle|lower|superior|inferior|apical|basal)(?!\w))"
# One letter is a side only as a capital, and is none behind a number or a unit ("5 L oxygen", "45 mg/L").
_LETTERS = r"(?-i:(?<!\w)(?<!\d\s)(?<![a-z\dU]/)(?<![a-z\dU]/\s)[LR](?![\w'%]))"
_SIDE_WORDS = r"(?:left|right|lt|rt|both|bilateral)(?:-sided)?|(?-i:[LR])"


def _place_pattern(zones: dict[str, list[str]], sides: dict[str, list[str]]) -> re.Pattern[str]:
    terms = {
        term for terms in (*zones.values(), *(sides[s] for s in (*SIDES, BOTH, "opposite", "same"))) for term in terms
    }
    rest = _alternatives(terms - {"both", "all", "hilar", "low", "symmetric", "symmetrical", *_DEGREES})
    guarded = rf"(?:{_alternatives(_DEGREES)})(?!\w){_NOT_OF_DEGREE}|hilar(?!\w){_ABOUT_HILUM}"
    guarded += rf"|{_SYMMETRIC}|{_LOW}"
    guarded += rf"|both(?!\w){_NO_SIDES_AFTER_BOTH}|all(?!\w){_WHOLE_OF}|{_LETTERS}"
    return re.compile(rf"(?<!\w)(?:{rest}|{guarded})(?!\w)", re.IGNORECASE)


def _landmark(table: dict[str, Any]) -> re.Pattern[str]:
    """Return a pattern whose group 1 is what stands for the zone."""
    side = rf"(?:(?:the|its|each)[ \t\n]+)?(?:(?:{_SIDE_WORDS})[ \t\n]+)?(?:lateral[ \t\n]+)?"
    near, of = _alternatives(table["near"]), _alternatives(table["of"])
    return re.compile(rf"(?<!\w)(?:{near})[ \t\n]+{side}({of})(?!\w)", re.IGNORECASE)


def _beside_structure(structures: list[str]) -> tuple[re.Pattern[str], ...]:
    """Return patterns whose group 1 is a side or zone of a structure: "left hemidiaphragm", "apex of the heart"."""
    named, no_link = _alternatives(structures), r"(?!(?:and|or|with|lung|lungs|zone|zones|lobe|is|are|no|without)\b)"
    blank, article = r"[ \t\n]+", r"(?:the[ \t\n]+)?"
    moved = rf"(?:{blank}(?:deviated|displaced|shifted|shift))?"
    where = rf"(?:{_SIDE_WORDS}|upper|lower|mid|middle|superior|inferior|diffuse|apex|apices|base|bases)"
    lung = r"(?!(?:[ \t\n]+\w+)?[ \t\n]+(?:lung|zone|lobe|base|apex|field|mid|upper|lower|middle)s?\b)"
    return (
        re.compile(
            rf"(?<![\w-])({where}(?:(?:[ \t\n]+and[ \t\n]+|[ \t\n]+){where})?)(?!\w)"
            rf"(?:[ \t\n]+{no_link}[\w-]+){{0,2}}?[ \t\n]+(?:{named})(?!\w)",
            re.IGNORECASE,
        ),
        re.compile(
            rf"(?<!\w)(?:{named}){moved}{blank}(?:on|of|to){blank}{article}({where})(?!\w){lung}",
            re.IGNORECASE,
        ),
        re.compile(rf"(?<!\w)({where})[ \t\n]+(?:of|in|on)[ \t\n]+(?:the[ \t\n]+)?(?:{named})(?!\w)", re.IGNORECASE),
    )


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
