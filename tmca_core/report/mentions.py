"""Which findings a sentence mentions, and how surely; and what in it says that a place is free of opacity."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tmca_core.report.negation import clauses_of, is_denied
from tmca_core.report.rules import load_rules

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tmca_core.study import Certainty

# How far before a finding "old" or "previous" may stand.
_PAST_REACH = 30
_LINK = re.compile(r"[\s,/&+]*(?:(?:and|or|nor|with|plus)\s+)?(?:[\w-]+\s+){0,2}", re.IGNORECASE)
_GOES_ON_BEFORE_COMMA = re.compile(
    r"(?<!and )(?<!\+ )(?<!& )(?<!\+)(?<!&)\b(?:upper|mid|middle|lower|left|right)\s*\Z", re.IGNORECASE
)
# "... the apex and mid zone the left base is fine": dictated without a full stop.
_RUN_ON = re.compile(
    r"(?<=[a-z])\s(?=the\s+(?:rest\s+of\s+the\s+)?(?:(?:left|right)\s+)?(?:\w+\s+)?"
    r"(?:apex|base|lung|zone|lobe|field)s?\s+(?:is|are|remains?|looks?)\s+(?:\w+\s+)?$)",
    re.IGNORECASE,
)
_PLACE_BEFORE = re.compile(r"\b(?:apex|apices|base|bases|(?:lung|zone|lobe|field|side)s?)$", re.IGNORECASE)
_TURN = re.compile(r"\b(?:with|but|while|whereas)\b", re.IGNORECASE)
# "The apex is affected, the base is not": the opposite of what was said last.
_NOT_SO = re.compile(r"\b(?:(?:is|are|was|were|does|do)\s+)?not(?=\s*(?:[.;,)]|$))", re.IGNORECASE)
# "Right mid zone - no, right lower zone - yes": forms that are filled in.
_ANSWER = re.compile(
    r"(?:\b(?:zone|lobe|field|region|lung|apex|base|upper|mid|middle|lower|midzone|[rl][uml][zl]))(?:\s*[:=?\u2013-]\s*|\s+)(no|yes)\s*(?=[,;.\n]|$)",
    re.IGNORECASE,
)
# "UZ 0, MZ 0, LZ 2": a zone with a score of nothing.
_SCORE_OF_NOTHING = re.compile(
    r"\b(?:(?:upper|mid|middle|lower)(?:\s+zone)?|[rl]?[uml]z|apex|base)\s*[:=]?\s+0(?=\s*(?:[,;\n]|\.(?!\d)|$))",
    re.IGNORECASE,
)
# Words of the same length that say the same.
_ANSWERS = {"no": "ok", "yes": "ggo"}
# Where an opacity of both lungs is most marked says nothing of where it is not.
_EMPHASIS = re.compile(
    r"\b(?:(?:more|most|less|least)\s+(?:prominent|marked|pronounced|extensive|severe|dense|evident|conspicuous)\w*"
    r"|greater|greatest|worse|worst|especially|particularly|including\s+an?\b[^.,;:()]{0,40}?)\s+(?:(?:involvement|extent|degree)\s+)?"
    r"(?:in|at|on|of|within)\b[^.,;:()]*",
    re.IGNORECASE,
)
_BOTH = re.compile(r"\b(?:bilateral\w*|both\s+(?:lungs?|sides|hemithora\w+))\b", re.IGNORECASE)
_ONE_SIDE = re.compile(r"\b(?:left|right)\b", re.IGNORECASE)
_NOT = re.compile(r"\b(?:not|no|never|without|isn't|aren't)\s+(?:\w+\s+){0,2}\Z", re.IGNORECASE)


@dataclass(frozen=True)
class Mention:
    """A stretch of a sentence that states something of a place.

    Attributes
    ----------
    kind, certainty : str
        As in `tmca_core.study.Finding`.
    start, end : int
        Where it stands in the sentence.
    manner : {"named", "vague", "clear"}
        "named" states its finding by itself ("consolidation"), "vague" only of a lung ("affected"), and "clear" says
        that a place is free of opacity.
        What was clear and is said to have been so has the certainty "past".
    before : bool
        Whether it stands before its place ("sparing of the apex"), for "clear".
    after : bool
        Whether it stands behind its place ("the apex is clear"), for "clear".

    """

    kind: str
    certainty: Certainty
    start: int
    end: int
    manner: Literal["named", "vague", "clear"] = "named"
    before: bool = False
    after: bool = False

    @property
    def is_there(self) -> bool:
        """Whether it is stated to be in the picture, if only perhaps."""
        return self.certainty in ("affirmed", "uncertain")


_MIDDLE_LOBE = re.compile(r"\bmiddle lobe\b", re.IGNORECASE)
_SIDE_WORD = re.compile(r"\b(?:left|right|lt|rt|[lr]|both|bilateral|bilaterally)\b", re.IGNORECASE)


def prepare(sentence: str) -> str:
    """Return a sentence of the same length in which other wordings of a zone, and sides of no lung, are replaced."""
    rules = load_rules()
    text = rules.comparison.sub(_blank, rules.pseudo.sub(_blank, _SCORE_OF_NOTHING.sub(_blank, sentence)))
    text = _EMPHASIS.sub(
        lambda m: _blank(m) if _says_both(text[: m.start()]) and _ONE_SIDE.search(m[0]) else m[0], text
    )
    text = rules.meanings.sub(lambda m: rules.meaning_of[_key(m.group())].ljust(len(m.group())), text)
    for pattern, zone in rules.landmarks:
        text = pattern.sub(lambda m, z=zone: m.group()[: m.start(1) - m.start()] + z.ljust(len(m.group(1))), text)  # type: ignore[misc]
    text = rules.structures.sub(lambda m: _blank(m) if rules.places.search(m.group()) else m.group(), text)
    for pattern in rules.beside_structure:
        text = pattern.sub(_blank_first_group, text)
    text = _MIDDLE_LOBE.sub(_of_the_right, text)
    return _part_what_is_clear(_ANSWER.sub(_answer, text))


def _of_the_right(match: re.Match[str]) -> str:
    """Return "middle lobe" as that of the right lung, which alone has one, unless its sentence says a side."""
    return match.group() if _SIDE_WORD.search(match.string) else "RML".ljust(len(match.group()))


def _answer(match: re.Match[str]) -> str:
    """Return a place with its answer in words of the same length; "yes" is an opacity where the question was of one."""
    rules, answer = load_rules(), match.group(1).lower()
    kinds = {rules.kind_of[_key(m.group())] for m in rules.kinds.finditer(match.string, 0, match.start())}
    if kinds - {"opacity"} or (answer == "yes" and not kinds):
        return match.group()
    return (
        match.group()[: match.start(1) - match.start()]
        + _ANSWERS[answer]
        + match.group()[match.end(1) - match.start() :]
    )


def _says_both(text: str) -> bool:
    return bool(_BOTH.search(text))


def _part_what_is_clear(text: str) -> str:
    """Return a text in which a semicolon parts "consolidation in the mid zone, right apex clear"."""
    rules = load_rules()
    for cue in (*rules.clear_after.finditer(text), *_NOT_SO.finditer(text)):
        run_on = _RUN_ON.search(text[: cue.start()])
        if run_on and _PLACE_BEFORE.search(text[: run_on.start()]):
            text = f"{text[: run_on.start()]};{text[run_on.end() :]}"
        comma = _last_comma(text, cue.start())
        while comma > 0 and _GOES_ON_BEFORE_COMMA.search(text, 0, comma):
            comma = _last_comma(text, comma)
        is_own = not _TURN.search(text, max(comma, 0), cue.start())
        if comma > 0 and is_own and rules.places.search(text, comma, cue.start()) and _states_opacity(text[:comma]):
            text = f"{text[:comma]};{text[comma + 1 :]}"
    return text


def _last_comma(text: str, end: int) -> int:
    return max(text.rfind(mark, 0, end) for mark in ",(")


def _states_opacity(text: str) -> bool:
    rules = load_rules()
    return any(rules.kind_of.get(_key(m.group())) == "opacity" for m in rules.kinds.finditer(text)) or bool(
        rules.vague.search(text)
    )


def mentions_in(text: str) -> list[Mention]:
    """Return what a prepared sentence mentions, in the order of the text."""
    rules, clauses = load_rules(), clauses_of(text)
    is_of_lungs = not rules.other_organs.search(text)
    named = [(m.start(), m.end(), rules.kind_of[_key(m.group())]) for m in rules.kinds.finditer(text)]
    vague = [
        (m.start(), m.end(), "opacity")
        for m in rules.vague.finditer(text)
        if is_of_lungs and _is_opacity(text, m, named)
    ]
    spans = sorted([*named, *vague])
    found = [
        Mention(
            kind, _certainty(text, i, spans, clauses), start, end, "vague" if (start, end, kind) in vague else "named"
        )
        for i, (start, end, kind) in enumerate(spans)
    ]
    found = sorted([*found, *(_clear(text, spans) if is_of_lungs else [])], key=lambda mention: mention.start)
    return sorted([*found, *_opposites(text, found)], key=lambda mention: mention.start)


def _opposites(text: str, mentions: Sequence[Mention]) -> Iterator[Mention]:
    """Yield what "the base is not" says behind what was said before it."""
    for match in _NOT_SO.finditer(text):
        before = next((m for m in reversed(mentions) if m.end <= match.start() and m.kind == "opacity"), None)
        if before is not None and before.manner == "clear":
            yield Mention("opacity", "affirmed", *match.span(), "vague")
        elif before is not None and before.is_there:
            yield Mention("opacity", "denied", *match.span(), "clear", after=True)


def normal_structures_in(text: str, mentions: Sequence[Mention]) -> list[Mention]:
    """Return the denials in clauses without a finding: "heart size is normal" denies a cardiomegaly."""
    rules, found = load_rules(), []
    for start, end in clauses_of(text):
        normal = rules.normal.search(text, start, end)
        if normal and not any(start <= m.start < end for m in mentions):
            for kind, pattern in rules.normal_structures.items():
                match = pattern.search(text, start, end)
                if match:
                    found.append(Mention(kind, "denied", match.start(), match.end()))
    return found


def _is_opacity(text: str, match: re.Match[str], named: Sequence[tuple[int, int, str]]) -> bool:
    """Return whether a vague word can mean an opacity: no other finding, and none of its words, before it."""
    start, end = match.span()
    if any(a < end and start < b for a, b, _ in named) or load_rules().not_vague.search(
        text, max(0, start - 40), start
    ):
        return False
    return not any(kind != "opacity" and b <= start and len(text[b:start].split()) <= 1 for _, b, kind in named)


def _clear(text: str, spans: Sequence[tuple[int, int, str]]) -> list[Mention]:
    rules = load_rules()
    before = {m.span() for m in rules.clear_before.finditer(text)}
    after = {m.span() for m in rules.clear_after.finditer(text)}
    for span in list(before):  # "sparing of" and "sparing" are one
        after = {a for a in after if a == span or a[1] <= span[0] or span[1] <= a[0]} | (
            {span} if any(a[0] == span[0] for a in after) else set()
        )
    return [
        Mention("opacity", _when_clear(text, a), a, b, "clear", (a, b) in before, (a, b) in after)
        for a, b in sorted(before | after)
        if not any(s < b and a < e for s, e, _ in spans) and not _NOT.search(text, max(0, a - 40), a)
    ]


def _when_clear(text: str, position: int) -> Certainty:
    start = max(text.rfind(mark, 0, position) for mark in ",;.") + 1
    return "past" if load_rules().clear_in_past.search(text, start, position) else "denied"


def _certainty(
    text: str, index: int, spans: Sequence[tuple[int, int, str]], clauses: Sequence[tuple[int, int]]
) -> Certainty:
    rules = load_rules()
    position, finish, _ = spans[index]
    start, end = next((a, b) for a, b in clauses if a <= position < b)
    reach = _reach_of_cues_behind(text, index, spans, end)
    if rules.past_after.search(text, finish, reach):
        return "past"
    before = rules.past_before.search(text, max(start, position - _PAST_REACH), position)
    if before and not rules.still_there.search(text, before.end(), end):
        return "past"
    if is_denied(text, position, clauses, reach):
        return "denied"
    doubted = rules.uncertain_before.search(text, start, position) or rules.uncertain_after.search(text, finish, reach)
    return "uncertain" if doubted else "affirmed"


def _reach_of_cues_behind(text: str, index: int, spans: Sequence[tuple[int, int, str]], end: int) -> int:
    """Return where a cue behind a finding ends to be one of it: at the next finding that is not listed with it."""
    while index + 1 < len(spans) and spans[index + 1][0] < end:
        if not _LINK.fullmatch(text, spans[index][1], spans[index + 1][0]):
            return spans[index + 1][0]
        index += 1
    return end


def _key(term: str) -> str:
    return " ".join(term.lower().split())


def _blank(match: re.Match[str]) -> str:
    return " " * len(match.group())


def _blank_first_group(match: re.Match[str]) -> str:
    whole, start = match.group(), match.start()
    return whole[: match.start(1) - start] + " " * len(match.group(1)) + whole[match.end(1) - start :]
