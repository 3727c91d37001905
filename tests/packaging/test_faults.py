"""docs/faults.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_test_that_the_catalogue_of_faults_names_exists():
    catalogue = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    names = set(re.findall(r"\b(test_\w+)\b(?!\.py)", catalogue))
    assert len(names) > 40
    assert [name for name in sorted(names) if f"def {name}(" not in tests] == []
