from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from tmca_core.report import Choice, Choices, choices_from_json, choices_in, overrule, parse_report, uses_of

TEXT = "Consolidation in the left lower zone. No pleural effusion. Comparison: none.\n"


def test_a_sentence_that_is_given_denies_nothing_and_one_kept_back_is_not_used():
    report = parse_report(TEXT)
    texts = [sentence.text for sentence in report.sentences]
    changed = overrule(report, {texts[0]: False, texts[1]: True, "nowhere in it": True})
    assert (0 in report.used, 1 in report.used) == (True, False)
    assert (0 in changed.used, 1 in changed.used) == (False, True)
    assert changed.text == report.text


def test_choices_come_back_for_the_same_text_and_for_no_other():
    report = parse_report(TEXT)
    use = {report.sentences[1].text: True, "nowhere in it": False}
    kept = choices_from_json(json.loads(json.dumps(asdict(choices_in(report, use)))))
    assert [(c.start, c.end, c.use) for c in kept.made] == [(report.sentences[1].start, report.sentences[1].end, True)]
    assert uses_of(TEXT, kept) == {report.sentences[1].text: True}
    assert uses_of(TEXT.replace("left", "right"), kept) == {}


def test_no_choice_is_no_choice_whatever_the_text():
    assert choices_in(parse_report(TEXT), {}) == choices_in(parse_report("Clear lungs."), {}) == Choices()


def test_choices_hold_none_of_the_words():
    report = parse_report("Mr Canary has a consolidation.")
    kept = choices_in(report, {report.sentences[0].text: False})
    assert "Canary" not in json.dumps(asdict(kept))


@pytest.mark.parametrize(
    "values", [None, [], {"made": []}, {"report_sha256": "", "made": [{"start": -1, "end": 2, "use": True}]}]
)
def test_something_else_is_refused(values):
    with pytest.raises(ValueError, match="choices of sentences"):
        choices_from_json(values)


def test_choices_are_values():
    assert Choices("a", (Choice(0, 3, True),)) == Choices("a", (Choice(0, 3, True),))
    assert not Choices()
