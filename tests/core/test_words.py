"""Every word of a sentence has a map of its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tmca_core.attention import maps_on_scan
from tmca_core.model.build import build_tmca_tiny
from tmca_core.model.checkpoint import save_model
from tmca_core.predictor import Predictor, SlicesDone
from tmca_core.report import parse_report, words_in
from tmca_core.study import Scan

REPORT = parse_report("No effusion. Patchy opacity in the left lower zone; follow-up advised.\nHaze at the apex.")


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    torch.manual_seed(0)
    model, architecture = build_tmca_tiny()
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_model(model, architecture, folder, name="tiny", version="1")
    return Predictor.load(folder, device="cpu")


def end_of(steps):
    told = []
    while True:
        try:
            told.append(next(steps))
        except StopIteration as stop:
            return stop.value, told


def pixels(*shape):
    return np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)


def test_words_have_offsets_into_the_report_and_maps_per_level(predictor):
    predictor.set_scan(Scan(pixels(60, 70)))
    found, told = end_of(predictor.word_attention_steps(REPORT, 1))
    words = [REPORT.text[a:b] for a, b in found.words]
    assert words == ["Patchy", "opacity", "in", "the", "left", "lower", "zone"]
    assert told == [SlicesDone(1, 1)]
    assert {len(levels) for levels in found.maps} == {4}
    on_scan = [maps_on_scan(levels, (60, 70)) for levels in found.maps]
    assert all(0 <= values.min() <= values.max() <= 1 for values in on_scan)
    assert not np.allclose(on_scan[0], on_scan[4])


def test_of_a_volume_every_slice_has_the_maps_it_has_alone(predictor):
    volume = pixels(3, 40, 40)
    volume[0, 0, 0], volume[1, 0, 0] = 0, 255
    predictor.set_scan(Scan(volume))
    found, told = end_of(predictor.word_attention_steps(REPORT, 1))
    assert [step.done for step in told] == [1, 2, 3]
    assert found.maps[0][0].shape[0] == 3


def test_the_pieces_of_a_word_are_found_by_their_offsets(predictor):
    text = "Sub-segmental atelectasis, 2.5 cm\u2019s; \u4e2d\u6587 !"
    offsets = predictor.model.tokenizer.offsets(text)
    tokens = predictor.model.tokenizer([(text,)])
    assert len(offsets) == int(tokens.attention_mask.sum())
    for start, end in words_in(text):
        assert any(span and start <= span[0] and span[1] <= end for span in offsets)


def test_a_sentence_that_is_not_in_use_has_no_words(predictor):
    predictor.set_scan(Scan(pixels(30, 30)))
    with pytest.raises(ValueError, match="not in use"):
        next(predictor.word_attention_steps(REPORT, 0))
