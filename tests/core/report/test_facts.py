"""What a report is understood to state."""

import random
import string

import pytest

from tmca_core.report import parse_report, read_facts, swap_facts
from tmca_core.study import Finding, Place

ALL = frozenset({"upper", "middle", "lower"})


def _places(**zones):
    return frozenset(Place(side, frozenset(names.split())) for side, names in zones.items())


def _opacity(certainty="affirmed", count=None, size_mm=None, **zones):
    return Finding("opacity", certainty, _places(**zones), count, size_mm)


def _facts(text):
    return read_facts(parse_report(text))


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (
            "bilateral pulmonary infection, two infected areas, upper lower left lung and lower right lung.",
            _opacity(count=2, left="upper lower", right="lower"),
        ),
        ("unilateral pulmonary infection, one infected area, all left lung.", _opacity(count=1, left=" ".join(ALL))),
        ("RUL and LLL infiltrates.", _opacity(right="upper", left="lower")),
        ("Lingular consolidation.", _opacity(left="middle")),
        ("Hazy opacities in the lower zones bilaterally, worse on the left.", _opacity(left="lower", right="lower")),
        ("Left upper and right lower zone opacities.", _opacity(left="upper", right="lower")),
        ("Left and right lower zone opacities.", _opacity(left="lower", right="lower")),
        ("Opacity in the left lung and the lower right lung.", _opacity(left="", right="lower")),
        ("Opacity in the left lower and right lung.", _opacity(left="lower", right="")),
        (
            "Opacity in the right upper zone & mid & lower left lung.",
            _opacity(right="upper", left="middle lower"),
        ),
        (
            "Opacity in the left lung, mid zone as well as the upper and middle zones of the right lung.",
            _opacity(left="middle", right="upper middle"),
        ),
        ("Bilateral opacities, upper zone predominant.", _opacity(left="upper", right="upper")),
        ("Consolidation, suspicious for pneumonia, in the left lower lobe.", _opacity(left="lower")),
        ("Possible opacity in the left mid zone.", _opacity("uncertain", left="middle")),
        ("Pneumonia in the right upper lobe has resolved.", _opacity("past", right="upper")),
        ("Compared with the prior study, opacities have increased.", _opacity()),
        ("Both lungs are clear.", _opacity("denied")),
        ("The right lung is clear.", _opacity("denied", right="")),
        ("No opacity in the upper zones.", Finding("opacity", "denied", frozenset({Place("", frozenset({"upper"}))}))),
        ("Opacity. It lies in the left lower zone, 2.5 cm.", _opacity(left="lower", size_mm=25.0)),
        ("A 2.5 cm opacity in the left lower zone.", _opacity(left="lower", size_mm=25.0)),
        ("Heart size is normal.", Finding("cardiomegaly", "denied")),
        ("Costophrenic angles are clear.", Finding("effusion", "denied")),
        ("ETT tip 3 cm above the carina.", Finding("device")),
    ],
)
def test_one_finding_is_read(text, finding):
    assert _facts(text) == {finding}


def test_each_finding_takes_the_place_next_to_it():
    assert _facts("Left lower lobe consolidation with small right pleural effusion.") == {
        _opacity(left="lower"),
        Finding("effusion", "affirmed", _places(right="")),
    }


def test_one_denial_reaches_every_finding_of_its_list():
    kinds = {(f.kind, f.certainty) for f in _facts("No focal consolidation, effusion or pneumothorax.")}
    assert kinds == {("opacity", "denied"), ("effusion", "denied"), ("pneumothorax", "denied")}


def test_sentences_make_one_another_more_precise():
    assert _facts("Bilateral opacities. The opacity on the left is in the lower zone.") == {
        _opacity(left="lower", right="")
    }


def test_a_denial_without_a_place_yields_to_the_same_finding_affirmed():
    assert _facts("No focal consolidation. Hazy opacity in the left upper zone.") == {_opacity(left="upper")}


def test_history_states_no_finding():
    assert _facts("HISTORY: pneumonia two weeks ago.\nFINDINGS: Heart size is normal.") == {
        Finding("cardiomegaly", "denied")
    }


def test_facts_are_mirrored_with_their_picture():
    facts = _facts("Two opacities, left upper zone and right lower zone.")
    assert swap_facts(facts) == _facts("Two opacities, right upper zone and left lower zone.")
    assert swap_facts(swap_facts(facts)) == facts


def test_any_text_is_taken():
    rng = random.Random(0)
    words = [
        "left",
        "right",
        "and",
        ",",
        "lower",
        "lung",
        "no",
        "opacity",
        "both",
        "RUL",
        "is",
        "clear",
        "2",
        "cm",
        "\n",
        "é",
    ]
    for _ in range(500):
        _facts(" ".join(rng.choices(words, k=rng.randrange(30))))
        _facts("".join(rng.choices(string.printable + "äß中\u202e\x00", k=rng.randrange(80))))


def test_a_foreign_text_yields_fewer_facts():
    assert _facts("Infiltrat im linken Unterlappen.") == frozenset()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("No effusion. Opacity in the left lung.", ["Opacity in the left lung."]),
        ("Lungs are clear. Scoliosis.", ["Lungs are clear.", "Scoliosis."]),
        ("Lungs are clear. No effusion. Scoliosis.", ["Lungs are clear.", "Scoliosis."]),
        ("Lungs are clear. There is a small pneumothorax.", ["Lungs are clear.", "There is a small pneumothorax."]),
        ("No effusion. No fracture.", ["No effusion.", "No fracture."]),
        ("Lungs.", ["Lungs."]),
    ],
)
def test_denials_are_told_unless_a_finding_to_outline_is_affirmed(text, told):
    report = parse_report(text)
    texts = [report.sentences[i].text for i in report.used]
    assert texts == told
