"""Text to Report."""

from __future__ import annotations

import unicodedata

from tmca_core.report.facts import findings_in
from tmca_core.report.negation import is_negated
from tmca_core.report.rules import load_rules
from tmca_core.report.sentences import Span, split_sentences
from tmca_core.report.sides import named_sides
from tmca_core.study import Report, Sentence

LONG_REPORT_WORDS = 2_000


def parse_report(text: str) -> Report:
    """Split a report into sentences and say what was understood of each.

    Any string is taken: bad or foreign text yields sentences with less understood, never an exception.

    Parameters
    ----------
    text : str
        As pasted; sides in the project's convention (the patient's, wherever the picture has a patient's side).

    """
    sentences = tuple(_understand(text, span) for span in split_sentences(text))
    return Report(text=text, sentences=sentences, notes=tuple(_notes(text, sentences)))


def _understand(text: str, span: Span) -> Sentence:
    words = text[span.start : span.end]
    return Sentence(
        start=span.start,
        end=span.end,
        text=words,
        section=span.section,
        sides=named_sides(words),
        is_negated=is_negated(words),
        is_about_picture=_is_about_picture(words, span.section),
        findings=findings_in(words),
    )


def _is_about_picture(words: str, section: str) -> bool:
    rules = load_rules()
    if section:
        return section.lower() in rules.headings_about_picture
    return bool(rules.findings.search(words)) or not rules.patient_cues.search(words)


def _notes(text: str, sentences: tuple[Sentence, ...]) -> list[str]:
    words = len(text.split())
    if not sentences:
        return ["The report is empty: the picture alone is segmented."]
    notes = []
    if words == 1:
        notes.append("Very short report, one word: the network has little to go by.")
    if words > LONG_REPORT_WORDS:
        notes.append(f"Long report, {words:,} words: all sentences about the picture are used.")
    if any(unicodedata.category(character) in ("Cc", "Cs") and character not in "\t\n\r" for character in text):
        notes.append("Control characters in the report were ignored.")
    if all(not s.is_about_picture for s in sentences):
        notes.append("No sentence of the report is about the picture: the picture alone is segmented.")
    elif all(s.is_negated for s in sentences if s.is_about_picture):
        notes.append("The report affirms no finding: an empty mask is an answer.")
    return notes
