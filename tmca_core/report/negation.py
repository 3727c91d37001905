"""Is a finding affirmed or denied? In the manner of ConText: cues, their scope, and what ends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tmca_core.report.rules import load_rules

if TYPE_CHECKING:
    from collections.abc import Sequence


def is_negated(sentence: str) -> bool:
    """Return whether a sentence denies every finding in it, or says that all is normal without naming one."""
    rules = load_rules()
    text = rules.pseudo.sub(lambda match: " " * len(match.group()), sentence)
    findings = [match.start() for match in rules.findings.finditer(text)]
    if not findings:
        return bool(rules.normal.search(text) or rules.denied_before.match(text.lstrip()))
    clauses = clauses_of(text)
    return all(is_denied(text, position, clauses) for position in findings)


def clauses_of(text: str) -> list[tuple[int, int]]:
    """Return the stretches between terminators."""
    starts = [0, *(match.start() for match in load_rules().terminators.finditer(text))]
    return list(zip(starts, [*starts[1:], len(text)], strict=True))


def is_denied(text: str, position: int, clauses: Sequence[tuple[int, int]]) -> bool:
    """Return whether the finding at ``position`` is denied within its clause."""
    rules = load_rules()
    start, end = next((a, b) for a, b in clauses if a <= position < b)
    before = rules.denied_before.search(text, start, position)
    after = rules.denied_after.search(text, position, end)
    normal = rules.normal.search(text, position, end)
    return bool(before or after or normal)
