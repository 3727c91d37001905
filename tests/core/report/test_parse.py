from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmca_core.errors import ReportError
from tmca_core.report import parse_report, read_report, swap_sides

BENCHMARK = "bilateral pulmonary infection, two infected areas, all left lung and middle lower right lung."
any_text = st.text(st.characters(), max_size=300)
clinical = st.lists(
    st.sampled_from(
        [
            "FINDINGS:",
            "left",
            "Right",
            "LUL",
            "RLL",
            "no",
            "effusion",
            ".",
            "\n",
            "1.",
            " ",
            "2.5",
            "Dr.",
            "but",
            "\x00",
            "é",
        ]
    ),
    max_size=40,
).map(" ".join)


@given(any_text | clinical)
def test_offsets_cut_exactly_the_sentence_out_of_any_text(text):
    report = parse_report(text)
    assert report.text == text
    assert all(text[s.start : s.end] == s.text for s in report.sentences)
    assert all(a.end <= b.start for a, b in zip(report.sentences, report.sentences[1:], strict=False))
    assert all(any(c.isalnum() for c in s.text) for s in report.sentences)


@given(any_text | clinical)
def test_swapping_sides_twice_changes_nothing(text):
    assert swap_sides(swap_sides(text)) == text


@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        (BENCHMARK, "bilateral pulmonary infection, two infected areas, all right lung and middle lower left lung."),
        ("Left-sided LUL, RLL. RIGHT", "Right-sided RUL, LLL. LEFT"),
        ("brightly leftover", "brightly leftover"),
        ("left_lung", "right_lung"),
        ("", ""),
    ],
)
def test_sides_are_swapped_as_whole_words_in_their_case(text, swapped):
    assert swap_sides(text) == swapped


@pytest.mark.parametrize(
    ("text", "sides"),
    [
        ("Opacity in the LLL.", {"left"}),
        ("Lingular consolidation.", {"left"}),
        ("Bibasal atelectasis.", {"left", "right"}),
        ("Both lungs.", {"left", "right"}),
        (BENCHMARK, {"left", "right"}),
        ("Cardiomegaly.", set()),
    ],
)
def test_sides_are_read(text, sides):
    (sentence,) = parse_report(text).sentences
    assert sentence.sides == sides


@pytest.mark.parametrize(
    ("text", "negated"),
    [
        ("No pleural effusion or pneumothorax.", True),
        ("Lungs are clear.", True),
        ("Unremarkable.", True),
        ("Heart size is normal.", True),
        ("The effusion has resolved.", True),
        ("No effusion but consolidation at the left base.", False),
        ("No change in the right-sided consolidation.", False),
        ("Consolidation without cavitation.", False),
        ("No tumor in the breast ultrasound image.", True),
        ("Left lung.", False),
        ("Endotracheal tube.", False),
        ("Two small white oval polyp, located in top, bottom of the image.", False),
        (BENCHMARK, False),
    ],
)
def test_negation_is_that_of_every_finding(text, negated):
    (sentence,) = parse_report(text).sentences
    assert sentence.is_negated is negated
    assert sentence.is_about_picture


def test_sections_decide_what_is_about_the_picture():
    report = parse_report(
        "INDICATION: Cough. Fever.\nTECHNIQUE: AP view.\nFINDINGS:\nHazy opacity in the left base,\nmore than before. "
        "No effusion.\nIMPRESSION: Pneumonia."
    )
    assert [(s.section, s.is_about_picture) for s in report.sentences] == [
        ("INDICATION", False),
        ("INDICATION", False),
        ("TECHNIQUE", False),
        ("FINDINGS", True),
        ("FINDINGS", True),
        ("IMPRESSION", True),
    ]
    assert [report.sentences[i].text for i in report.used] == [
        "Hazy opacity in the left base,\nmore than before.",
        "Pneumonia.",
    ]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Tube approx. 2.5 cm above the carina. Clear.", 2),
        ("1. Opacity left.\n2. No effusion", 2),
        ("- Opacity left\n- No effusion", 2),
        ("Seen by Dr. Who, e.g. yesterday.", 1),
        ("One; two.", 2),
    ],
)
def test_sentences_end_where_a_reader_would_end_them(text, count):
    assert len(parse_report(text).sentences) == count


def test_history_is_shown_and_not_given_to_the_network():
    report = parse_report("A 56-year-old man presented with cough and fever. Consolidation in the right upper lobe.")
    assert len(report.sentences) == 2
    assert report.used == (1,)


def test_a_report_of_denials_alone_still_reaches_the_network():
    report = parse_report("No consolidation. No effusion.")
    assert report.used == (0,)
    assert "an empty mask is an answer" in " ".join(report.notes)


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        ("Pneumonia", "one word"),
        ("Opacity\x07 left.", "Control characters"),
        ("opacity left. " * 5000, "10,000 words"),
        ("Cough and fever.", "No sentence of the report is about the picture"),
    ],
)
def test_what_is_odd_about_a_report_is_said(text, note):
    assert note in " ".join(parse_report(text).notes)


@pytest.mark.parametrize("text", ["opacity in the left lung. " * 2000, "x" * 50_000, ". " * 25_000, "no " * 20_000])
def test_long_text_takes_no_time(text):
    started = time.process_time()
    parse_report(text)
    assert time.process_time() - started < 5


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_report_files_are_read_in_the_usual_encodings(tmp_path, encoding):
    (tmp_path / "r.txt").write_bytes("Opacité à gauche.".encode(encoding))
    assert read_report(tmp_path / "r.txt") == "Opacité à gauche."


def test_what_is_no_text_file_is_one_sentence(tmp_path):
    (tmp_path / "r.pdf").write_bytes(b"%PDF-1.7\x00\x01")
    with pytest.raises(ReportError, match=r"r\.pdf: expected text, got binary data"):
        read_report(tmp_path / "r.pdf")
    with pytest.raises(ReportError, match="is missing"):
        read_report(tmp_path / "none.txt")
    with pytest.raises(ReportError, match="is a folder"):
        read_report(tmp_path)
