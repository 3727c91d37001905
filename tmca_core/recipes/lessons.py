"""What a fine-tuning learns from, in memory and as a snapshot on disk: cases, rejected sentences, replayed old ones.

The snapshot is taken once. Whatever becomes of the annotations while a training runs, it goes on with the same ones,
also after it was killed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from tmca_core.atomic import atomic_write
from tmca_core.data.datasets import open_dataset
from tmca_core.data.loader import Sample, make_sample, read_samples
from tmca_core.errors import CheckpointError
from tmca_core.metrics import Half, stated_half_of_picture
from tmca_core.model.preprocess import intensity_window
from tmca_core.phantom import make_phantom
from tmca_core.report import parse_report, read_facts
from tmca_core.study import Scan, SideConvention

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tmca_core.data.corrected import CorrectedCase, Taken
    from tmca_core.model.architecture import PreprocessArchitecture

Kind = Literal["case", "rejected", "replay"]
# Apart from the seeds of training (1,000,000 and up) and of demonstration and tests (below).
FIRST_REPLAY_SEED, FIRST_REFERENCE_SEED = 2_000_000, 2_100_000
MAX_SLICES_WITH_TARGET, MAX_SLICES_WITHOUT = 12, 4
SNAPSHOT = "snapshot.safetensors"


@dataclass(frozen=True, eq=False)
class Lesson:
    """One picture to learn from or to judge by.

    Attributes
    ----------
    case, patient : str
        Whose; a volume gives several lessons of one case.
    sample : Sample
        Picture, mask and report at the training size.
    painted : Tensor of uint8, shape (1, S, S)
        1 where a human painted.
    kind : str
        A case, a sentence whose answer is an empty mask, or something known of old.
    half : {"left", "right"} or None
        Half of the picture that the report names.

    """

    case: str
    patient: str
    sample: Sample
    painted: torch.Tensor
    kind: Kind = "case"
    half: Half | None = None


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Everything that a fine-tuning learns from and is judged by.

    Attributes
    ----------
    train, replay, held_out, reference : tuple of Lesson
        Cases and rejected sentences; what is replayed; what judges the new skill, and what the old one.
    told : dict
        Base, hashes of the cases, cases left out, notes: what the lineage says.

    """

    train: tuple[Lesson, ...]
    replay: tuple[Lesson, ...]
    held_out: tuple[Lesson, ...]
    reference: tuple[Lesson, ...]
    told: dict[str, Any]


_PARTS = ("train", "replay", "held_out", "reference")


def take_snapshot(
    taken: Taken,
    preprocess: PreprocessArchitecture,
    *,
    num_phantoms: int,
    num_reference: int,
    replay_folder: Path | None,
    told: dict[str, Any],
) -> Snapshot:
    """Bring the cases to the training size, and compute or read what is replayed.

    Replayed are phantoms, or up to ``4 * num_phantoms`` cases of the training split of a folder; the reference set is
    more phantoms, or up to ``4 * num_reference`` cases of its validation split.
    """
    if replay_folder is None:
        replay = _phantoms(FIRST_REPLAY_SEED, num_phantoms, preprocess)
        reference = _phantoms(FIRST_REFERENCE_SEED, num_reference, preprocess)
    else:
        replay = _from_folder(replay_folder, "train", 4 * num_phantoms, preprocess)
        reference = _from_folder(replay_folder, "val", 4 * num_reference, preprocess)
    return Snapshot(
        train=tuple(lesson for case in taken.train for lesson in _lessons(case, preprocess)),
        replay=tuple(replay),
        held_out=tuple(x for case in taken.held_out for x in _lessons(case, preprocess) if x.kind == "case"),
        reference=tuple(reference),
        told={
            **told,
            "cases": [case.sha256 for case in taken.train],
            "held_out": [case.sha256 for case in taken.held_out],
            "pictures": {
                "learned": [case.pictures[0] for case in taken.train],
                "judged": [case.pictures[0] for case in taken.held_out],
                "states": [case.state for case in (*taken.train, *taken.held_out) if case.state],
            },
            "num_left_out": len(taken.left_out),
            "notes": list(taken.notes),
        },
    )


def write_snapshot(path: Path, snapshot: Snapshot) -> None:
    """Write a snapshot atomically."""
    tensors: dict[str, torch.Tensor] = {}
    described: dict[str, list[dict[str, Any]]] = {part: [] for part in _PARTS}
    for part in _PARTS:
        for index, lesson in enumerate(getattr(snapshot, part)):
            sample = lesson.sample
            for name, tensor in (("image", sample.image), ("mask", sample.mask), ("painted", lesson.painted)):
                tensors[f"{part}.{index}.{name}"] = tensor.contiguous()
            fields = {"report": sample.report, "instruction": sample.instruction, "target": sample.target}
            whose = {"case": lesson.case, "patient": lesson.patient, "kind": lesson.kind, "half": lesson.half}
            described[part].append({**whose, **fields, "source": sample.source})
    metadata = {"lessons": json.dumps(described), "told": json.dumps(snapshot.told)}
    with atomic_write(path) as file:
        file.write(save(tensors, metadata))


def read_snapshot(path: Path) -> Snapshot:
    """Read back what `write_snapshot` wrote.

    Raises
    ------
    CheckpointError
        If the file is damaged.

    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            described = json.loads(metadata["lessons"])
            parts = {
                part: tuple(
                    _restored(entry, *(file.get_tensor(f"{part}.{i}.{name}") for name in ("image", "mask", "painted")))
                    for i, entry in enumerate(described[part])
                )
                for part in _PARTS
            }
            return Snapshot(**parts, told=json.loads(metadata["told"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: the snapshot is damaged.", hint="Start the training anew.") from error


def draw_lessons(snapshot: Snapshot, batch_size: int, replay_share: float, generator: torch.Generator) -> list[Lesson]:
    """Return a batch: replay in its share, and cases so that rare targets and empty masks are met often enough.

    A class (target, and whether the mask is empty) is drawn by the square root of its number.
    """
    num_replay = min(round(batch_size * replay_share), batch_size - 1) if snapshot.replay else 0
    chosen = [snapshot.replay[i] for i in _draw([1.0] * len(snapshot.replay), num_replay, generator)]
    classes = [(lesson.sample.target, not bool(lesson.sample.mask.any())) for lesson in snapshot.train]
    weights = [classes.count(of) ** -0.5 for of in classes]
    return [snapshot.train[i] for i in _draw(weights, batch_size - num_replay, generator)] + chosen


def _draw(weights: Sequence[float], n: int, generator: torch.Generator) -> list[int]:
    if n == 0:
        return []
    again = n > len(weights)
    return [int(i) for i in torch.multinomial(torch.tensor(weights), n, replacement=again, generator=generator)]


def _lessons(case: CorrectedCase, preprocess: PreprocessArchitecture) -> Iterator[Lesson]:
    half = stated_half_of_picture(parse_report(case.text), case.side_convention)
    window = intensity_window(case.scan.pixels, preprocess)
    painted = np.zeros(case.mask.shape, bool) if case.painted is None else case.painted
    for z in _slices(case):
        at: slice | int = slice(None) if z is None else z
        scan = replace(case.scan, pixels=np.asarray(case.scan.pixels)[at], **_flat(case.scan, z))
        sample = make_sample(scan, case.mask[at], case.text, preprocess, window)
        sample = replace(sample, instruction=case.instruction, target=case.target, source=0)
        where = make_sample(scan, painted[at], "", preprocess, window).mask
        yield Lesson(case.id, case.patient, sample, where, half=half)
    for sentence in case.rejected:
        # Of its own: a snapshot does not take tensors that share memory.
        image, empty = sample.image.clone(), torch.zeros_like(sample.mask)
        refused = replace(sample, image=image, mask=empty, report=(sentence,), facts=frozenset())
        yield Lesson(case.id, case.patient, refused, torch.zeros_like(where), kind="rejected")


def _slices(case: CorrectedCase) -> list[int | None]:
    """Return the slices that are learned from, evenly spread over those with target and those without."""
    if case.mask.ndim == 2:
        return [None]
    has_target = case.mask.any(axis=(1, 2))
    inside, outside = np.flatnonzero(has_target), np.flatnonzero(~has_target)
    chosen = [*_evenly(inside, MAX_SLICES_WITH_TARGET), *_evenly(outside, MAX_SLICES_WITHOUT)]
    return list(chosen)


def _evenly(indices: np.ndarray[Any, np.dtype[np.intp]], limit: int) -> list[int]:
    n = min(limit, len(indices))
    return [int(indices[i * len(indices) // n]) for i in range(n)]


def _flat(scan: Scan, z: int | None) -> dict[str, Any]:
    return {} if z is None else {"spacing_mm": None, "affine_ras": None}


def _phantoms(first_seed: int, count: int, preprocess: PreprocessArchitecture) -> Iterator[Lesson]:
    size = preprocess.image_size
    for seed in range(first_seed, first_seed + count):
        phantom = make_phantom(seed, shape=(size, size))
        sample = make_sample(phantom.scan, phantom.mask, phantom.report_text, preprocess)
        half = stated_half_of_picture(parse_report(phantom.report_text), SideConvention.PATIENT)
        name = f"phantom {seed}"
        yield Lesson(name, name, sample, torch.zeros_like(sample.mask), kind="replay", half=half)


def _from_folder(folder: Path, split: str, limit: int, preprocess: PreprocessArchitecture) -> Iterator[Lesson]:
    cases = open_dataset(folder).split(split)
    cases = tuple(cases[i * len(cases) // limit] for i in range(limit)) if limit < len(cases) else cases
    for case, sample in zip(cases, read_samples(cases, preprocess, source=1), strict=True):
        half = stated_half_of_picture(parse_report(case.text), case.side_convention)
        yield Lesson(case.id, case.patient, sample, torch.zeros_like(sample.mask), kind="replay", half=half)


def _restored(entry: dict[str, Any], image: torch.Tensor, mask: torch.Tensor, painted: torch.Tensor) -> Lesson:
    report = tuple(entry["report"])
    sample = Sample(
        image,
        mask,
        report,
        facts=frozenset() if entry["kind"] == "rejected" else read_facts(parse_report(" ".join(report))),
        instruction=entry["instruction"],
        target=entry["target"],
        source=entry["source"],
    )
    return Lesson(entry["case"], entry["patient"], sample, painted, entry["kind"], entry["half"])
