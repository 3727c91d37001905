"""Cases in memory at the training size, and batches out of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import interpolate

from tmca_core.data.datasets import read_reference
from tmca_core.io import read_scan
from tmca_core.model.preprocess import intensity_window
from tmca_core.phantom import make_phantom
from tmca_core.report import parse_report, read_facts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from tmca_core.data.case import Case
    from tmca_core.model.architecture import PreprocessArchitecture
    from tmca_core.report import Facts
    from tmca_core.study import Scan


@dataclass(frozen=True, eq=False)
class Sample:
    """One case at the training size.

    Attributes
    ----------
    image : Tensor of uint8, shape (C, S, S)
        0..255 over the intensity window; C is 1 for grey and 3 for colour.
    mask : Tensor of uint8, shape (1, S, S)
        0 or 1.
    report : tuple of str
        Sentences of the report that the network is given; empty for a case without a report.
    facts : Facts
        What the report states; empty for no report.
    instruction : str
        See `tmca_core.data.case.Case`.
    target : str
        What the mask outlines.
    source : int
        Which of the folders that are trained on it comes from; -1 for a phantom.

    """

    image: Tensor
    mask: Tensor
    report: tuple[str, ...]
    facts: Facts = frozenset()
    instruction: str = ""
    target: str = ""
    source: int = -1

    @property
    def sentences(self) -> tuple[str, ...]:
        """Instruction and report."""
        return (self.instruction, *self.report) if self.instruction else self.report


@dataclass(frozen=True, eq=False)
class Batch:
    """Pictures (B, 3, S, S) 0..1, and masks (B, 1, S, S) 0 or 1."""

    images: Tensor
    masks: Tensor


def read_samples(cases: Iterable[Case], preprocess: PreprocessArchitecture, *, source: int = 0) -> Iterator[Sample]:
    """Read cases one by one; those without a reference mask raise DatasetError.

    Pictures are decoded in this process: a training reads thousands of small ones, is a process of its own, and has
    nothing unsaved while it reads.
    """
    for case in cases:
        scan, mask = read_scan(case.image, in_process=True), read_reference(case, in_process=True)
        sample = make_sample(scan, mask, case.text, preprocess)
        yield replace(sample, instruction=case.instruction, target=case.target, source=source)


def phantom_samples(seeds: Iterable[int], preprocess: PreprocessArchitecture) -> Iterator[Sample]:
    """Compute digital phantoms, with their exact masks and reports."""
    for seed in seeds:
        phantom = make_phantom(seed, shape=(preprocess.image_size, preprocess.image_size))
        yield make_sample(phantom.scan, phantom.mask, phantom.report_text, preprocess)


def make_sample(
    scan: Scan,
    mask: NDArray[np.bool_],
    text: str,
    preprocess: PreprocessArchitecture,
    window: tuple[float, float] | None = None,
) -> Sample:
    """Bring one image, its mask (Y, X) and its report to the training size.

    ``window`` holds the lowest and highest intensity; a slice is shown in that of its volume.
    """
    report = parse_report(text)
    size = preprocess.image_size
    return Sample(
        image=_resize(_windowed(scan, window or intensity_window(scan.pixels, preprocess)), size),
        mask=_resize(torch.from_numpy(mask.astype(np.float32))[None], size).round().to(torch.uint8),
        report=tuple(report.sentences[i].text for i in report.used),
        facts=read_facts(report),
    )


def collate(samples: Sequence[Sample], size: int) -> Batch:
    """Join samples to a batch at ``size`` pixels a side."""
    return bring_to_size(*stack(samples), size)


def stack(samples: Sequence[Sample]) -> tuple[Tensor, Tensor]:
    """Return pictures (B, C, S, S) and masks (B, 1, S, S) of uint8, as small as they are kept: C is 1 for all grey."""
    channels = max(len(sample.image) for sample in samples)
    images = torch.stack([sample.image.expand(channels, -1, -1) for sample in samples])
    return images, torch.stack([sample.mask for sample in samples])


def bring_to_size(images: Tensor, masks: Tensor, size: int) -> Batch:
    """Return what `stack` joined as a batch at ``size`` pixels a side, computed where it is."""
    images = images.expand(-1, 3, -1, -1).float() / 255.0
    masks = masks.float()
    if images.shape[-1] != size:
        images = interpolate(images, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
        masks = (interpolate(masks, size=(size, size), mode="area") >= 0.5).float()
    return Batch(images, masks)


def standardise_batch(images: Tensor) -> Tensor:
    """Bring each picture of (B, C, H, W) to mean 0 and deviation 1, as `tmca_core.model.preprocess.standardise`."""
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    deviation = images.std(dim=(1, 2, 3), keepdim=True, correction=0)
    return (images - mean) / deviation.clamp_min(1e-6)


def epoch_order(num_samples: int, *, seed: int, epoch: int) -> list[int]:
    """Return the order of an epoch; the same for the same seed and epoch."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    return [int(i) for i in torch.randperm(num_samples, generator=generator)]


def _windowed(scan: Scan, window: tuple[float, float]) -> Tensor:
    low, high = window
    values = (scan.pixels.astype(np.float32) - low) / max(high - low, 1e-6)
    image = torch.from_numpy(np.clip(values, 0.0, 1.0) * 255.0)
    return image.permute(2, 0, 1) if scan.is_rgb else image[None]


def _resize(image: Tensor, size: int) -> Tensor:
    if tuple(image.shape[-2:]) != (size, size):
        image = interpolate(image[None], size=(size, size), mode="bilinear", antialias=True, align_corners=False)[0]
    return image.round().to(torch.uint8)
