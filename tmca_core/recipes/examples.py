"""Pictures of held-out cases, before | after | corrected, as the network saw them: what a table of Dice does not show.

They show patients. They lie in the run folder until somebody has chosen between the two models, and never in the
model's own folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from tmca_core.atomic import atomic_write
from tmca_core.data.loader import collate, standardise_batch
from tmca_core.overlay import draw_overlay
from tmca_core.study import Scan

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from tmca_core.model.tmca import Tmca
    from tmca_core.recipes.before_after import CaseCompared
    from tmca_core.recipes.lessons import Lesson

EXAMPLES = "examples"
MAX_EXAMPLES = 48
_GAP, _BATCH = 4, 8


def examples_of(lessons: Sequence[Lesson]) -> list[Lesson]:
    """Return one lesson per case, of a volume the slice with most target, in the order of the cases."""
    fullest: dict[str, Lesson] = {}
    for lesson in lessons:
        known = fullest.get(lesson.case)
        if known is None or lesson.sample.mask.sum() > known.sample.mask.sum():
            fullest[lesson.case] = lesson
    return list(fullest.values())


def predict_masks(model: Tmca, lessons: Sequence[Lesson], device: torch.device, size: int) -> list[NDArray[np.bool_]]:
    """Return what a network outlines in each lesson, (S, S)."""
    model.eval()
    masks: list[NDArray[np.bool_]] = []
    with torch.inference_mode():
        for first in range(0, len(lessons), _BATCH):
            samples = [lesson.sample for lesson in lessons[first : first + _BATCH]]
            images = standardise_batch(collate(samples, size).images).to(device)
            tokens = model.tokenizer([sample.sentences for sample in samples]).to(device)
            logits = model.decode(model.encode_image(images), model.encode_reports(tokens)).logits
            masks += [np.asarray(mask) for mask in (logits[:, 0] >= 0).cpu().numpy()]
    return masks


def write_examples(
    folder: Path,
    rows: Sequence[CaseCompared],
    lessons: Sequence[Lesson],
    before: Sequence[NDArray[np.bool_]],
    after: Sequence[NDArray[np.bool_]],
) -> None:
    """Write ``0000.png`` and so on, in the order of the rows of a comparison, each of three overlays side by side.

    Parameters
    ----------
    folder : Path
        Made if need be.
    rows : sequence of CaseCompared
        The first `MAX_EXAMPLES` are drawn.
    lessons, before, after : sequences
        As of `examples_of`, with what either network outlines.

    """
    at = {lesson.case: index for index, lesson in enumerate(lessons)}
    folder.mkdir(parents=True, exist_ok=True)
    for number, row in enumerate(rows[:MAX_EXAMPLES]):
        index = at[row.case]
        sample = lessons[index].sample
        pixels = np.moveaxis(sample.image.numpy(), 0, -1)
        scan = Scan(pixels if pixels.shape[-1] == 3 else pixels[..., 0])
        masks = (before[index], after[index], sample.mask.numpy()[0] > 0)
        overlays = [draw_overlay(scan, mask)[0] for mask in masks]
        gap = np.zeros((overlays[0].shape[0], _GAP, 3), np.uint8)
        with atomic_write(folder / example_name(number)) as file:
            Image.fromarray(np.concatenate([overlays[0], gap, overlays[1], gap, overlays[2]], axis=1)).save(file, "PNG")


def example_name(number: int) -> str:
    """Return the file name of the picture of the n-th row."""
    return f"{number:04d}.png"
