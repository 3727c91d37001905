"""What was learned from one kind of pictures, or of words, is used for that kind; all else is answered as before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tmca_core.data.corrected import CorrectedCase, GivenCases
from tmca_core.model.adapter_file import ADAPTER, read_adapter
from tmca_core.model.checkpoint import generations, load_model, read_manifest
from tmca_core.model.gate import Gate
from tmca_core.phantom import make_phantom
from tmca_core.predictor import Predictor
from tmca_core.recipes.finetune import FinetuneConfig, finetune
from tmca_core.recipes.share import SHARES
from tmca_core.report import parse_report

REPORT = parse_report("Opacity in the left lung.")
NEW_TARGET = parse_report("A mass.")


def striped(seed, *, across=False):
    """Return a picture of a kind that no phantom resembles."""
    noise = 0.1 * np.random.default_rng(seed).random((64, 64))
    stripes = np.tile((np.arange(64) // 4) % 2, (64, 1))
    pixels = 0.8 * (stripes.T if across else stripes) + noise
    return replace(make_phantom(seed, shape=(64, 64)).scan, pixels=(255 * pixels).astype(np.uint8))


def cases_of(scans, text):
    mask = np.zeros((64, 64), bool)
    mask[16:40, 10:30] = True
    return GivenCases(tuple(CorrectedCase(f"c{i}", f"patient {i}", scan, mask, text) for i, scan in enumerate(scans)))


def learn(base, out, scans, text="A mass.", **changes):
    values = {"num_epochs": 2, "steps_per_epoch": 3, "batch_size": 4, "num_phantoms": 6, "num_reference": 3}
    values |= {"device": "cpu", "threads": 1, "precision": "float32", "learning_rate": 1e-2} | changes
    return list(finetune(FinetuneConfig(out=out, model=str(base), **values), cases_of(scans, text)))[-1]


@pytest.fixture(scope="module")
def taught(base, tmp_path_factory):
    """The base after five striped pictures."""
    return learn(base, tmp_path_factory.mktemp("taught") / "tiny-2", [striped(i) for i in range(5)])


def last_value(steps):
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


@pytest.fixture(scope="module")
def taught_in_words(base, tmp_path_factory):
    """The base after five phantoms with a target that it did not know."""
    phantoms = [make_phantom(i, shape=(64, 64)).scan for i in range(5)]
    return learn(base, tmp_path_factory.mktemp("taught_in_words") / "tiny-2", phantoms)


def answer(predictor, scan, report=REPORT):
    predictor.set_scan(scan)
    return predictor.predict(report)


def test_pictures_of_another_kind_are_answered_as_before_bit_by_bit(base, taught):
    old, new = Predictor.load(base, device="cpu"), Predictor.load(taught.folder, device="cpu")
    for seed in (7, 8):  # in turn: one scan's choice must not stay for the next
        phantom, stripes = make_phantom(seed, shape=(64, 64)).scan, striped(seed)
        kept, learned = answer(new, phantom), answer(new, stripes)
        assert np.array_equal(kept.logits, answer(old, phantom).logits)
        assert any("tiny-2 learned from: tiny answered" in message for message in kept.messages)
        assert kept.provenance.model_name == "tiny"
        assert kept.provenance.model_sha256 == old.info.weights_sha256
        assert learned.provenance.model_name == "tiny-2"
        assert not np.allclose(learned.logits, answer(old, stripes).logits, atol=1e-3)
        assert not any("answered" in message for message in learned.messages)


def test_words_and_features_come_from_the_network_that_answers(base, taught):
    old, new = Predictor.load(base, device="cpu"), Predictor.load(taught.folder, device="cpu")
    for predictor in (old, new):
        predictor.set_scan(make_phantom(7, shape=(64, 64)).scan)
    assert np.array_equal(old.pooled_features(), new.pooled_features())
    words = []
    for predictor in (old, new):
        predictor.set_scan(make_phantom(7, shape=(64, 64)).scan)
        words.append(last_value(predictor.word_attention_steps(REPORT, 0)))
    for old_maps, new_maps in zip(words[0].maps, words[1].maps, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(old_maps, new_maps, strict=True))


def test_a_volume_is_answered_for_as_a_whole(base, taught):
    planes = np.stack([striped(i).pixels for i in range(3)])
    volume = replace(striped(0), pixels=planes, spacing_mm=None, affine_ras=None)
    new = answer(Predictor.load(taught.folder, device="cpu"), volume)
    assert not np.allclose(new.logits, answer(Predictor.load(base, device="cpu"), volume).logits, atol=1e-3)


def test_what_is_judged_is_what_the_user_will_get(base, taught):
    assert taught.comparison.reference_after == taught.comparison.reference_before
    assert read_manifest(taught.folder).figures["reference"]["dice_after"] == taught.comparison.reference_after


def test_a_known_kind_with_known_words_has_no_gate(base, tmp_path):
    phantoms = [make_phantom(i, shape=(64, 64)).scan for i in range(5)]
    finished = learn(base, tmp_path / "tiny-2", phantoms, text="Opacity in the left lower lung.")
    assert Gate.of(read_adapter(finished.folder / ADAPTER)[0]) is None
    assert read_manifest(finished.folder).training["share"] in SHARES
    new = answer(Predictor.load(finished.folder, device="cpu"), make_phantom(7, shape=(64, 64)).scan)
    assert not any("answered" in message for message in new.messages)


def test_a_known_kind_without_words_has_no_gate(base, tmp_path):
    phantoms = [make_phantom(i, shape=(64, 64)).scan for i in range(5)]
    finished = learn(base, tmp_path / "tiny-2", phantoms, text="")
    assert Gate.of(read_adapter(finished.folder / ADAPTER)[0]) is None


def test_a_new_target_in_a_known_kind_is_answered_and_the_old_ones_as_before_bit_by_bit(base, taught_in_words):
    old, new = Predictor.load(base, device="cpu"), Predictor.load(taught_in_words.folder, device="cpu")
    scan = make_phantom(7, shape=(64, 64)).scan
    kept = answer(new, scan)
    assert np.array_equal(kept.logits, answer(old, scan).logits)
    assert np.array_equal(kept.image_only_logits, answer(old, scan).image_only_logits)
    assert any("No sentence is like those that tiny-2 learned from: tiny answered" in m for m in kept.messages)
    assert kept.provenance.model_name == "tiny"
    assert np.array_equal(answer(new, scan, None).logits, answer(old, scan, None).logits)


def test_the_words_choose_anew_for_every_report_of_a_scan(base, taught_in_words):
    old, new = Predictor.load(base, device="cpu"), Predictor.load(taught_in_words.folder, device="cpu")
    scan = make_phantom(7, shape=(64, 64)).scan
    new.set_scan(scan)
    answers = [new.predict(report) for report in (REPORT, NEW_TARGET, REPORT, NEW_TARGET)]
    assert [one.provenance.model_name for one in answers] == ["tiny", "tiny-2"] * 2
    assert np.array_equal(answers[0].logits, answers[2].logits)
    assert np.array_equal(answers[1].logits, answers[3].logits)
    assert not np.allclose(answers[1].logits, answer(old, scan, NEW_TARGET).logits, atol=1e-3)
    words = last_value(new.word_attention_steps(REPORT, 0))
    old.set_scan(scan)
    before = last_value(old.word_attention_steps(REPORT, 0))
    for old_maps, new_maps in zip(before.maps, words.maps, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(old_maps, new_maps, strict=True))


def test_nothing_is_forgotten_under_words_that_were_not_taught(taught_in_words):
    assert taught_in_words.comparison.reference_after == taught_in_words.comparison.reference_before
    assert read_manifest(taught_in_words.folder).training["share"] == 1.0


def test_after_words_a_kind_of_pictures_can_be_taught(base, taught_in_words, tmp_path):
    next_one = learn(taught_in_words.folder, tmp_path / "tiny-3", [striped(i) for i in range(5)])
    gates = [gate for gate, _ in generations(read_manifest(next_one.folder))]
    assert [gate and gate.is_of_words for gate in gates] == [False, True, None]
    new, scan = Predictor.load(next_one.folder, device="cpu"), make_phantom(7, shape=(64, 64)).scan
    for report, older in ((REPORT, base), (NEW_TARGET, taught_in_words.folder)):
        before = answer(Predictor.load(older, device="cpu"), scan, report)
        assert np.array_equal(answer(new, scan, report).logits, before.logits)


def test_without_anything_replayed_there_is_no_gate(base, tmp_path):
    finished = learn(base, tmp_path / "tiny-2", [striped(0), striped(1)], num_phantoms=0, num_epochs=1)
    assert Gate.of(read_adapter(finished.folder / ADAPTER)[0]) is None


def test_what_is_learned_next_leaves_what_was_learned_before(base, taught, tmp_path):
    next_one = learn(taught.folder, tmp_path / "tiny-3", [striped(i, across=True) for i in range(5)])
    names = [(gate is not None, info.name) for gate, info in generations(read_manifest(next_one.folder))]
    assert names == [(True, "tiny-3"), (True, "tiny-2"), (False, "tiny")]
    new = Predictor.load(next_one.folder, device="cpu")
    for older, scan in ((taught.folder, striped(7)), (base, make_phantom(7, shape=(64, 64)).scan)):
        assert np.array_equal(answer(new, scan).logits, answer(Predictor.load(older, device="cpu"), scan).logits)
    loaded = load_model(next_one.folder)[0]
    assert not torch.equal(loaded.decoder.head.weight, load_model(taught.folder)[0].decoder.head.weight)


def test_before_is_what_answers_today_and_not_what_is_trained_on(base, taught, tmp_path):
    phantoms = [make_phantom(i, shape=(64, 64)).scan for i in range(5)]
    again = learn(taught.folder, tmp_path / "tiny-3", phantoms, num_epochs=1).comparison
    afresh = learn(base, tmp_path / "tiny-2", phantoms, num_epochs=1).comparison
    assert again.dice_before == afresh.dice_before
    assert again.reference_before == afresh.reference_before
