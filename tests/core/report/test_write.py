"""Whatever is written is read back as the same facts."""

from itertools import combinations

import numpy as np
import pytest

from tmca_core.report import (
    add_company,
    held_out_writers,
    parse_report,
    read_facts,
    training_writers,
    write_report,
)
from tmca_core.study import Finding, Place

ZONES = ("upper", "middle", "lower")
SUBSETS = [frozenset(c) for n in range(4) for c in combinations(ZONES, n)]
WRITERS = (*training_writers(), *held_out_writers())


def _random_facts(rng):
    certainty = str(rng.choice(["affirmed"] * 6 + ["uncertain", "denied", "past"]))
    sides = [["left"], ["right"], ["left", "right"], []][rng.choice(4, p=[0.3, 0.3, 0.35, 0.05])]
    if certainty == "denied":
        sides = sides[:1] if rng.random() < 0.3 else []
    places = frozenset(Place(side, SUBSETS[rng.integers(8)]) for side in sides)
    if not sides and certainty == "affirmed" and rng.random() < 0.5:
        places = frozenset({Place("", SUBSETS[rng.integers(1, 8)])})
    count = int(rng.integers(1, 7)) if certainty == "affirmed" and rng.random() < 0.5 else None
    facts = {Finding("opacity", certainty, places, count)}
    if rng.random() < 0.3:
        sides = ("left", "right")[: rng.integers(1, 3)]
        facts.add(Finding("effusion", "affirmed", frozenset(Place(side) for side in sides)))
    return add_company(frozenset(facts), rng)


@pytest.mark.parametrize("writer", WRITERS)
def test_what_is_written_is_read_back(writer):
    rng = np.random.default_rng(WRITERS.index(writer))
    for _ in range(700):
        facts = _random_facts(rng)
        text = write_report(
            facts,
            rng,
            writer=writer,
            neutral=int(rng.integers(3)),
            sections=bool(rng.random() < 0.3),
            capitals=bool(rng.random() < 0.2),
            typos=bool(rng.random() < 0.3),
        )
        assert read_facts(parse_report(text)) == facts, text


def test_wordings_are_many():
    rng = np.random.default_rng(0)
    facts = frozenset({Finding("opacity", "affirmed", frozenset({Place("left", frozenset({"lower"}))}))})
    texts = {write_report(facts, rng, writer=str(rng.choice(training_writers()))) for _ in range(2000)}
    assert len(texts) > 150


def test_held_out_writers_are_none_of_the_training_writers():
    assert held_out_writers()
    assert not set(held_out_writers()) & set(training_writers())


def test_the_same_draw_gives_the_same_text():
    facts = add_company(frozenset({Finding("opacity")}), np.random.default_rng(3))
    first, second = (write_report(facts, np.random.default_rng(4), neutral=2, typos=True) for _ in range(2))
    assert first == second


def test_a_misspelling_is_written_only_where_no_fact_is():
    facts = frozenset({Finding("opacity", "denied")})
    plain = {write_report(facts, np.random.default_rng(seed), neutral=1) for seed in range(20)}
    typed = {write_report(facts, np.random.default_rng(seed), neutral=1, typos=True) for seed in range(20)}
    assert plain != typed
    assert all(read_facts(parse_report(text)) == facts for text in typed)


def test_an_unknown_writer_is_named():
    with pytest.raises(ValueError, match="expected one of benchmark, plain"):
        write_report(frozenset(), np.random.default_rng(0), writer="nobody")


def test_a_finding_without_words_is_named():
    with pytest.raises(ValueError, match=r"no words for .*other"):
        write_report(frozenset({Finding("other")}), np.random.default_rng(0))
