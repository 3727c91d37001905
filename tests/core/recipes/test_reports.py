"""Which report each case is given: own, none, shuffled, side-swapped, from a file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmca_core.data import Case
from tmca_core.errors import DatasetError
from tmca_core.recipes.reports import ReportMode, choose_reports, read_reports_file, shuffle_texts
from tmca_core.study import SideConvention

TEXTS = st.lists(st.sampled_from("abcde"), min_size=0, max_size=30)


def case(case_id: str, text: str) -> Case:
    return Case(case_id, Path("i.png"), None, text, "val", "", case_id, SideConvention.PATIENT)


CASES = [case("1", "Opacity in the left lung."), case("2", "Bilateral opacities."), case("3", "Right effusion.")]


def test_given_is_each_cases_own():
    assert choose_reports(CASES, ReportMode.GIVEN) == {c.id: c.text for c in CASES}


def test_none_asks_for_image_only_mode():
    assert choose_reports(CASES, ReportMode.NONE) == {"1": None, "2": None, "3": None}


def test_side_swapped_exchanges_left_and_right():
    assert choose_reports(CASES, ReportMode.SIDE_SWAPPED) == {
        "1": "Opacity in the right lung.",
        "2": "Bilateral opacities.",
        "3": "Left effusion.",
    }


def test_shuffled_gives_every_case_another_ones_text():
    shuffled = choose_reports(CASES, ReportMode.SHUFFLED, seed=3)
    assert sorted(shuffled.values()) == sorted(c.text for c in CASES)
    assert all(shuffled[c.id] != c.text for c in CASES)


@given(TEXTS, st.integers(0, 2**32))
def test_shuffle_deals_the_same_texts_and_keeps_as_few_in_place_as_possible(texts, seed):
    dealt = shuffle_texts(texts, seed)
    kept = sum(old == new for old, new in zip(texts, dealt, strict=True))
    most = max(Counter(texts).values(), default=0)
    assert Counter(dealt) == Counter(texts)
    assert kept == max(2 * most - len(texts), 0)


@given(TEXTS, st.integers(0, 2**32))
def test_shuffle_is_the_same_for_the_same_seed(texts, seed):
    assert shuffle_texts(texts, seed) == shuffle_texts(texts, seed)


def test_another_seed_deals_another_way():
    texts = [str(n) for n in range(50)]
    assert shuffle_texts(texts, 0) != shuffle_texts(texts, 1)


def test_a_file_replaces_the_reports(tmp_path):
    path = tmp_path / "reports.csv"
    path.write_text('id,text\n3,"Opacity, left base."\n1,\n2,None seen.\nother,unused\n', encoding="utf-8")
    texts = read_reports_file(path)
    assert choose_reports(CASES, texts) == {"1": "", "2": "None seen.", "3": "Opacity, left base."}


def test_ids_that_the_file_lacks_are_all_named(tmp_path):
    path = tmp_path / "reports.csv"
    path.write_text("id,text\n2,None seen.\n", encoding="utf-8")
    with pytest.raises(DatasetError, match="expected a text for each of 3 cases, 2 have none: 1, 3") as caught:
        choose_reports(CASES, read_reports_file(path))
    assert "Add these ids" in caught.value.hint


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("case,report\n1,x\n", "expected the columns id, text; without id, text, it has case, report"),
        ("id,text\n1,x\n1,y\n", "expected every id once, 1 stand more than once: 1"),
        ("id,text\n", "expected at least one row below the header"),
    ],
    ids=["columns", "twice", "no-row"],
)
def test_faults_of_the_file_are_named(tmp_path, content, said):
    path = tmp_path / "reports.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DatasetError, match=said):
        read_reports_file(path)
