"""Which pictures an adapter answers for: those like the ones that it was taught. All others are its base's.

A network that learns from five breast ultrasounds has no picture at hand of what it knew before, and forgets some of
it. So an adapter is used where a scan looks, to its oldest base, like the pictures that it learned from; everything
else is seen by the base with the weights that it had. "Like" is the cosine between feature maps averaged over the
picture, as they differ from those of the pictures that are replayed: kinds of pictures (ultrasound, endoscopy,
radiographs) lie in directions of their own. Where the taught pictures differ too little from the replayed ones there is
no gate: then they are of a kind that the base knows, and replay alone has to keep the old skill.
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

ORIGIN, CENTRES = "gate.origin", "gate.centres"
# Measured on eight folders with two encoders (docs/experiments.md, 6). Ultrasound, endoscopy and microscopy differ from
# phantoms at least 2.6 times as much as phantoms differ from their mean, most radiographs less.
LEAST_COSINE = 0.7
LEAST_DIFFERENCE = 2.5


@dataclass(frozen=True, eq=False)
class Gate:
    """The kinds of pictures that an adapter was taught.

    Attributes
    ----------
    origin : NDArray[np.float16], shape (C,)
        Mean description of the replayed pictures.
    centres : NDArray[np.float16], shape (K, C)
        Direction from there to each kind, of unit length.

    """

    origin: NDArray[np.float16]
    centres: NDArray[np.float16]

    @classmethod
    def around(cls, taught: Tensor, replayed: Tensor) -> Gate | None:
        """Return the gate that lets through what is like the taught pictures, and ``None`` where none can be made.

        Parameters
        ----------
        taught, replayed : Tensor, shape (N, C) and (M, C)
            Descriptions of the pictures. Alike ones of the taught make one kind, taken in their order.

        """
        if len(taught) == 0 or len(replayed) < 2:
            return None
        origin = replayed.mean(0)
        # Few pictures lie nearer to their own mean than others of their kind do.
        spread = (replayed - origin).norm(dim=1).mean() * (len(replayed) / (len(replayed) - 1)) ** 0.5
        if (taught - origin).norm(dim=1).mean() < LEAST_DIFFERENCE * spread:
            return None
        groups: list[list[Tensor]] = []
        for one in normalize(taught - origin, dim=1):
            cosines = [float(_centre(group) @ one) for group in groups]
            if cosines and max(cosines) >= LEAST_COSINE:
                groups[int(np.argmax(cosines))].append(one)
            else:
                groups.append([one])
        centres = torch.stack([_centre(group) for group in groups])
        return cls(origin.numpy().astype(np.float16), centres.numpy().astype(np.float16))

    @classmethod
    def of(cls, tensors: Mapping[str, NDArray[np.float16]]) -> Gate | None:
        """Return the gate in an adapter's tensors; ``None`` where it has none and answers for every picture."""
        return cls(tensors[ORIGIN], tensors[CENTRES]) if ORIGIN in tensors and CENTRES in tensors else None

    def tensors(self) -> dict[str, NDArray[np.float16]]:
        """Return what an adapter file holds of it."""
        return {ORIGIN: self.origin, CENTRES: self.centres}

    def is_open(self, description: Tensor) -> bool:
        """Return whether the adapter answers for what (C,) describes."""
        origin, centres = (torch.from_numpy(x.astype(np.float32)) for x in (self.origin, self.centres))
        return bool((centres @ normalize(description.float().cpu() - origin, dim=0)).max() >= LEAST_COSINE)


def describe(features: ImageFeatures) -> Tensor:
    """Return (B, C), of unit length: the mean of each map but the coarsest over the picture, all of equal weight.

    The coarsest says what is in a picture rather than what kind of picture it is.
    """
    levels = (features.detail, *features.levels[:3])
    pooled = [normalize(level.float().mean(dim=(2, 3)), dim=1) for level in levels]
    return normalize(torch.cat(pooled, dim=1), dim=1)


def _centre(group: list[Tensor]) -> Tensor:
    return normalize(torch.stack(group).mean(0), dim=0)
