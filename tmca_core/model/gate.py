"""Which pictures an adapter answers for: those like the ones that it was taught. All others are its base's.

A network that learns from five breast ultrasounds has no picture at hand of what it knew before, and forgets some of
it. So an adapter is used where a scan looks, to its first base, like the pictures that it learned from; the base sees
everything else with the weights that it had. "Like" is the cosine between feature maps averaged over the picture, level
by level: features of kinds of pictures (ultrasound, radiograph, endoscopy) lie far apart, those of one kind together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import normalize

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from tmca_core.model.image_encoder import ImageFeatures

CENTRES = "gate.centres"
# Measured with EfficientNet-Lite0 on eight kinds of pictures: cosines within a kind are 0.73 to 0.99, those of breast
# ultrasound with radiographs, magnetic resonance, endoscopy and microscopy at most 0.66.
LEAST_COSINE = 0.7
LEAST_COSINE_OF_A_GROUP = 0.8


@dataclass(frozen=True, eq=False)
class Gate:
    """The kinds of pictures that an adapter was taught.

    Attributes
    ----------
    centres : NDArray[np.float16], shape (K, C)
        Mean description of each kind, of unit length.

    """

    centres: NDArray[np.float16]

    @classmethod
    def around(cls, descriptions: Tensor) -> Gate:
        """Return the gate of (N, C) descriptions of taught pictures: alike ones make one kind, in their order."""
        groups: list[list[Tensor]] = []
        for one in descriptions.float().cpu():
            cosines = [float(_centre(group) @ one) for group in groups]
            if cosines and max(cosines) >= LEAST_COSINE_OF_A_GROUP:
                groups[int(np.argmax(cosines))].append(one)
            else:
                groups.append([one])
        return cls(np.stack([_centre(group).numpy() for group in groups]).astype(np.float16))

    @classmethod
    def of(cls, tensors: Mapping[str, NDArray[np.float16]]) -> Gate | None:
        """Return the gate in an adapter's tensors; ``None`` where it has none and answers for every picture."""
        return cls(tensors[CENTRES]) if CENTRES in tensors else None

    def is_open(self, description: Tensor) -> bool:
        """Return whether the adapter answers for what (C,) describes."""
        centres = torch.from_numpy(self.centres.astype(np.float32))
        return bool((centres @ normalize(description.float().cpu(), dim=0)).max() >= LEAST_COSINE)


def describe(features: ImageFeatures) -> Tensor:
    """Return (B, C), of unit length: each level's mean over the picture, all levels with equal weight."""
    levels = (features.detail, *features.levels)
    pooled = [normalize(level.float().mean(dim=(2, 3)), dim=1) for level in levels]
    return normalize(torch.cat(pooled, dim=1), dim=1)


def _centre(group: list[Tensor]) -> Tensor:
    return normalize(torch.stack(group).mean(0), dim=0)
