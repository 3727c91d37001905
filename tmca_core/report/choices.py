"""What a reader decided of sentences against what was understood, and how it is kept: by place, not by words."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tmca_core.study import Report, Sentence


@dataclass(frozen=True, order=True)
class Choice:
    """One sentence that a reader gave to the network, or kept back from it, whatever was understood of it.

    Attributes
    ----------
    start, end : int
        Character offsets of the sentence into the report's text.
    use : bool
        Whether the network is given it.

    """

    start: int
    end: int
    use: bool


@dataclass(frozen=True)
class Choices:
    """All choices made for one report.

    Attributes
    ----------
    report_sha256 : str
        Of the text that the places count in, UTF-8; choices mean nothing in another text.
    made : tuple of Choice
        In the order of the text.

    """

    report_sha256: str = ""
    made: tuple[Choice, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.made)


def overrule(report: Report, use: Mapping[str, bool]) -> Report:
    """Return a report with a reader's choices, by the sentences' text; a sentence given to the network denies nothing.

    Texts that no sentence has are passed over.
    """

    def changed(sentence: Sentence) -> Sentence:
        chosen = use.get(sentence.text)
        if chosen is None:
            return sentence
        return replace(sentence, is_about_picture=chosen, is_negated=sentence.is_negated and not chosen)

    return replace(report, sentences=tuple(changed(sentence) for sentence in report.sentences))


def choices_in(report: Report, use: Mapping[str, bool]) -> Choices:
    """Return the choices that concern sentences of a report, by their places."""
    made = tuple(Choice(s.start, s.end, use[s.text]) for s in report.sentences if s.text in use)
    return Choices(_hash(report.text), made) if made else Choices()


def uses_of(text: str, choices: Choices) -> dict[str, bool]:
    """Return choices by the sentences' text, as `overrule` takes them; none where they were made in another text."""
    if not choices or choices.report_sha256 != _hash(text):
        return {}
    return {text[choice.start : choice.end]: choice.use for choice in choices.made}


def choices_from_json(values: object) -> Choices:
    """Return choices as `dataclasses.asdict` has written them.

    Raises
    ------
    ValueError
        If it is something else.

    """
    try:
        if not isinstance(values, dict):
            raise TypeError("no object")
        made: Iterable[Mapping[str, object]] = values["made"]
        places = tuple(Choice(_offset(c["start"]), _offset(c["end"]), bool(c["use"])) for c in made)
        return Choices(str(values["report_sha256"]), places)
    except (KeyError, TypeError) as error:
        raise ValueError(f"choices of sentences: {error}") from error


def _offset(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise TypeError(f"expected an offset, got {value!r}")
    return value


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
