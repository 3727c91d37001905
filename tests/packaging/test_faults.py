"""docs/faults.md and docs/users.md name tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", ["faults.md", "users.md"])
def test_every_test_that_a_catalogue_names_exists(page):
    catalogue = (ROOT / "docs" / page).read_text(encoding="utf-8")
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    names = set(re.findall(r"\b(test_\w+)\b(?!\.py)", catalogue))
    assert len(names) > 40
    assert [name for name in sorted(names) if f"def {name}(" not in tests] == []
