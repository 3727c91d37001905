"""Is a finding affirmed or denied? In the manner of ConText: cues, their scope, and what ends it."""

from __future__ import annotations

from tmca_core.report.rules import load_rules


def is_negated(sentence: str) -> bool:
    """Return whether a sentence denies every finding in it, or says that all is normal without naming one."""
    rules = load_rules()
    text = rules.pseudo.sub(lambda match: " " * len(match.group()), sentence)
    findings = [match.start() for match in rules.findings.finditer(text)]
    if not findings:
        return bool(rules.normal.search(text) or rules.denied_before.match(text.lstrip()))
    clauses = _clauses(text)
    return all(_is_denied(text, position, clauses) for position in findings)


def _clauses(text: str) -> list[tuple[int, int]]:
    """Return the stretches between terminators."""
    starts = [0, *(match.start() for match in load_rules().terminators.finditer(text))]
    return list(zip(starts, [*starts[1:], len(text)], strict=True))


def _is_denied(text: str, position: int, clauses: list[tuple[int, int]]) -> bool:
    rules = load_rules()
    start, end = next((a, b) for a, b in clauses if a <= position < b)
    before = rules.denied_before.search(text, start, position)
    after = rules.denied_after.search(text, position, end)
    normal = rules.normal.search(text, position, end)
    return bool(before or after or normal)
