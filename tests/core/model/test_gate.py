from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import normalize

from tmca_core.model.build import build_tmca_tiny
from tmca_core.model.gate import Gate, describe


def around(direction, n, seed, spread=0.1):
    torch.manual_seed(seed)
    return normalize(torch.nn.functional.one_hot(torch.tensor(direction), 40) + spread * torch.randn(n, 40) / 40**0.5)


KNOWN = around(0, 8, seed=1)


def test_like_ones_pass_and_others_do_not():
    gate = Gate.around(around(1, 4, seed=2), KNOWN)
    assert gate is not None
    assert all(gate.is_open(one) for one in around(1, 10, seed=3))
    assert not any(gate.is_open(one) for one in (*around(0, 10, seed=4), *around(2, 10, seed=5)))


def test_two_kinds_that_were_taught_both_pass_and_what_lies_between_the_known_ones_does_not():
    gate = Gate.around(torch.cat([around(1, 3, seed=2), around(2, 3, seed=3)]), KNOWN)
    assert gate is not None
    assert gate.centres.shape == (2, 40)
    assert all(gate.is_open(one) for one in (*around(1, 5, seed=4), *around(2, 5, seed=5)))
    assert not any(gate.is_open(one) for one in around(3, 5, seed=6))


def test_no_gate_is_made_of_nothing_or_of_what_is_known():
    taught = around(1, 4, seed=2)
    assert Gate.around(taught[:0], KNOWN) is None
    assert Gate.around(taught, KNOWN[:1]) is None
    assert Gate.around(around(0, 4, seed=9), KNOWN) is None


def test_reports_that_are_like_the_taught_ones_pass_and_known_ones_do_not():
    known = torch.cat([around(0, 8, seed=1), around(1, 8, seed=2)])
    gate = Gate.around_words(around(2, 6, seed=3), known)
    assert gate is not None
    assert gate.is_of_words
    assert all(gate.is_open(one) for one in around(2, 10, seed=4))
    assert not any(gate.is_open(one) for one in (*around(0, 10, seed=5), *around(1, 10, seed=6), *around(3, 5, seed=7)))


def test_a_report_nearer_to_a_known_one_does_not_pass():
    between = normalize(around(2, 1, seed=4, spread=0.0) + 0.75 * around(1, 1, seed=4, spread=0.0))[0]
    known = torch.cat([around(0, 8, seed=1), around(1, 8, seed=2)])
    gate = Gate.around_words(around(2, 6, seed=3), known)
    assert gate is not None
    assert gate.is_open(between)
    stricter = Gate.around_words(around(2, 6, seed=3), torch.cat([known, between[None]]))
    assert stricter is not None
    assert not stricter.is_open(between)


def test_a_gate_on_words_is_not_made_of_reports_that_are_all_different_or_known():
    known = torch.cat([around(0, 8, seed=1), around(1, 8, seed=2)])
    assert Gate.around_words(torch.cat([around(i, 1, seed=i) for i in range(2, 8)]), known) is None
    assert Gate.around_words(known[:4], known) is None
    assert Gate.around_words(known[:0], known) is None


def test_a_picture_without_a_report_does_not_pass_a_gate_on_words():
    gate = Gate.around_words(around(2, 6, seed=3), torch.cat([around(0, 8, seed=1), around(1, 8, seed=2)]))
    assert gate is not None
    assert gate.lets_through(KNOWN[0], around(2, 1, seed=4)[0])
    assert not gate.lets_through(KNOWN[0], None)


def test_a_gate_comes_back_from_an_adapter_as_it_was():
    gate = Gate.around(around(1, 4, seed=2), KNOWN)
    assert gate is not None
    back = Gate.of(gate.tensors())
    assert back is not None
    assert np.array_equal(back.origin, gate.origin)
    assert np.array_equal(back.centres, gate.centres)
    assert back.known is None
    assert Gate.of({}) is None


def test_a_gate_on_words_comes_back_from_an_adapter_as_it_was():
    gate = Gate.around_words(around(2, 6, seed=3), torch.cat([around(0, 8, seed=1), around(1, 8, seed=2)]))
    assert gate is not None
    back = Gate.of(gate.tensors())
    assert back is not None
    assert back.is_of_words
    assert back.known is not None
    assert np.array_equal(back.known, gate.known)


def test_a_description_is_of_unit_length_and_does_not_depend_on_the_batch():
    torch.manual_seed(0)
    model = build_tmca_tiny()[0].eval()
    images = torch.randn(3, 3, 64, 64)
    with torch.inference_mode():
        together = describe(model.encode_image(images))
        alone = describe(model.encode_image(images[1:2]))
    assert torch.allclose(together.norm(dim=1), torch.ones(3), atol=1e-5)
    assert torch.allclose(together[1], alone[0], atol=1e-5)
