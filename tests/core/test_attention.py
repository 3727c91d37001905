"""Attention lies on the scan where the network saw it, and bad choices are answered with the valid ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tmca_core.attention import attention_on_scan, resize_slices
from tmca_core.study import Finding, Provenance, Report, Segmentation, Sentence


def _segmentation(shape, grids, *, report=None, sentences=()):
    rng = np.random.default_rng(0)

    def maps():
        return tuple(rng.random(shape[:-2] + grid, dtype=np.float32) for grid in grids)

    return Segmentation(
        logits=np.zeros(shape, np.float32),
        threshold=0.5,
        attention=maps(),
        sentence_attention=tuple(maps() for _ in sentences),
        report=report,
        provenance=Provenance("tmca-test", "0", "", "cpu"),
    )


GRIDS = ((24, 20), (12, 10), (6, 5), (3, 3))
REPORT = Report(
    "Old film. No effusion. Opacity left. Opacity right.",
    (
        Sentence(0, 9, "Old film.", is_about_picture=False),
        Sentence(10, 22, "No effusion.", is_negated=True),
        Sentence(23, 36, "Opacity left.", findings=(Finding("opacity"),)),
        Sentence(37, 51, "Opacity right.", findings=(Finding("opacity"),)),
    ),
)


@pytest.mark.parametrize("shape", [(97, 80), (24, 20), (7, 9), (3, 50, 41)], ids=["up", "same", "down", "volume"])
@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_each_level_equals_torch_interpolation(shape, level):
    segmentation = _segmentation(shape, GRIDS)
    maps = torch.from_numpy(segmentation.attention[level - 1]).reshape(-1, 1, *GRIDS[level - 1])
    expected = torch.nn.functional.interpolate(maps, size=shape[-2:], mode="bilinear", align_corners=False)
    result = attention_on_scan(segmentation, level=level)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected.reshape(shape).numpy(), atol=1e-5)


def test_mean_is_the_mean_of_the_levels_on_the_scan():
    segmentation = _segmentation((40, 30), GRIDS)
    levels = [attention_on_scan(segmentation, level=level) for level in (1, 2, 3, 4)]
    np.testing.assert_allclose(attention_on_scan(segmentation), np.mean(levels, axis=0), atol=1e-6)


def test_a_sentence_is_named_by_its_place_in_the_report():
    segmentation = _segmentation((40, 30), GRIDS, report=REPORT, sentences=REPORT.used)
    expected = resize_slices(segmentation.sentence_attention[1][0], (40, 30))
    np.testing.assert_array_equal(attention_on_scan(segmentation, level=1, sentence=3), expected)


def test_values_outside_0_to_1_are_clipped():
    segmentation = _segmentation((40, 30), ((2, 2),))
    segmentation.attention[0][:] = [[-1, 0.5], [0.5, 2]]
    result = attention_on_scan(segmentation)
    assert (result.min(), result.max()) == (0, 1)


@pytest.mark.parametrize("level", [0, 5, -1, "fine"])
def test_an_unknown_level_is_answered_with_the_valid_ones(level):
    with pytest.raises(ValueError, match=r'expected level "mean" or 1 to 4 \(fine to coarse\), got'):
        attention_on_scan(_segmentation((40, 30), GRIDS), level=level)


@pytest.mark.parametrize("sentence", [0, 1, 4, -1])
def test_a_sentence_the_network_did_not_see_is_answered_with_those_it_did(sentence):
    segmentation = _segmentation((40, 30), GRIDS, report=REPORT, sentences=REPORT.used)
    with pytest.raises(ValueError, match="sentences that have one: 2, 3"):
        attention_on_scan(segmentation, sentence=sentence)


def test_image_only_mode_has_no_sentences():
    with pytest.raises(ValueError, match="sentences that have one: none"):
        attention_on_scan(_segmentation((40, 30), GRIDS), sentence=0)


def test_a_network_without_attention_says_so():
    with pytest.raises(ValueError, match="no attention maps"):
        attention_on_scan(_segmentation((40, 30), ()))


def test_maps_of_another_number_of_slices_are_refused():
    with pytest.raises(ValueError, match=r"one map per slice of a scan of shape \(3, 8, 8\), got maps of shape \(2"):
        resize_slices(np.zeros((2, 4, 4), np.float32), (3, 8, 8))
