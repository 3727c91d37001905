"""Masks that agree with their report, and masks that do not."""

import numpy as np
import pytest

from tmca_core.consistency import check_consistency
from tmca_core.phantom import make_phantom
from tmca_core.report import parse_report
from tmca_core.study import SideConvention

SIZE = 100


def _mask(*boxes):
    mask = np.zeros((SIZE, SIZE), bool)
    for y0, y1, x0, x1 in boxes:
        mask[y0:y1, x0:x1] = True
    return mask


PATIENT_LEFT_LOWER = (55, 75, 60, 80)
PATIENT_RIGHT_UPPER = (15, 35, 20, 40)


def _remarks(text, *boxes, convention=SideConvention.PATIENT):
    return {r.aspect: r for r in check_consistency(_mask(*boxes), parse_report(text), convention)}


def test_everything_agrees():
    text = "Two areas of opacity, left lower zone and right upper zone."
    remarks = check_consistency(_mask(PATIENT_LEFT_LOWER, PATIENT_RIGHT_UPPER), parse_report(text))
    assert {r.aspect for r in remarks} == {"presence", "side", "zone", "number"}
    assert all(r.agrees for r in remarks)


def test_the_other_side():
    remark = _remarks("Opacity in the left lower zone.", PATIENT_RIGHT_UPPER)["side"]
    assert not remark.agrees
    assert remark.text == "The report names the left side only; 100% of the mask lies on the right."


def test_the_pictures_own_left():
    remarks = _remarks("Nodule on the left.", PATIENT_RIGHT_UPPER, convention=SideConvention.PICTURE)
    assert remarks["side"].agrees


def test_one_of_two_sides_is_free():
    remark = _remarks("Bilateral opacities.", PATIENT_LEFT_LOWER)["side"]
    assert not remark.agrees
    assert remark.text == "The report names both sides; the mask shows next to nothing on the right."


def test_another_zone():
    remark = _remarks("Opacity in the left upper zone.", PATIENT_LEFT_LOWER)["zone"]
    assert not remark.agrees
    assert remark.text == "The report names the left upper zone; 0% of the mask on that side lies there."


def test_another_number():
    remark = _remarks("Three areas of opacity in both lungs.", PATIENT_LEFT_LOWER, PATIENT_RIGHT_UPPER)["number"]
    assert not remark.agrees
    assert remark.text == "The report counts three areas, two areas in the mask."


def test_specks_are_not_counted():
    speck = (90, 92, 90, 92)
    assert _remarks("One area of opacity on the left.", PATIENT_LEFT_LOWER, speck)["number"].agrees


@pytest.mark.parametrize(
    ("text", "boxes", "agrees", "words"),
    [
        ("Opacity on the left.", [], False, "the mask is empty"),
        ("Lungs are clear.", [PATIENT_LEFT_LOWER], False, "The report states no opacity; the mask covers 4.0%"),
        ("Lungs are clear.", [], True, "and the mask is empty"),
    ],
)
def test_presence(text, boxes, agrees, words):
    remark = _remarks(text, *boxes)["presence"]
    assert remark.agrees is agrees
    assert words in remark.text


@pytest.mark.parametrize("text", ["", "Scoliosis.", "Heart size is normal.", "Left pleural effusion."])
def test_nothing_is_said_about_what_the_report_leaves_open(text):
    assert _remarks(text, PATIENT_LEFT_LOWER) == {}


def test_a_volume_has_sides_and_no_zones():
    volume = np.repeat(_mask(PATIENT_LEFT_LOWER)[None], 4, axis=0)
    remarks = {r.aspect: r for r in check_consistency(volume, parse_report("Opacity in the left upper zone."))}
    assert remarks["side"].agrees
    assert "zone" not in remarks


def test_phantoms_agree_with_their_reports():
    wrong = []
    for seed in range(40):
        phantom = make_phantom(seed)
        remarks = check_consistency(phantom.mask, parse_report(phantom.report_text))
        wrong += [(seed, r.text) for r in remarks if not r.agrees and r.aspect in ("presence", "side")]
    assert wrong == []
