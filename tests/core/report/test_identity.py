from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmca_core.report import find_identity, remove_identity

CLINICAL = [
    "Consolidation in the left lower zone, 2.5 x 3 cm, unchanged since the prior study.",
    "Two opacities measuring 12 mm and 8 mm. No effusion. T12 fracture; 3 of 4 lobes. Grade 2/3.",
    "Right Upper Lobe collapse. Heart size 15/31. ET tube 4.5 cm above the carina. Patient rotated.",
    "bilateral pulmonary infection, two infected areas, all left lung and middle lower right lung.",
    "Port-A-Cath tip in the SVC. Findings may represent pneumonia. Opacity in March.",
]


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("Patient: Jane Q. Doe, MRN 0012345", ["name", "number"]),
        ("Name: DOE, JANE", ["name"]),
        ("Discussed with Dr. O'Neill on 2024-03-05.", ["name", "date"]),
        ("Electronically signed by: Anna M\u00fcller", ["name"]),
        ("Compared with 12/03/2024 and 3. 4.", ["date"]),
        ("seen on 3 May and on March 4th, 2023", ["date", "date"]),
        ("Accession number: ABC-123456, tel. +49 30 1234567", ["number", "number"]),
        ("mail jane.doe@clinic.example", ["email"]),
    ],
)
def test_names_dates_and_numbers_are_found(text, kinds):
    assert [identity.kind for identity in find_identity(text)] == kinds


@pytest.mark.parametrize("text", CLINICAL)
def test_what_a_report_says_of_the_picture_is_left_alone(text):
    assert find_identity(text) == ()
    assert remove_identity(text) == text


def test_removing_leaves_its_kind_and_nothing_to_find():
    text = "Name: Jane Doe. MRN: 4711-0815. Opacity since 2024-01-02, left."
    removed = remove_identity(text)
    assert removed == "Name: [name]. MRN: [number]. Opacity since [date], left."
    assert find_identity(removed) == ()


@given(st.text(st.sampled_from("Dr. AbcMRN: 0123456789-/@x\n\u00c9MAY"), max_size=80))
def test_any_text_is_taken_and_stretches_never_overlap(text):
    found = find_identity(text)
    assert all(a.end <= b.start for a, b in pairwise(found))
    assert all(0 <= identity.start < identity.end <= len(text) for identity in found)
    remove_identity(text)
