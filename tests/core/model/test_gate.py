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


def test_a_gate_comes_back_from_an_adapter_as_it_was():
    gate = Gate.around(around(1, 4, seed=2), KNOWN)
    assert gate is not None
    back = Gate.of(gate.tensors())
    assert back is not None
    assert np.array_equal(back.origin, gate.origin)
    assert np.array_equal(back.centres, gate.centres)
    assert Gate.of({}) is None


def test_a_description_is_of_unit_length_and_does_not_depend_on_the_batch():
    torch.manual_seed(0)
    model = build_tmca_tiny()[0].eval()
    images = torch.randn(3, 3, 64, 64)
    with torch.inference_mode():
        together = describe(model.encode_image(images))
        alone = describe(model.encode_image(images[1:2]))
    assert torch.allclose(together.norm(dim=1), torch.ones(3), atol=1e-5)
    assert torch.allclose(together[1], alone[0], atol=1e-5)
