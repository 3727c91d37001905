"""What the network is told: the sentences in use, and what they state in the words it knows best."""

from dataclasses import replace

import numpy as np
import pytest

from tmca_core.report import (
    instruction,
    parse_report,
    read_facts,
    statement,
    tellings,
    told_sentences,
    write_report,
)
from tmca_core.report.write import writers
from tmca_core.study import Finding, Place


def _stated(text):
    return statement(read_facts(parse_report(text)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Consolidation in the left lower zone.", "unilateral pulmonary infection, lower left lung."),
        (
            "GGO, RUL and left base, two areas.",
            "bilateral pulmonary infection, two infected areas, upper right lung and lower left lung.",
        ),
        ("Diffuse bilateral infiltrates.", "bilateral pulmonary infection, all right lung and all left lung."),
        ("Possible opacity in the right mid zone.", "unilateral pulmonary infection, middle right lung."),
        (
            "Opacity in the left lower zone. Possible opacity in the left upper zone.",
            "unilateral pulmonary infection, upper lower left lung.",
        ),
    ],
    ids=["one side", "abbreviations and a number", "whole lungs", "suspected", "suspected beside certain"],
)
def test_a_statement_says_what_was_understood(text, expected):
    assert _stated(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No consolidation.",
        "Lungs are clear.",
        "Opacity.",
        "Polyp at the upper left.",
        "Heart enlarged to the left.",
    ],
)
def test_without_a_lung_named_nothing_is_stated(text):
    assert _stated(text) == ""


def test_a_statement_states_the_facts_it_was_made_of():
    zones = [frozenset(z) for z in (["upper"], ["lower", "middle"], ["upper", "middle", "lower"], [])]
    for count in (None, 1, 3):
        for left in zones:
            for right in (*zones, None):
                places = {Place("left", left)} | ({Place("right", right)} if right is not None else set())
                facts = frozenset({Finding("opacity", "affirmed", frozenset(places), count)})
                assert read_facts(parse_report(statement(facts))) == facts


@pytest.mark.parametrize("writer", [name for name, w in writers().items() if w.is_held_out])
def test_two_wordings_of_the_same_facts_are_one_statement(writer):
    facts = frozenset({Finding("opacity", "affirmed", frozenset({Place("left", frozenset({"lower"}))}), 2)})
    rng = np.random.default_rng(0)
    assert {_stated(write_report(facts, rng, writer=writer, neutral=2)) for _ in range(50)} == {statement(facts)}


def test_the_statement_stands_in_the_place_of_what_it_was_read_from():
    report = parse_report("Consolidation at the left base. Sternal wires. No effusion. History: smoker.")
    assert told_sentences(report) == ("unilateral pulmonary infection, lower left lung.",)


def test_what_is_to_be_outlined_and_other_findings_are_told_as_well():
    report = parse_report("Target: opacity. Consolidation at the left base. Small right pleural effusion.")
    assert told_sentences(report) == (
        "Target: opacity.",
        "Small right pleural effusion.",
        "unilateral pulmonary infection, lower left lung.",
    )


@pytest.mark.parametrize(
    "text", ["A sessile polyp in the upper left quarter.", "Hazy opacity.", instruction("both lungs")]
)
def test_where_no_lung_is_understood_the_sentences_are_told(text):
    assert told_sentences(parse_report(text)) == (text,)


def test_what_the_sentences_say_already_is_not_reworded():
    text = "Unilateral pulmonary infection, one infected area, lower left lung"
    assert told_sentences(parse_report(text)) == (text,)


def test_a_sentence_that_is_kept_back_is_not_stated():
    report = parse_report("Opacity in the left upper zone. Opacity in the right lower zone.")
    first, second = report.sentences
    report = replace(report, sentences=(replace(first, is_about_picture=False), second))
    assert told_sentences(report) == ("unilateral pulmonary infection, lower right lung.",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Sternal wires. Opacity at the left base. Rib fracture. No effusion.", "left out, stated, whole, unused"),
        ("Sternal wires. Hazy opacity. No effusion.", "whole, whole, unused"),
        ("Opacity. It lies in the left lower zone. The heart is big.", "stated, stated, left out"),
        ("", ""),
    ],
)
def test_how_each_sentence_is_told_is_what_the_network_is_told(text, expected):
    report = parse_report(text)
    found = tellings(report)
    assert ", ".join(found) == expected
    whole = {s.text for s, telling in zip(report.sentences, found, strict=True) if telling == "whole"}
    assert whole <= set(told_sentences(report))
    assert bool(set(told_sentences(report)) - whole) == ("stated" in found)
