"""Text to Report."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from tmca_core.report.facts import Context, findings_in
from tmca_core.report.negation import is_negated
from tmca_core.report.rules import load_rules
from tmca_core.report.sentences import Span, split_sentences
from tmca_core.report.sides import named_sides
from tmca_core.study import Report, Sentence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tmca_core.study import Finding

LONG_REPORT_WORDS = 2_000


def parse_report(text: str) -> Report:
    """Split a report into sentences and say what was understood of each.

    Any string is taken: bad or foreign text yields sentences with less understood, never an exception.

    Parameters
    ----------
    text : str
        As pasted; sides in the project's convention (the patient's, wherever the picture has a patient's side).

    """
    spans = list(split_sentences(text))
    sentences = _understood(text, spans, Context())
    first = next(
        (i for i, s in enumerate(sentences) if s.is_about_picture and Context().after(s.findings).has_opacity), 0
    ) or (len(spans) if _says_what_is_spared(sentences) else 0)
    if first:  # "Right: base. Left: apex. All consolidated." names the places before what is there
        sentences[:first] = _understood(text, spans[:first], Context(has_opacity=True))
    return Report(text=text, sentences=tuple(sentences), notes=tuple(_notes(text, tuple(sentences))))


def _says_what_is_spared(sentences: Sequence[Sentence]) -> bool:
    """Return whether a report that names no opacity implies one: "Left lung, right apex. Right base spared"."""
    used = [s for s in sentences if s.is_about_picture]
    is_spared = any(load_rules().spared.search(s.text) for s in used)
    return is_spared and all(f.certainty == "denied" for s in used for f in s.findings if f.kind == "opacity")


def _understood(text: str, spans: Sequence[Span], context: Context) -> list[Sentence]:
    """Return what is understood of sentences, each behind those before it."""
    sentences = []
    for span in spans:
        context = context.under(text[span.start : span.end])
        sentence = _understand(text, span, context)
        if sentence.is_about_picture:
            context = context.after(sentence.findings)
        sentences.append(sentence)
    return sentences


def _understand(text: str, span: Span, context: Context) -> Sentence:
    words = text[span.start : span.end]
    findings = findings_in(words, context)
    return Sentence(
        start=span.start,
        end=span.end,
        text=words,
        section=span.section,
        sides=named_sides(words),
        is_negated=_is_negated(words, findings),
        is_about_picture=_is_about_picture(words, span.section, findings),
        findings=findings,
    )


def _is_negated(words: str, findings: tuple[Finding, ...]) -> bool:
    """Return whether a sentence denies all that it speaks of; words that mean nothing known decide by themselves."""
    stated = [finding for finding in findings if finding.kind != "device"]
    if not stated:
        return is_negated(words)
    return all(finding.certainty == "denied" or finding.certainty == "past" for finding in stated)


def _is_about_picture(words: str, section: str, findings: tuple[Finding, ...]) -> bool:
    rules = load_rules()
    if section:
        return section.lower() in rules.headings_about_picture
    if any(finding.kind == "opacity" and finding.places for finding in findings):
        return True
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
