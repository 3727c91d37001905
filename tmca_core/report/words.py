"""The words of a sentence, as they can be pointed at."""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W_]+(?:['\u2019.-][^\W_]+)*")


def words_in(sentence: str) -> tuple[tuple[int, int], ...]:
    """Return where each word of a sentence begins and ends; punctuation belongs to none.

    Examples
    --------
    >>> [sentence[a:b] for sentence in ["Left-sided, 2.5 cm."] for a, b in words_in(sentence)]
    ['Left-sided', '2.5', 'cm']

    """
    return tuple(match.span() for match in _WORD.finditer(sentence))
