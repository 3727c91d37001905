"""Left and right: which sides a sentence names, and how to turn a text from one convention to the other."""

from __future__ import annotations

import re
from functools import cache
from typing import Literal

from tmca_core.report.rules import BOTH, load_rules


def named_sides(sentence: str) -> frozenset[Literal["left", "right"]]:
    """Return the sides a sentence names; "bilateral" names both."""
    patterns = load_rules().sides
    both = bool(patterns[BOTH].search(sentence))
    sides: tuple[Literal["left", "right"], ...] = ("left", "right")
    return frozenset(side for side in sides if both or patterns[side].search(sentence))


def swap_sides(text: str) -> str:
    """Return the text with left and right exchanged, everything else unchanged.

    Turns a report from the picture's side to the patient's, and back: applied twice it gives the text it was given.
    Exchanged are left and right, also within compounds such as "left-sided", and the lobes RUL/LUL, RML/LML, RLL/LLL;
    in lower case, capitalised, or in capitals.
    """
    table = _swap_table()
    return _swap_pattern().sub(lambda match: table[match.group()], text)


@cache
def _swap_table() -> dict[str, str]:
    pairs = [pair for a, b in load_rules().swaps for pair in ((a, b), (b, a))]
    return {form(a): form(b) for a, b in pairs for form in (str.lower, str.capitalize, str.upper)}


@cache
def _swap_pattern() -> re.Pattern[str]:
    return re.compile(rf"(?<![^\W_])(?:{'|'.join(_swap_table())})(?![^\W_])")
