"""Folding batch normalisation changes the speed and nothing else."""

import copy

import torch
from torch import nn

from tmca_core.model.blocks import ConvNeXtBlock
from tmca_core.model.build import build_tmca_tiny
from tmca_core.model.fold import fold_batch_norms


def _lived_in(model):
    """Give every normalisation statistics and gains of its own."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(generator=generator)
            module.running_var.uniform_(0.5, 2.0, generator=generator)
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.normal_(generator=generator)
    return model.eval()


def test_a_folded_network_answers_the_same():
    torch.manual_seed(0)
    model = _lived_in(build_tmca_tiny()[0])
    folded = copy.deepcopy(model)
    fold_batch_norms(folded)
    assert not [m for m in folded.modules() if isinstance(m, nn.BatchNorm2d)]
    image = torch.randn(2, 3, 70, 90)
    tokens = model.tokenizer([("Opacity in the left lower zone.",), ()])
    with torch.inference_mode():
        expected, found = model(image, tokens), folded(image, tokens)
    torch.testing.assert_close(found.logits, expected.logits, atol=1e-4, rtol=1e-4)


def test_a_block_is_folded_whole():
    block = _lived_in(ConvNeXtBlock(8, kernel_size=3))
    x = torch.randn(1, 8, 9, 9)
    with torch.inference_mode():
        expected = block(x)
        fold_batch_norms(block)
        torch.testing.assert_close(block(x), expected, atol=1e-5, rtol=1e-5)
