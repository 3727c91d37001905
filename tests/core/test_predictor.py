from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tmca_core.attention import attention_on_scan
from tmca_core.calibration import Agreement, Calibration
from tmca_core.device import choose_device
from tmca_core.errors import DeviceError, StudyReadError
from tmca_core.model.build import build_tmca_tiny
from tmca_core.model.checkpoint import save_model
from tmca_core.predictor import BATCH_SLICES, Predictor, SlicesDone
from tmca_core.report import parse_report, told_sentences
from tmca_core.study import Scan

REPORT = "Opacity in the left lower zone. No pleural effusion. Hazy opacity at the right apex."


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    model, architecture = build_tmca_tiny()
    for enhancement in model.decoder.enhancements:
        torch.nn.init.normal_(enhancement.gamma)
    where = tmp_path_factory.mktemp("models") / "tiny"
    save_model(model, architecture, where, name="tiny", version="1", threshold=0.45)
    return where


@pytest.fixture
def predictor(folder):
    return Predictor.load(folder, device="cpu")


def picture(shape, seed=0, dtype=np.uint8):
    return (np.random.default_rng(seed).random(shape) * 200).astype(dtype)


@pytest.mark.parametrize(
    ("scan", "shape"),
    [
        (Scan(picture((60, 90))), (60, 90)),
        (Scan(picture((60, 90, 3)), is_rgb=True), (60, 90)),
        (Scan(picture((500, 30), dtype=np.uint16)), (500, 30)),
        (Scan(picture((11, 40, 50), dtype=np.float32)), (11, 40, 50)),
        (Scan(picture((1, 1))), (1, 1)),
    ],
    ids=["grey", "colour", "16 bit", "volume", "one pixel"],
)
def test_the_answer_lies_on_the_scan_s_grid(predictor, scan, shape):
    predictor.set_scan(scan)
    found = predictor.predict(parse_report(REPORT))
    assert found.logits.shape == found.mask.shape == found.probability.shape == shape
    assert found.mask.dtype == np.uint8
    assert len(found.attention) == 4
    assert len(found.sentence_attention) == 2  # the negated sentence is not asked for
    for sentence in (None, 0, 2):
        values = attention_on_scan(found, level=1, sentence=sentence)
        assert values.shape == shape
        assert 0 <= values.min() <= values.max() <= 1


def test_the_model_s_own_threshold_holds_unless_another_is_given(predictor):
    predictor.set_scan(Scan(picture((64, 64))))
    assert predictor.predict(None).threshold == 0.45
    assert predictor.predict(None, threshold=1.0).mask.sum() == 0
    with pytest.raises(ValueError, match=r"expected 0..1"):
        predictor.predict(None, threshold=1.5)


def test_features_are_computed_once_per_scan(predictor, monkeypatch):
    calls = []
    encode = predictor.model.encode_image
    monkeypatch.setattr(predictor.model, "encode_image", lambda images: calls.append(len(images)) or encode(images))
    predictor.set_scan(Scan(picture((10, 32, 32))))
    first = predictor.predict(parse_report(REPORT))
    again = predictor.predict(parse_report("Clear lungs."))
    assert calls == [BATCH_SLICES, 10 - BATCH_SLICES]
    assert not np.array_equal(first.logits, again.logits)
    predictor.set_scan(Scan(picture((32, 32))))
    predictor.predict(None)
    assert calls[2:] == [1]


def test_the_same_question_gives_the_same_answer(folder):
    answers = []
    for _ in range(2):
        predictor = Predictor.load(folder, device="cpu")
        predictor.set_scan(Scan(picture((64, 80))))
        answers.append(predictor.predict(parse_report(REPORT)).logits)
    assert np.array_equal(*answers)


def test_no_report_and_an_empty_report_are_the_image_only_mode_and_say_so(predictor):
    predictor.set_scan(Scan(picture((64, 64))))
    none, empty = predictor.predict(None), predictor.predict(parse_report("  \n"))
    assert np.array_equal(none.logits, empty.logits)
    assert none.sentence_attention == empty.sentence_attention == ()
    assert any("Image-only mode" in message for message in none.messages)
    assert any("Image-only mode" in message for message in empty.messages)


def test_progress_counts_slices_and_closing_cancels(predictor):
    predictor.set_scan(Scan(picture((20, 32, 32))))
    steps = predictor.predict_steps(None)
    assert next(steps) == SlicesDone(BATCH_SLICES, 20)
    steps.close()
    assert predictor.predict(None).logits.shape == (20, 32, 32)


def test_a_volume_s_slices_are_answered_as_they_are_alone(predictor):
    volume = picture((3, 40, 40))
    predictor.set_scan(Scan(volume))
    together = predictor.predict(parse_report(REPORT)).logits
    assert together.shape == (3, 40, 40)
    assert not np.allclose(together[0], together[1])


def test_slices_of_interest_are_answered_and_the_others_left_empty(predictor):
    volume, report = Scan(picture((12, 40, 40))), parse_report(REPORT)
    predictor.set_scan(volume)
    whole, some = predictor.predict(report), predictor.predict(report, slices=range(2, 11))
    np.testing.assert_allclose(some.logits[2:11], whole.logits[2:11], atol=1e-4)
    np.testing.assert_allclose(some.attention[0][2:11], whole.attention[0][2:11], atol=1e-4)
    outside = [0, 1, 11]
    assert some.probability[outside].max() < 1e-9
    assert not any(level[outside].any() for level in (*some.attention, *some.sentence_attention[0]))
    assert some.image_only_mask[outside].max() == 0
    assert "Slices 3 to 11 of 12 were segmented; the others are left empty." in some.messages
    assert next(predictor.predict_steps(report, slices=range(2, 11))) == SlicesDone(BATCH_SLICES, 9)
    with pytest.raises(ValueError, match=r"slices: expected some of 0\.\.11"):
        predictor.predict(report, slices=range(5, 13))


def test_volumes_with_spacing_are_smoothed_across_slices_and_stacks_without_are_not(predictor):
    pixels, report = picture((6, 40, 40)), parse_report(REPORT)
    predictor.set_scan(Scan(pixels))
    raw = predictor.predict(report)
    predictor.set_scan(Scan(pixels, spacing_mm=(5.0, 1.0, 1.0)))
    np.testing.assert_array_equal(predictor.predict(report, smoothing=0).logits, raw.logits)
    smooth = predictor.predict(report)
    np.testing.assert_allclose(smooth.probability.mean(axis=0), raw.probability.mean(axis=0), atol=0.05)
    assert np.abs(np.diff(smooth.probability, axis=0)).mean() < 0.7 * np.abs(np.diff(raw.probability, axis=0)).mean()
    assert "smoothed across neighbouring slices" in smooth.messages[-1]
    assert smooth.evidence == raw.evidence  # judged by what the network said
    np.testing.assert_array_equal(predictor.predict(report).logits, smooth.logits)  # what is kept is not smoothed twice


def test_polarity_and_range_of_the_values_do_not_matter_but_their_order_does(predictor):
    pixels = picture((64, 64)).astype(np.float32)
    answers = []
    for values in (pixels, pixels * 100 - 5000):
        predictor.set_scan(Scan(values))
        answers.append(predictor.predict(None).logits)
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-3)


def test_a_constant_image_is_answered_and_named(predictor):
    predictor.set_scan(Scan(np.full((40, 40), 7, np.uint8)))
    found = predictor.predict(None)
    assert np.isfinite(found.logits).all()
    assert any("constant" in message for message in found.messages)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(predictor, bad):
    pixels = picture((8, 8)).astype(np.float32)
    pixels[3, 3] = bad
    with pytest.raises(StudyReadError, match="Expected finite pixel values"):
        predictor.set_scan(Scan(pixels))


def test_an_image_without_pixels_is_refused(predictor):
    with pytest.raises(StudyReadError, match=r"got shape \(0, 5\)"):
        predictor.set_scan(Scan(np.zeros((0, 5))))


def test_provenance_says_what_is_needed_to_repeat(predictor):
    predictor.set_scan(Scan(picture((64, 64))))
    provenance = predictor.predict(None).provenance
    assert (provenance.model_name, provenance.model_version, provenance.device) == ("tiny", "1", "cpu")
    assert len(provenance.model_sha256) == 64
    assert {"napari-tmca", "torch", "transformers", "numpy", "python"} <= set(provenance.versions)
    assert provenance.network_shape == (96, 96)


def test_ten_thousand_words_are_answered(predictor):
    predictor.set_scan(Scan(picture((64, 64))))
    found = predictor.predict(parse_report("Opacity in the left lower zone of the lung. " * 1111))
    assert len(found.sentence_attention) == 1111


@pytest.mark.parametrize(
    ("name", "match"), [("tpu", "expected one of auto"), ("cuda", "not available on this machine")]
)
def test_a_missing_device_is_never_replaced_silently(name, match, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match=match):
        choose_device(name)


def test_what_the_image_alone_shows_comes_with_every_report(predictor):
    predictor.set_scan(Scan(picture((60, 90))))
    asked, alone = predictor.predict(parse_report(REPORT)), predictor.predict(None)
    np.testing.assert_array_equal(asked.image_only_logits, alone.logits)
    np.testing.assert_array_equal(asked.image_only_mask, alone.mask)
    assert len(asked.distances) == 4
    assert all(0 <= distance <= 2 for distance in asked.distances)
    assert alone.image_only_logits is None
    assert alone.distances == ()
    assert alone.agreement is None


def test_the_network_is_told_the_statement_and_maps_belong_to_the_sentences(predictor, monkeypatch):
    told = []
    tokenize = type(predictor.model.tokenizer).__call__
    monkeypatch.setattr(
        type(predictor.model.tokenizer),
        "__call__",
        lambda self, reports: told.append(reports) or tokenize(self, reports),
    )
    predictor.set_scan(Scan(picture((60, 90))))
    report = parse_report("Hazy opacity at the left base. Heart size is normal. Trachea is central.")
    found = predictor.predict(report)
    used = tuple(report.sentences[i].text for i in report.used)
    assert told[0] == [told_sentences(report), used]
    assert told_sentences(report) == ("unilateral pulmonary infection, lower left lung.",)
    assert len(found.sentence_attention) == len(used) > 1


def test_uncalibrated_weights_know_no_agreement(predictor):
    predictor.set_scan(Scan(picture((60, 90))))
    assert predictor.predict(parse_report(REPORT)).agreement is None


@pytest.mark.parametrize("shape", [(60, 90), (5, 40, 50)])
def test_agreement_follows_the_evidence_and_warns_when_low(folder, shape):
    predictor = Predictor.load(folder, device="cpu")
    predictor.set_scan(Scan(picture(shape)))
    asked = predictor.predict(parse_report(REPORT))
    assert asked.evidence[:4] == asked.distances
    judge = Agreement(1.0, (-2.0, 0.0, 0.0, 1.0, 0.5, 0.5, -1.0, 0.1), warning=0.0)
    for warning in (0.0, 1.0):
        calibration = Calibration(2.0, replace(judge, warning=warning))
        predictor.info = replace(predictor.info, calibration=calibration)
        predictor.set_scan(Scan(picture(shape)))
        found = predictor.predict(parse_report(REPORT))
        assert found.agreement == pytest.approx(judge.of(asked.evidence), rel=1e-4)
        assert any("hardly go together" in message for message in found.messages) is bool(warning)


def test_the_temperature_divides_the_logits(folder):
    predictor = Predictor.load(folder, device="cpu")
    predictor.set_scan(Scan(picture((60, 90))))
    before = predictor.predict(parse_report(REPORT))
    predictor.info = replace(predictor.info, calibration=Calibration(2.0))
    after = predictor.predict(parse_report(REPORT))
    np.testing.assert_allclose(after.logits, before.logits / 2, rtol=1e-5)


def test_confidence_is_the_dice_that_the_probabilities_expect(predictor):
    predictor.set_scan(Scan(picture((60, 90))))
    found = predictor.predict(None)
    sure = replace(found, logits=np.where(np.arange(90) < 40, 20.0, -20.0) * np.ones((60, 1)))
    assert sure.confidence == pytest.approx(1.0, abs=1e-6)
    unsure = replace(found, logits=np.zeros((60, 90)), threshold=0.5)
    assert unsure.confidence == pytest.approx(2 / 3)
    empty = replace(found, logits=np.full((60, 90), -20.0))
    assert empty.confidence == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("side", ["", "left"])
def test_a_coloured_picture_and_its_mirror_image_are_answered_alike(predictor, side):
    pixels = picture((64, 64, 3))
    answers = []
    for shown, word in ((pixels, side), (pixels[:, ::-1], side and "right")):
        predictor.set_scan(Scan(np.ascontiguousarray(shown), is_rgb=True))
        answers.append(predictor.predict(parse_report(f"One polyp at the upper {word}.") if word else None))
    first, second = answers
    np.testing.assert_allclose(first.logits, second.logits[:, ::-1], atol=1e-4)
    if side:
        np.testing.assert_allclose(first.image_only_logits, second.image_only_logits[:, ::-1], atol=1e-4)


def test_grey_pictures_are_looked_at_once_also_in_three_channels(predictor):
    grey = picture((64, 64))
    pixels = np.repeat(grey[..., None], 3, axis=-1)
    pixels[:4, :4] = (255, 0, 0)  # a mark that somebody drew
    predictor.set_scan(Scan(pixels, is_rgb=True))
    marked = predictor.predict(parse_report(REPORT))
    assert predictor._seen[0].mirrored is None
    pixels = np.repeat(grey[..., None], 3, axis=-1)
    predictor.set_scan(Scan(pixels, is_rgb=True))
    in_three = predictor.predict(parse_report(REPORT)).logits
    predictor.set_scan(Scan(grey))
    np.testing.assert_allclose(in_three, predictor.predict(parse_report(REPORT)).logits, atol=1e-4)
    assert marked.logits.shape == (64, 64)
