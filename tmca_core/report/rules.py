"""The rules of rules.toml, as compiled patterns."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

BOTH = "both"


@dataclass(frozen=True)
class Rules:
    """What `load_rules` makes of rules.toml; every pattern matches whole words and ignores case."""

    headings: re.Pattern[str]
    headings_about_picture: frozenset[str]
    abbreviations: frozenset[str]
    findings: re.Pattern[str]
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
    sections, negation, sides = raw["sections"], raw["negation"], raw["sides"]
    headings = [*sections["about_picture"], *sections["not_about_picture"]]
    return Rules(
        headings=re.compile(rf"({_alternatives(headings)})[ \t]*:", re.IGNORECASE),
        headings_about_picture=frozenset(sections["about_picture"]),
        abbreviations=frozenset(raw["sentences"]["abbreviations"]),
        findings=_words(raw["findings"]["terms"]),
        denied_before=_words(negation["before"]),
        denied_after=_words(negation["after"]),
        terminators=_words(negation["terminators"]),
        normal=_words(negation["normal"]),
        pseudo=_words(negation["pseudo"]),
        sides={side: _words(sides[side]) for side in ("left", "right", BOTH)},
        swaps=tuple((a, b) for a, b in sides["swaps"]),
        patient_cues=_words(raw["not_about_picture"]["cues"]),
    )


def _alternatives(words: Iterable[str]) -> str:
    """Return words as alternatives, longest first, any run of blanks between the parts of a term."""
    return "|".join(re.escape(word).replace(r"\ ", r"[ \t\n]+") for word in sorted(words, key=len, reverse=True))


def _words(words: Iterable[str]) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{_alternatives(words)})(?!\w)", re.IGNORECASE)
