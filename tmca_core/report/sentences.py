"""Where the sentences of a text begin and end, and under which heading they stand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tmca_core.report.rules import load_rules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tmca_core.report.rules import Rules

_END = re.compile(r"[.!?]+(?=[\s\"')\]]|$)|;(?=\s)|\n\s*")
_LIST_ITEM = re.compile(r"(?:[-*\u2022\u00b7]|\(?\d{1,2}[.)])\s")
_WORD_BEFORE = re.compile(r"[\w.]{1,12}$")
# "LUNGS, RIGHT:", "Left lung -", "R:" at the start of a line or sentence: what follows is of that lung.
SIDE_LABEL = re.compile(
    r"(?:(?:lungs?\s*[,/-]?\s*|on\s+)?(?:the\s+)?(left|right|lt|rt|l|r)\b\.?"
    r"(?:[ -](?:lungs?|sided?|hemithorax)(?:\s+fields?)?)?"
    r"\s*(?::|\s[-\u2013]\s|$))",
    re.IGNORECASE,
)
# "Right base: no." ends, "No. 3" does not.
_ANSWER_NO = re.compile(r"[:=?\u2013-]\s*no\Z", re.IGNORECASE)
_CAPITALS = re.compile(r"[A-Z][A-Z /&-]{3,40}")


@dataclass(frozen=True)
class Span:
    """A stretch of text, ``text[start:end]``, and the heading above it ("" before any)."""

    start: int
    end: int
    section: str


def split_sentences(text: str) -> Iterator[Span]:
    """Yield the sentences of a text in order; headings and stretches without a letter or digit are left out.

    A line break ends a sentence unless the next line goes on in lower case. A heading at the start of a line, or in
    capitals, holds until the next one; one in the middle of a line ("Signs: ...") holds for its own sentence. Below
    "Clinical details: cough." the description begins without a heading, unless a heading of its own ("Findings:")
    follows; "Comparison: yesterday." is one sentence then.
    """
    if not text or text.isspace():  # an empty panel should not wait for the rules
        return
    rules, section, ends = load_rules(), "", len(text)
    for start, end in _stretches(text, rules):
        heading, start_of_rest = _heading(text, start, end, rules)
        if heading:
            own_section = heading.upper()
            if _starts_line(text, start) or _stands_out(text, start, end, heading, rules):
                section = own_section
                ends = _end_of_section(text, start_of_rest, end, heading, rules)
        else:
            if start >= ends or _begins_lung(text, start, section, rules):
                section, ends = "", len(text)
            own_section = section
        span = _trim(text, start_of_rest, end)
        if any(character.isalnum() for character in text[span[0] : span[1]]):
            yield Span(*span, own_section)


def _stretches(text: str, rules: Rules) -> Iterator[tuple[int, int]]:
    start = 0
    for match in _END.finditer(text):
        if _ends_sentence(text, start, match, rules):
            yield _trim(text, start, match.end())
            start = match.end()
    yield _trim(text, start, len(text))


def _ends_sentence(text: str, start: int, match: re.Match[str], rules: Rules) -> bool:
    mark = match.group()
    if mark[0] == "\n":
        following = text[match.end() : match.end() + 1]
        return mark.count("\n") > 1 or not following.islower()
    if mark != ".":
        return True
    word = _WORD_BEFORE.search(text, max(start, match.start() - 12), match.start())
    before = word.group().lower() if word else ""
    if _ANSWER_NO.search(text, start, match.start()):
        return True
    if before in rules.abbreviations or (len(before) == 1 and before.isalpha()):
        # "No." at the end of a line is an answer, not a number.
        return match.end() >= len(text) or text[match.end()] == "\n"
    is_list_number = before.isdigit() and text[start : match.start()].strip() == before
    return not is_list_number


def _heading(text: str, start: int, end: int, rules: Rules) -> tuple[str, int]:
    """Return the heading that a stretch begins with, "" for none, and where the rest begins."""
    match = rules.headings.match(text, start, end)
    if match:
        return match.group(1).lower(), match.end()
    line = text[start:end].strip(" .:")
    if _CAPITALS.fullmatch(line) and rules.headings.fullmatch(line + ":"):
        return line.lower(), end
    return "", start


def _end_of_section(text: str, start: int, end: int, heading: str, rules: Rules) -> int:
    """Return where the text under a heading not about the picture ends, if nothing but the layout says so."""
    is_over = heading not in rules.headings_about_picture and any(c.isalnum() for c in text[start:end])
    if not is_over or any(
        m.group(1).lower() in rules.headings_of_description and _starts_line(text, m.start())
        for m in rules.headings.finditer(text, end)
    ):
        return len(text)
    if heading in rules.brief_headings:
        return end
    line_end = text.find("\n", start)
    return len(text) if line_end < 0 else max(line_end, end)


def _begins_lung(text: str, start: int, section: str, rules: Rules) -> bool:
    """Return whether a lung is described below a heading that is not about the picture."""
    is_elsewhere = bool(section) and section.lower() not in rules.headings_about_picture
    return is_elsewhere and _starts_line(text, start) and bool(SIDE_LABEL.match(text, start))


def _stands_out(text: str, start: int, end: int, heading: str, rules: Rules) -> bool:
    """Return whether a heading in the middle of a line is in capitals, and what follows it is not."""
    if not text[start : start + len(heading)].isupper():
        return False
    return heading in rules.headings_about_picture or not text[start:end].isupper()


def _starts_line(text: str, position: int) -> bool:
    line_start = text.rfind("\n", 0, position) + 1
    return not text[line_start:position].strip()


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the stretch without blanks and list marks around it."""
    while (start < end and not text[start].isprintable()) or (start < end and text[start].isspace()):
        start += 1
    item = _LIST_ITEM.match(text, start, end)
    if item:
        start = item.end()
    while end > start and (text[end - 1].isspace() or not text[end - 1].isprintable()):
        end -= 1
    return start, end
