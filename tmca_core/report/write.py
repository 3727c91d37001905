"""Facts to text: many wordings of the same truth, for training and for measuring how the network takes new wording.

``read_facts(parse_report(write_report(facts, rng))) == facts`` holds for every writer; the words are in writers.toml.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from tmca_core.report.rules import SIDES, ZONES
from tmca_core.study import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.random import Generator

    from tmca_core.report.facts import Facts
    from tmca_core.study import Place

_COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")
_LOBES = {
    ("right", "upper"): "RUL",
    ("right", "middle"): "RML",
    ("right", "lower"): "RLL",
    ("left", "upper"): "LUL",
    ("left", "middle"): "lingula",
    ("left", "lower"): "LLL",
}
_MOST_COMPANY = 4
_TYPO_LENGTH = 7


@dataclass(frozen=True)
class Writer:
    """One way of wording; the fields are the entries of its table in writers.toml."""

    name: str
    words: Mapping[str, Any]

    @property
    def is_held_out(self) -> bool:
        """Whether training never uses it."""
        return bool(self.words.get("held_out", False))


@cache
def writers() -> dict[str, Writer]:
    """Return every writer by name."""
    return {name: Writer(name, words) for name, words in _tables()["writer"].items()}


def training_writers() -> tuple[str, ...]:
    """Return the names of the writers that training may use."""
    return tuple(name for name, writer in writers().items() if not writer.is_held_out)


def held_out_writers() -> tuple[str, ...]:
    """Return the names of the writers that training never uses."""
    return tuple(name for name, writer in writers().items() if writer.is_held_out)


def write_report(
    facts: Facts,
    rng: Generator,
    *,
    writer: str = "plain",
    neutral: int = 0,
    sections: bool = False,
    capitals: bool = False,
    typos: bool = False,
) -> str:
    """Put facts into words.

    Parameters
    ----------
    facts : Facts
        What the text states: no more, no less. See `add_company` for the sentences that stand around it in practice.
    rng : Generator
        Chooses the words.
    writer : str
        A name out of `writers`.
    neutral : int
        How many sentences that state no finding stand between the others.
    sections : bool
        Under FINDINGS and IMPRESSION, the opacities repeated under the latter.
    capitals : bool
        All in upper case.
    typos : bool
        One long word of a neutral or other sentence misspelt, never a word that carries a fact.

    Raises
    ------
    ValueError
        If there is no such writer, or it has no words for a finding.

    """
    if writer not in writers():
        raise ValueError(f"writer: expected one of {', '.join(writers())}, got {writer!r}")
    words = writers()[writer].words
    opacity = [_opacity_sentence(f, words, rng) for f in _in_order(facts) if f.kind == "opacity"]
    other = [_other_sentence(f, rng) for f in _in_order(facts) if f.kind != "opacity"]
    extra = [_misspelt(s, rng) if typos else s for s in _sample(_tables()["neutral"]["sentences"], neutral, rng)]
    company = [*other, *extra]
    company = [company[i] for i in rng.permutation(len(company))]
    cut = int(rng.integers(len(company) + 1)) if rng.random() < 0.5 else 0
    body = [*company[:cut], *opacity, *company[cut:]]
    text = " ".join(body)
    if sections:
        impression = " ".join(opacity) if opacity else "As above."
        text = f"FINDINGS: {text}\nIMPRESSION: {impression}" if _repeatable(facts) else f"FINDINGS: {text}"
    return text.upper() if capitals else text


def add_company(facts: Facts, rng: Generator) -> Facts:
    """Return the facts with findings beside them that say nothing about the opacities.

    Mostly denials and devices, as in everyday reports; kinds that the facts mention stay as they are.
    """
    kinds = [kind for kind in _tables()["other"] if kind not in {finding.kind for finding in facts}]
    added = set()
    for kind in _sample(kinds, int(rng.integers(_MOST_COMPANY + 1)), rng):
        table = _tables()["other"][kind]
        is_denied = bool(table["denied"]) and rng.random() < 0.85
        added.add(Finding(kind, "denied" if is_denied else "affirmed"))
    return facts | added


def _opacity_sentence(finding: Finding, words: Mapping[str, Any], rng: Generator) -> str:
    where = _places(finding.places, words, rng)
    template = _pick(words[_template_name(finding)], rng)
    noun = _pick(words["nouns"], rng)
    if noun.startswith("a ") and (finding.certainty != "affirmed" or finding.count is not None):
        noun = noun.removeprefix("a ")
    count = _COUNTS[finding.count] if finding.count is not None else ""
    return _fill(
        template,
        noun=noun,
        places=where,
        count=count,
        areas="area" if finding.count == 1 else "areas",
        reach="bilateral" if len(finding.places) > 1 else "unilateral",
    )


def _template_name(finding: Finding) -> str:
    if finding.certainty == "denied":
        return "denied_at" if finding.places else "denied"
    name = "counted" if finding.count is not None and finding.certainty == "affirmed" else finding.certainty
    return name if finding.places else f"{name}_nowhere"


def _other_sentence(finding: Finding, rng: Generator) -> str:
    table = _tables()["other"].get(finding.kind, {})
    name = "denied" if finding.certainty == "denied" else "affirmed" if finding.places else "affirmed_nowhere"
    if not table.get(name) or finding.certainty not in ("affirmed", "denied"):
        raise ValueError(f"no words for {finding}")
    sides = sorted(place.side for place in finding.places)
    where = "bilateral" if len(sides) > 1 else "".join(sides)
    template = _pick(table[name], rng)
    if where == "bilateral" and "on the {places}" in template:
        where = "left and right"
    return _fill(template, places=where)


def _places(places: frozenset[Place], words: Mapping[str, Any], rng: Generator) -> str:
    ordered = sorted(places, key=lambda place: place.side, reverse=bool(rng.random() < 0.5))
    same = len(ordered) == len(SIDES) and ordered[0].zones == ordered[1].zones
    if same and "both_sides" in words and rng.random() < 0.7:
        return _phrase("both_sides", "", ordered[0].zones, words, rng)
    joiner = _pick(words["place_joiner"], rng)
    can_abbreviate = words.get("abbreviations") and all(place.side and len(place.zones) == 1 for place in ordered)
    if can_abbreviate and rng.random() < 0.6:
        return joiner.join(_LOBES[place.side, next(iter(place.zones))] for place in ordered)
    return joiner.join(_phrase("one_side", place.side, place.zones, words, rng) for place in ordered)


def _phrase(kind: str, side: str, zones: frozenset[str], words: Mapping[str, Any], rng: Generator) -> str:
    if not zones:
        return _pick(words[f"{kind}_unsaid"], rng).format(side=side)
    if zones == frozenset(ZONES) and (side or kind != "one_side"):
        return _pick(words[f"{kind}_all"], rng).format(side=side)
    if not side and kind == "one_side":
        return " and ".join(zone for zone in ZONES if zone in zones) + (" zone" if len(zones) == 1 else " zones")
    named = words["joiner"].join(_pick(words["zone"][zone], rng) for zone in ZONES if zone in zones)
    phrase = _pick(words[kind], rng).format(side=side, zones=named)
    return re.sub(r"\b(zone|lobe|region|third|portion)\b", r"\1s", phrase) if len(zones) > 1 else phrase


def _fill(template: str, **slots: str) -> str:
    capitals = {slot.capitalize(): _capital(text) for slot, text in slots.items()}
    sentence = template.format(**slots, **capitals)
    return sentence if template.startswith(("{noun}", "{reach}")) else _capital(sentence)


def _repeatable(facts: Facts) -> bool:
    """Counts are added up over sentences, so a counted finding is said once."""
    return all(finding.count is None for finding in facts)


def _in_order(facts: Facts) -> list[Finding]:
    return sorted(facts, key=lambda finding: (finding.kind, finding.certainty))


def _misspelt(sentence: str, rng: Generator) -> str:
    """Return the sentence with two neighbouring letters of one long word exchanged."""
    long_words = [match.span() for match in re.finditer(rf"[a-z]{{{_TYPO_LENGTH},}}", sentence)]
    if not long_words:
        return sentence
    start, end = long_words[int(rng.integers(len(long_words)))]
    at = int(rng.integers(start + 1, end - 2))
    return sentence[:at] + sentence[at + 1] + sentence[at] + sentence[at + 2 :]


def _sample(choices: Sequence[str] | Iterable[str], n: int, rng: Generator) -> list[str]:
    choices = list(choices)
    return [choices[int(i)] for i in rng.choice(len(choices), min(n, len(choices)), replace=False)]


def _pick(choices: Sequence[str], rng: Generator) -> str:
    return choices[int(rng.integers(len(choices)))]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


@cache
def _tables() -> dict[str, Any]:
    return tomllib.loads((files("tmca_core.report") / "writers.toml").read_text(encoding="utf-8"))
