"""Which scans and reports an adapter answers for: those like the ones that it was taught. All others are its base's.

A network that learns from five breast ultrasounds has no picture at hand of what it knew before, and forgets some of
it. So an adapter is used where a scan looks, to its oldest base, like the pictures that it learned from; everything
else is seen by the base with the weights that it had. "Like" is the cosine between feature maps averaged over the
picture, as they differ from those of the pictures that are replayed: kinds of pictures (ultrasound, endoscopy,
radiographs) lie in directions of their own.

Where the taught pictures differ too little from the replayed ones, a new target may have been taught in pictures of a
known kind: rib fractures in radiographs. Then it is the words that tell, in the same way: the adapter answers where a
report is like those of the taught cases, and less like every known one. Where words do not tell, either, there is no
gate: the adapter answers for everything, and replay alone has to keep the old skill.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import normalize

from tmca_core.model.blocks import masked_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from tmca_core.model.image_encoder import ImageFeatures
    from tmca_core.model.text_encoder import ReportEmbedding

ORIGIN, CENTRES, KNOWN = "gate.origin", "gate.centres", "gate.known"
# Measured on eight folders with two encoders (docs/experiments.md, 6). Ultrasound, endoscopy and microscopy differ from
# phantoms at least 2.6 times as much as phantoms differ from their mean, most radiographs less.
LEAST_COSINE = 0.7
LEAST_DIFFERENCE = 2.5
# Measured on reports of rib fractures, of structures and of opacities (there, too). A report that stands alone among
# the taught ones makes no kind: whoever writes that freely cannot be told from others.
LEAST_COSINE_OF_WORDS = 0.6
LEAST_SHARE_IN_KINDS = 0.9


@dataclass(frozen=True, eq=False)
class Gate:
    """The kinds of pictures, or of reports, that an adapter was taught.

    Attributes
    ----------
    origin : NDArray[np.float16], shape (C,)
        Mean description of the replayed pictures, or of the known reports.
    centres : NDArray[np.float16], shape (K, C)
        Direction from there to each kind, of unit length.
    known : NDArray[np.float16], shape (M, C), or None
        Directions of the known reports, of a gate on words; ``None`` of one on pictures.

    """

    origin: NDArray[np.float16]
    centres: NDArray[np.float16]
    known: NDArray[np.float16] | None = None

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
        centres = torch.stack([_centre(group) for group in _kinds(normalize(taught - origin, dim=1))])
        return cls(_half(origin), _half(centres))

    @classmethod
    def around_words(cls, taught: Tensor, known: Tensor) -> Gate | None:
        """Return the gate that lets through what is like the taught reports, and ``None`` where none can be made.

        Parameters
        ----------
        taught, known : Tensor, shape (N, C) and (M, C)
            Descriptions of the reports.

        """
        if len(taught) == 0 or len(known) < 2:
            return None
        origin = known.mean(0)
        groups = [group for group in _kinds(normalize(taught - origin, dim=1)) if len(group) > 1]
        if sum(map(len, groups)) < LEAST_SHARE_IN_KINDS * len(taught):
            return None
        centres = torch.stack([_centre(group) for group in groups])
        gate = cls(_half(origin), _half(centres), _half(normalize(known - origin, dim=1)))
        passing = sum(gate.is_open(one) for one in taught)
        return gate if passing >= LEAST_SHARE_IN_KINDS * len(taught) else None

    @classmethod
    def of(cls, tensors: Mapping[str, NDArray[np.float16]]) -> Gate | None:
        """Return the gate in an adapter's tensors; ``None`` where it has none and answers for everything."""
        if ORIGIN not in tensors or CENTRES not in tensors:
            return None
        return cls(tensors[ORIGIN], tensors[CENTRES], tensors.get(KNOWN))

    def tensors(self) -> dict[str, NDArray[np.float16]]:
        """Return what an adapter file holds of it."""
        return {ORIGIN: self.origin, CENTRES: self.centres} | ({} if self.known is None else {KNOWN: self.known})

    @property
    def is_of_words(self) -> bool:
        """Whether reports are asked for, not pictures."""
        return self.known is not None

    def is_open(self, description: Tensor) -> bool:
        """Return whether the adapter answers for what (C,) describes: a picture, or a report (see ``is_of_words``)."""
        origin, centres = _full(self.origin), _full(self.centres)
        direction = normalize(description.float().cpu() - origin, dim=0)
        cosine = float((centres @ direction).max())
        if self.known is None:
            return cosine >= LEAST_COSINE
        return cosine >= LEAST_COSINE_OF_WORDS and cosine > float((_full(self.known) @ direction).max())

    def lets_through(self, picture: Tensor, words: Tensor | None) -> bool:
        """Return whether the adapter answers for a picture with a report, or with none; (C,) each."""
        if not self.is_of_words:
            return self.is_open(picture)
        return words is not None and self.is_open(words)


def describe(features: ImageFeatures) -> Tensor:
    """Return (B, C), of unit length: the mean of each map but the coarsest over the picture, all of equal weight.

    The coarsest says what is in a picture rather than what kind of picture it is.
    """
    levels = (features.detail, *features.levels[:3])
    pooled = [normalize(level.float().mean(dim=(2, 3)), dim=1) for level in levels]
    return normalize(torch.cat(pooled, dim=1), dim=1)


def describe_words(report: ReportEmbedding) -> Tensor:
    """Return (B, C), of unit length: the mean of each report's tokens."""
    return normalize(masked_mean(report.tokens.float(), report.mask), dim=1)


def _kinds(directions: Tensor) -> list[list[Tensor]]:
    """Group directions (N, C), taken in their order: one that is like no group so far begins another."""
    groups: list[list[Tensor]] = []
    for one in directions:
        cosines = [float(_centre(group) @ one) for group in groups]
        if cosines and max(cosines) >= LEAST_COSINE:
            groups[int(np.argmax(cosines))].append(one)
        else:
            groups.append([one])
    return groups


def _half(values: Tensor) -> NDArray[np.float16]:
    return values.numpy().astype(np.float16)


def _full(values: NDArray[np.float16]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


def _centre(group: list[Tensor]) -> Tensor:
    return normalize(torch.stack(group).mean(0), dim=0)
