"""Batch normalisation folded into the convolution before it: the same answer with fewer passes over memory."""

from __future__ import annotations

from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tmca_core.model.blocks import ConvNeXtBlock


def fold_batch_norms(model: nn.Module) -> None:
    """Fold every batch normalisation of ``model`` into its convolution, in place; for inference only.

    Answers change by rounding alone. The folded network can be neither trained nor saved in its layout any more.
    """
    for module in list(model.modules()):
        if isinstance(module, ConvNeXtBlock) and isinstance(module.norm, nn.BatchNorm2d):
            module.depthwise = fuse_conv_bn_eval(module.depthwise, module.norm)
            module.norm = nn.Identity()
        elif isinstance(module, nn.Sequential):
            for first, second in pairwise(range(len(module))):
                conv, norm = module[first], module[second]
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    module[first], module[second] = fuse_conv_bn_eval(conv, norm), nn.Identity()
