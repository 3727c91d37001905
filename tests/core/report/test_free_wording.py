"""Places read from wordings that no writer of the project uses, by class of what made them hard to read."""

import pytest

from tmca_core.report import parse_report, swap_sides
from tmca_core.report.rules import load_rules

CASES = {
    "vague words": [
        ("The right base is involved.", "lower right lung"),
        ("Infective change in the left mid zone.", "middle left lung"),
        ("Left lung densely consolidated at the apex.", "upper left lung"),
        ("In the right lung is seen darkening in the superior lobe.", "upper right lung"),
        ("L MZ patch, ?infection.", "middle left lung"),
    ],
    "abbreviations": [
        ("RUZ and LLZ shadowing.", "upper right lung and lower left lung"),
        ("R base + L mid zone opacities.", "lower right lung and middle left lung"),
        ("GGO MZ and LZ bilat.", "middle lower right lung and middle lower left lung"),
        ("Rt LZ patch, Lt clear.", "lower right lung"),
    ],
    "sentences that go on": [
        ("Consolidation at the left apex. Another at the right base.", "lower right lung and upper left lung"),
        ("R lung: base. L lung: apex. Consolidation in both.", "lower right lung and upper left lung"),
        ("Two opacities. One is in the left lower zone, one in the left upper zone.", "upper lower left lung"),
        ("Opacity in the right lung. It lies in the mid zone.", "middle right lung"),
    ],
    "one side, several zones": [
        ("On the left there is consolidation, in the mid zone and at the base.", "middle lower left lung"),
        ("Right lung: hazy apex, hazy base.", "upper lower right lung"),
        ("Left lung hazy in the apex and base, and the right mid zone.", "middle right lung and upper lower left lung"),
        ("Right base opacity, extending, faintly, to the mid zone.", "middle lower right lung"),
    ],
    "ranges and wholes": [
        ("Right lung opacified from apex to base.", "all right lung"),
        ("Infiltrates in all lung fields.", "all right lung and all left lung"),
        ("Consolidation of the lower two thirds of the left lung.", "middle lower left lung"),
        ("Consolidation throughout the right lower lobe.", "lower right lung"),
        ("The left lung is affected from the hilum down to the diaphragm.", "middle lower left lung"),
        ("Opacity in the right lung, three areas in total.", "right lung"),
    ],
    "what is clear": [
        ("Right basal opacity, left upper, mid and lower zones clear.", "lower right lung"),
        ("Consolidation in the left upper zone sparing the base. Right lung free.", "upper left lung"),
        ("Right lower zone infiltrate. The remainder of the right lung is clear.", "lower right lung"),
        ("Left basal opacity. No other opacity in the left lung.", "lower left lung"),
        ("Left base opacity. Previously the right base was clear.", "lower left lung"),
    ],
    "by what is spared": [
        ("Both lungs are opacified except the right apex.", "middle lower right lung and all left lung"),
        ("Right-sided consolidation sparing only the base.", "upper middle right lung"),
        ("Both lungs involved, with only the left apex spared.", "all right lung and middle lower left lung"),
        ("The lungs are clear except at the left base.", "lower left lung"),
        ("Chest clear apart from a right mid zone opacity.", "middle right lung"),
    ],
    "both, either, the other": [
        ("One opacity in each lower lobe.", "lower right lung and lower left lung"),
        ("Two patches of consolidation, both at the right base.", "lower right lung"),
        ("Right basal opacity. The contralateral apex is hazy too.", "lower right lung and upper left lung"),
        ("Opacities at the bases and at the right apex.", "upper lower right lung and lower left lung"),
    ],
    "zones by landmarks": [
        ("Hazy opacity just above the right hemidiaphragm.", "lower right lung"),
        ("Opacity around the left hilum.", "middle left lung"),
        ("Right infraclavicular infiltrate, left retrocardiac infiltrate.", "upper right lung and lower left lung"),
        ("Opacities at hilar level on each side.", "middle right lung and middle left lung"),
    ],
    "other structures": [
        ("Opacity at the left base. Right subclavian line. Left clavicle fractured.", "lower left lung"),
        ("Right apical opacity obscuring the upper left mediastinum.", "upper right lung"),
        ("Left lower lobe consolidation, heart size normal.", "lower left lung"),
        ("Heart not enlarged, right basal opacity.", "lower right lung"),
        ("Right basal consolidation. Calcified granuloma in the left upper zone.", "lower right lung"),
        ("No effusion, consolidation at the right base.", "lower right lung"),
        ("Consolidation and small effusion at the right base.", "lower right lung"),
    ],
    "not there now": [
        ("Left apical opacity has resolved. New opacity at the right base.", "lower right lung"),
        (
            "Left base is clear following resolution of the basal consolidation. Right mid zone opacity.",
            "middle right lung",
        ),
        ("AP CHEST. HISTORY: RIGHT PNEUMONIA. OPACITY AT THE LEFT BASE.", "lower left lung"),
    ],
}


@pytest.mark.parametrize(("text", "expected"), [c for cases in CASES.values() for c in cases])
def test_free_wording_is_read(text, expected, places_of):
    assert places_of(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Right base opacity. The right lung is clear.",
        "Trachea deviated to the right. Left lateral view.",
        "The left hemidiaphragm is raised.",
        "The nuclei density in the upper left is high.",
        "Two white polyps in the upper right, center of the image.",
        "Degenerative changes on the left. Right apical scarring.",
        "Right upper lobe collapse. Left lower lobe nodule.",
        "On 5 L oxygen.",
    ],
)
def test_what_is_contradicted_or_of_no_lung_is_not_stated(text, places_of):
    assert places_of(text) == ""


def test_a_vague_word_reaches_the_network_and_a_clear_place_does_not():
    report = parse_report("Left base affected. Right base not affected. Upper zones clear.")
    assert [report.sentences[i].text for i in report.used] == ["Left base affected."]


def test_abbreviated_sides_are_swapped():
    assert swap_sides("RUZ, LMZ and Llz; L. Rt") == "LUZ, RMZ and Rlz; L. Lt"


def test_a_meaning_is_no_longer_than_its_words():
    assert all(len(meaning) <= len(words) for words, meaning in load_rules().meaning_of.items())
