"""Reports of phantoms name the findings they were given, and only those."""

from __future__ import annotations

import numpy as np
import pytest

from tmca_core.phantom import PhantomFinding, describe_findings, make_phantom

WHOLE = ("upper", "middle", "lower")


@pytest.mark.parametrize(
    ("findings", "expected"),
    [
        ([], "no pulmonary infection."),
        (
            [PhantomFinding("left", ("lower",))],
            "unilateral pulmonary infection, one infected area, lower left lung.",
        ),
        (
            [PhantomFinding("left", WHOLE), PhantomFinding("right", ("middle", "lower"))],
            "bilateral pulmonary infection, two infected areas, middle lower right lung and all left lung.",
        ),
        (
            [PhantomFinding("right", ("upper", "lower")), PhantomFinding("left", ("upper", "lower"))],
            "bilateral pulmonary infection, four infected areas, upper lower right lung and upper lower left lung.",
        ),
    ],
    ids=["normal", "one side", "both sides", "four areas"],
)
def test_benchmark_grammar(findings: list[PhantomFinding], expected: str) -> None:
    assert describe_findings(findings, "benchmark", np.random.default_rng(0)) == expected


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize(("side", "other"), [("left", "right"), ("right", "left")])
def test_prose_names_only_the_affected_side(seed: int, side: str, other: str) -> None:
    finding = PhantomFinding(side, ("lower",))  # type: ignore[arg-type]
    text = describe_findings([finding], "prose", np.random.default_rng(seed))
    assert side in text
    assert other not in text
    assert "bilateral" not in text.lower()


@pytest.mark.parametrize("seed", range(30))
def test_prose_of_both_lungs_names_both(seed: int) -> None:
    findings = [PhantomFinding("left", ("lower",)), PhantomFinding("right", ("lower",))]
    text = describe_findings(findings, "prose", np.random.default_rng(seed)).lower()
    assert "bilateral" in text or "both" in text or ("left" in text and "right" in text)


@pytest.mark.parametrize("seed", range(30))
def test_denser_side_is_the_one_named_as_worse(seed: int) -> None:
    findings = [PhantomFinding("left", WHOLE, "ground-glass"), PhantomFinding("right", WHOLE, "consolidation")]
    text = describe_findings(findings, "prose", np.random.default_rng(seed))
    for phrase in ("more on the left", "worse on the left", "left greater"):
        assert phrase not in text


def test_prose_varies() -> None:
    finding = [PhantomFinding("left", ("lower",))]
    rng = np.random.default_rng(0)
    assert len({describe_findings(finding, "prose", rng) for _ in range(50)}) > 30


def test_prose_is_made_of_whole_sentences() -> None:
    for seed in range(40):
        text = make_phantom(seed, (16, 16)).report_text
        assert text.endswith(".")
        assert all(sentence[0].isupper() for sentence in text.split(". "))


def test_unknown_style_is_refused() -> None:
    with pytest.raises(ValueError, match="style"):
        describe_findings([], "poem", np.random.default_rng(0))  # type: ignore[arg-type]
