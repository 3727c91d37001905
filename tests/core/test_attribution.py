from __future__ import annotations

import numpy as np
import pytest

from tmca_core.attribution import parts_by_sentence, sentences_at
from tmca_core.report import parse_report
from tmca_core.study import Provenance, Segmentation

LEFT = np.array([[0.9, 0.1], [0.9, 0.1]], np.float32)
RIGHT = 1 - LEFT


def segmentation(report="Opacity on the right. Nodule on the left. No effusion."):
    parsed = parse_report(report) if report else None
    maps = ((LEFT,), (RIGHT,)) if report else ()
    return Segmentation(np.zeros((8, 8), np.float32), 0.5, (LEFT,), maps, parsed, Provenance("m", "1", "", "cpu"))


def test_a_pixel_knows_how_much_each_sentence_looked_at_it():
    assert sentences_at(segmentation(), (3, 1)) == pytest.approx({0: 0.9, 1: 0.1})
    assert sentences_at(segmentation(), (3, 6)) == pytest.approx({0: 0.1, 1: 0.9})


@pytest.mark.parametrize("index", [(-1, 0), (0, 8), (0, 0, 0)], ids=["above", "beside", "another number of axes"])
def test_outside_the_scan_there_is_no_sentence(index):
    assert sentences_at(segmentation(), index) == {}


def test_every_part_of_the_mask_belongs_to_one_sentence():
    mask = np.zeros((8, 8), bool)
    mask[1:3, 0:3] = mask[5:7, 5:8] = True
    parts = parts_by_sentence(segmentation(), mask)
    assert set(parts) == {0, 1}
    assert np.array_equal(parts[0] | parts[1], mask)
    assert parts[0][1, 0]
    assert parts[1][5, 5]


def test_an_empty_mask_has_no_parts():
    parts = parts_by_sentence(segmentation(), np.zeros((8, 8), bool))
    assert not any(part.any() for part in parts.values())


def test_without_a_report_nothing_is_attributed():
    assert parts_by_sentence(segmentation(""), np.ones((8, 8), bool)) == {}
    assert sentences_at(segmentation(""), (0, 0)) == {}
