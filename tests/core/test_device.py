from __future__ import annotations

import pytest
import torch

from tmca_core.device import trains_in_bfloat16

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True, "avx2": True}, True),
        ({"amx_bf16": True}, True),
        ({"avx512_bf16": False, "amx_bf16": False, "avx2": True}, False),
        ({}, False),
    ],
)
def test_a_processor_without_instructions_for_bfloat16_trains_in_float32(capabilities, expected, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert trains_in_bfloat16("auto", CPU) is expected


def test_a_torch_that_cannot_tell_trains_in_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not trains_in_bfloat16("auto", CPU)


@pytest.mark.parametrize("name", ["bfloat16", "float32"])
def test_what_is_chosen_is_taken(name):
    assert trains_in_bfloat16(name, CPU) is (name == "bfloat16")
