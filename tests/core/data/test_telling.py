"""What the network is told while it trains, and which pictures are mirrored."""

import pytest
import torch

from tmca_core.data.augment import AugmentConfig, augment
from tmca_core.data.loader import Sample
from tmca_core.data.telling import Teller, TellingConfig
from tmca_core.report import parse_report, read_facts, swap_facts

LEFT = "unilateral pulmonary infection, one infected area, lower left lung."
RIGHT = "unilateral pulmonary infection, one infected area, upper right lung."
STILL = AugmentConfig(scale=0, rotate=0, shift=0, gamma=0, brightness=0, contrast=0, noise=0)


def _sample(text, *, instruction="", target="", source=0):
    report = parse_report(text)
    sentences = tuple(report.sentences[i].text for i in report.used)
    nothing = torch.zeros(1, 4, 4, dtype=torch.uint8)
    return Sample(nothing, nothing, sentences, read_facts(report), instruction, target, source)


def _tell(samples, config, *, mirrored=False, among=None):
    teller = Teller(among or samples, TellingConfig(**{"dropout": 0.0, **config}))
    return teller.tell(samples, [mirrored] * len(samples), torch.Generator().manual_seed(0))


def _facts_of(told):
    return read_facts(parse_report(" ".join(told.sentences)))


def test_its_own_report_by_default():
    (told,) = _tell([_sample(LEFT)], {})
    assert told.sentences == (LEFT,)
    assert not told.is_denied


def test_dropout_tells_nothing():
    assert all(told.sentences == () for told in _tell([_sample(LEFT)] * 20, {"dropout": 0.999999}))


def test_an_instruction_leads_and_can_stand_alone():
    sample = _sample(LEFT, instruction="Target: lungs.")
    (led,) = _tell([sample], {})
    assert led.sentences == ("Target: lungs.", LEFT)
    (alone,) = _tell([sample], {"instruction_only": 0.999})
    assert alone.sentences == ("Target: lungs.",)


def test_a_mismatch_comes_from_the_same_folder_and_target():
    lungs, opacity = _sample(LEFT, target="lungs"), _sample(RIGHT, target="opacity")
    elsewhere = _sample("Polyp.", target="lungs", source=1)
    told = _tell([lungs] * 30, {"mismatch": 0.999}, among=[lungs, opacity, elsewhere])
    assert {one.sentences for one in told} == {(LEFT,)}
    other = _sample(RIGHT, target="lungs")
    told = _tell([lungs] * 30, {"mismatch": 0.999}, among=[lungs, other])
    assert {one.sentences for one in told} == {(LEFT,), (RIGHT,)}


def test_of_two_mismatches_the_farther_is_told():
    near, far = "Opacity in the left lung.", "Bilateral opacities in all zones."
    told = _tell([_sample(LEFT)] * 200, {"mismatch": 0.999}, among=[_sample(LEFT), _sample(near), _sample(far)])
    counts = {text: sum(one.sentences == (text,) for one in told) for text in (LEFT, near, far)}
    assert counts[far] > counts[near] > counts[LEFT] > 0


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_rewritten_report_keeps_side_and_zone(mirrored):
    facts = read_facts(parse_report(LEFT))
    (places,) = {f.places for f in (swap_facts(facts) if mirrored else facts)}
    told = _tell([_sample(LEFT)] * 60, {"rewrite": 0.999}, mirrored=mirrored)
    assert len({one.sentences for one in told}) > 40
    for one in told:
        (found,) = [f for f in _facts_of(one) if f.kind == "opacity"]
        assert {p.side for p in found.places} == {p.side for p in places}
        assert {p.zones for p in found.places} <= {frozenset(), *(p.zones for p in places)}


def test_a_report_that_states_more_than_opacities_is_never_rewritten():
    sentences = ("Opacity in the left lower zone.", "Right pneumothorax.")
    told = _tell([_sample(" ".join(sentences))] * 10, {"rewrite": 0.999, "denied": 0.999})
    assert {one.sentences for one in told} == {sentences}


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_statement_is_told_in_the_place_of_the_words(mirrored):
    sample = _sample("Patchy consolidation at the left base.", instruction="Target: opacity.")
    (told,) = _tell([sample], {"statement": 1.0}, mirrored=mirrored)
    side = "right" if mirrored else "left"
    assert told.sentences == ("Target: opacity.", f"unilateral pulmonary infection, lower {side} lung.")
    rewritten = _tell([_sample(LEFT)] * 30, {"statement": 1.0, "rewrite": 0.999}, mirrored=mirrored)
    assert len({one.sentences[-1] for one in rewritten}) <= 4  # with or without number and zone
    for one in rewritten:
        (found,) = [f for f in _facts_of(one) if f.kind == "opacity"]
        assert {place.side for place in found.places} == {side}


def test_denied_reports_deny_opacities():
    for told in _tell([_sample(LEFT)] * 40, {"denied": 0.999}):
        assert told.is_denied
        assert "denied" in {f.certainty for f in _facts_of(told) if f.kind == "opacity"}


def test_a_mirrored_picture_has_its_sides_exchanged():
    (told,) = _tell([_sample(LEFT)], {}, mirrored=True)
    assert told.sentences == (LEFT.replace("left", "right"),)


def test_the_same_seed_tells_the_same():
    config = {"dropout": 0.2, "mismatch": 0.2, "rewrite": 0.5, "denied": 0.1}
    samples = [_sample(LEFT), _sample(RIGHT)] * 10
    assert _tell(samples, config) == _tell(samples, config)


def test_a_mirrored_picture_is_mirrored_with_its_mask():
    images = torch.arange(3 * 8 * 8).float().view(1, 3, 8, 8).repeat(2, 1, 1, 1) / 192
    masks = (images[:, :1] > 0.1).float()
    moved, moved_masks, mirrored = augment(
        images, masks, STILL.model_copy(update={"flip": 1.0}), torch.Generator().manual_seed(0)
    )
    assert mirrored == [True, True]
    torch.testing.assert_close(moved, images.flip(-1), atol=1e-5, rtol=0)
    torch.testing.assert_close(moved_masks, masks.flip(-1))


def test_half_of_the_pictures_are_mirrored():
    images = torch.rand(400, 3, 2, 2)
    *_, mirrored = augment(
        images, images[:, :1], STILL.model_copy(update={"flip": 0.5}), torch.Generator().manual_seed(0)
    )
    assert 150 < sum(mirrored) < 250
