"""Where a model answers for what it knew before, it goes no farther from it than most of the gain needs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tmca_core.model.adapter import merge_adapter, scaled_tensors
from tmca_core.model.checkpoint import load_model
from tmca_core.recipes.share import SHARES, choose_share

NOTHING = dict.fromkeys(SHARES, 0.0)


def by_share(*values):
    return dict(zip(SHARES, values, strict=True))


def test_the_smallest_share_that_keeps_most_of_the_gain_is_taken():
    assert choose_share(by_share(0.05, 0.12, 0.19, 0.2, 0.2), NOTHING) == 0.7
    assert choose_share(by_share(0.05, 0.1, 0.15, 0.18, 0.21), NOTHING) == 1.0
    assert choose_share(by_share(0.01, 0.3, 0.15, 0.1, -0.1), NOTHING) == 0.5


def test_shares_that_are_worse_on_the_reference_set_are_out():
    forgotten = by_share(-0.01, 0.0, 0.004, 0.02, 0.05)
    assert choose_share(by_share(0.05, 0.1, 0.15, 0.18, 0.21), forgotten) == 0.7


def test_where_all_are_worse_on_the_reference_set_the_best_of_both_counts():
    assert choose_share(by_share(0.01, 0.05, 0.1, 0.2, 0.3), dict.fromkeys(SHARES, 0.1)) == 1.0
    assert choose_share(by_share(0.02, 0.2, 0.1, 0.2, 0.1), by_share(0.01, 0.1, 0.1, 0.2, 0.1)) == 0.5


def test_what_only_harms_is_judged_as_it_is():
    assert choose_share(NOTHING, NOTHING) == 1.0
    assert choose_share(by_share(-0.1, -0.2, -0.3, -0.3, -0.4), NOTHING) == 1.0
    assert choose_share(by_share(0.01, -0.2, -0.3, -0.3, -0.4), dict.fromkeys(SHARES, 0.1)) == 1.0


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_an_adapter_goes_a_share_of_the_way(base, share):
    torch.manual_seed(0)
    model = load_model(base)[0]
    name = next(n for n, p in model.named_parameters() if n.startswith("decoder.") and p.ndim == 2)
    start, bias = (dict(model.named_parameters())[key].detach().clone() for key in (name, "to_align.bias"))
    up, down = torch.randn(start.shape[0], 2), torch.randn(2, start.shape[1])
    learned = {f"{name}.lora_up": up, f"{name}.lora_down": down, "to_align.bias": bias + 1.0}
    tensors = scaled_tensors({key: value.numpy().astype(np.float16) for key, value in learned.items()}, model, share)
    merge_adapter(model, tensors, "some way")
    merged = dict(model.named_parameters())
    assert torch.allclose(merged[name], start + share * (up @ down), atol=2e-2)
    assert torch.allclose(merged["to_align.bias"], bias + share, atol=2e-3)
