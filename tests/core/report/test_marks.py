from __future__ import annotations

from tmca_core.report import marks_in, parse_report, words_in


def test_what_was_understood_has_its_place_in_the_text():
    text = "History: left cough.\nFINDINGS: No effusion. Probable consolidation, RUL and left lower zone."
    marks = [(text[mark.start : mark.end], mark.kind) for mark in marks_in(parse_report(text))]
    assert marks == [
        ("No", "denial"),
        ("effusion", "finding"),
        ("Probable", "doubt"),
        ("consolidation", "finding"),
        ("RUL", "side"),
        ("RUL", "zone"),
        ("left", "side"),
        ("lower", "zone"),
    ]


def test_an_empty_report_has_no_marks():
    assert marks_in(parse_report("")) == ()


def test_words_are_split_from_punctuation():
    text = "Left-sided \u201chaze\u201d, 2.5 cm (R > L)."
    assert [text[a:b] for a, b in words_in(text)] == ["Left-sided", "haze", "2.5", "cm", "R", "L"]
