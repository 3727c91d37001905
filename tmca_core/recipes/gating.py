"""For which scans and reports an adapter will answer, decided before it learns, and said of what judges it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from tmca_core.data.loader import collate, standardise_batch
from tmca_core.data.telling import told_of
from tmca_core.model.gate import Gate, describe, describe_words
from tmca_core.report import training_writers, write_report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from tmca_core.model.tmca import Tmca
    from tmca_core.recipes.lessons import Lesson, Snapshot

# Of so many replayed lessons the report is also written anew, so often each: what is known is known in many words.
MAX_REWORDED, NUM_WORDINGS = 16, 3


@dataclass(frozen=True, eq=False)
class Gated:
    """What the adapter will answer; of everything else the base's answer stays.

    ``held_out`` and ``reference`` say it lesson by lesson.
    """

    gate: Gate | None
    held_out: tuple[bool, ...]
    reference: tuple[bool, ...]

    @classmethod
    def everything(cls, snapshot: Snapshot) -> Gated:
        """Without a gate."""
        return cls(None, (True,) * len(snapshot.held_out), (True,) * len(snapshot.reference))

    @classmethod
    def of(cls, snapshot: Snapshot, describer: Tmca, device: torch.device, size: int, batch_size: int) -> Gated:
        """Describe pictures and reports by a network, and put a gate around those that are learned from."""
        of_pictures = partial(described, describer, device=device, size=size, batch_size=batch_size)
        gate = Gate.around(of_pictures(snapshot.train), of_pictures(snapshot.replay))
        if gate is None:
            gate = _around_words(snapshot, describer, device)
        if gate is None:
            return cls.everything(snapshot)
        pictures = [of_pictures(part) for part in (snapshot.held_out, snapshot.reference)]
        words = [described_words(describer, part, device) for part in (snapshot.held_out, snapshot.reference)]
        held_out, reference = (
            tuple(gate.lets_through(*one) for one in zip(*both, strict=True))
            for both in zip(pictures, words, strict=True)
        )
        return cls(gate, held_out, reference)


@torch.inference_mode()
def described(
    describer: Tmca, lessons: Sequence[Lesson], *, device: torch.device, size: int, batch_size: int
) -> Tensor:
    """Return (N, C): of each lesson the mean over its case, since a scan is answered for as a whole."""
    if not lessons:
        return torch.empty(0, 0)
    parts = []
    for first in range(0, len(lessons), batch_size):
        batch = collate([lesson.sample for lesson in lessons[first : first + batch_size]], size)
        images = standardise_batch(batch.images).to(device, memory_format=torch.channels_last)
        parts.append(describe(describer.encode_image(images)).cpu())
    whole = torch.cat(parts)
    names = [lesson.case for lesson in lessons]
    return torch.stack([whole[[name == other for other in names]].mean(0) for name in names])


def described_words(describer: Tmca, lessons: Sequence[Lesson], device: torch.device) -> list[Tensor | None]:
    """Return (C,) of what each lesson is told at prediction, and ``None`` of one without words."""
    return [
        _of_words(describer, told, device) if (told := told_of(lesson.sample.sentences)) else None for lesson in lessons
    ]


def _around_words(snapshot: Snapshot, describer: Tmca, device: torch.device) -> Gate | None:
    # A volume gives many lessons with one report; and without words nothing could be told apart.
    taught = described_words(describer, list({lesson.case: lesson for lesson in snapshot.train}.values()), device)
    with_words = [one for one in taught if one is not None]
    known = [_of_words(describer, told, device) for told in _known_words(snapshot.replay)]
    if not with_words or not known or len(with_words) < len(taught):
        return None
    return Gate.around_words(torch.stack(with_words), torch.stack(known))


def _known_words(replay: Sequence[Lesson]) -> list[tuple[str, ...]]:
    """Return what replayed lessons are told, and some of their opacities in other writers' words."""
    rng, names = np.random.default_rng(0), training_writers()
    said = [lesson.sample.sentences for lesson in replay]
    for lesson in replay[:MAX_REWORDED]:
        if opacities := frozenset(fact for fact in lesson.sample.facts if fact.kind == "opacity"):
            said += [
                (write_report(opacities, rng, writer=names[int(rng.integers(len(names)))]),)
                for _ in range(NUM_WORDINGS)
            ]
    return [told for sentences in said if (told := told_of(sentences))]


@torch.inference_mode()
def _of_words(describer: Tmca, told: Sequence[str], device: torch.device) -> Tensor:
    return describe_words(describer.encode_reports(describer.tokenizer([told]).to(device)))[0].cpu()
