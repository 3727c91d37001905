"""Cases in memory at the training size, and batches out of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import interpolate

from tmca_core.data.datasets import read_reference
from tmca_core.io import read_scan
from tmca_core.model.preprocess import intensity_window
from tmca_core.phantom import make_phantom
from tmca_core.report import parse_report

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from tmca_core.data.case import Case
    from tmca_core.model.architecture import PreprocessArchitecture
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
    sentences : tuple of str
        What the network is told; empty for a case without a report.

    """

    image: Tensor
    mask: Tensor
    sentences: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Batch:
    """Pictures (B, 3, S, S) 0..1, masks (B, 1, S, S) 0 or 1, and the sentences of each report."""

    images: Tensor
    masks: Tensor
    sentences: list[tuple[str, ...]]


def read_samples(cases: Iterable[Case], preprocess: PreprocessArchitecture) -> Iterator[Sample]:
    """Read cases one by one; those without a reference mask raise DatasetError."""
    for case in cases:
        yield make_sample(read_scan(case.image), read_reference(case), case.text, preprocess)


def phantom_samples(seeds: Iterable[int], preprocess: PreprocessArchitecture) -> Iterator[Sample]:
    """Compute digital phantoms, with their exact masks and reports."""
    for seed in seeds:
        phantom = make_phantom(seed, shape=(preprocess.image_size, preprocess.image_size))
        yield make_sample(phantom.scan, phantom.mask, phantom.report_text, preprocess)


def make_sample(scan: Scan, mask: NDArray[np.bool_], text: str, preprocess: PreprocessArchitecture) -> Sample:
    """Bring one image, its mask (Y, X) and its report to the training size."""
    report = parse_report(text)
    size = preprocess.image_size
    return Sample(
        image=_resize(_windowed(scan, preprocess), size),
        mask=_resize(torch.from_numpy(mask.astype(np.float32))[None], size).round().to(torch.uint8),
        sentences=tuple(report.sentences[i].text for i in report.used),
    )


def collate(samples: Sequence[Sample], size: int) -> Batch:
    """Join samples to a batch at ``size`` pixels a side."""
    images = torch.stack([sample.image.expand(3, -1, -1) for sample in samples]).float() / 255.0
    masks = torch.stack([sample.mask for sample in samples]).float()
    if images.shape[-1] != size:
        images = interpolate(images, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
        masks = (interpolate(masks, size=(size, size), mode="area") >= 0.5).float()
    return Batch(images, masks, [sample.sentences for sample in samples])


def standardise_batch(images: Tensor) -> Tensor:
    """Bring each picture of (B, C, H, W) to mean 0 and deviation 1, as `tmca_core.model.preprocess.standardise`."""
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    deviation = images.std(dim=(1, 2, 3), keepdim=True, correction=0)
    return (images - mean) / deviation.clamp_min(1e-6)


def epoch_order(num_samples: int, *, seed: int, epoch: int) -> list[int]:
    """Return the order of an epoch; the same for the same seed and epoch."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    return [int(i) for i in torch.randperm(num_samples, generator=generator)]


def _windowed(scan: Scan, preprocess: PreprocessArchitecture) -> Tensor:
    low, high = intensity_window(scan.pixels, preprocess)
    values = (scan.pixels.astype(np.float32) - low) / max(high - low, 1e-6)
    image = torch.from_numpy(np.clip(values, 0.0, 1.0) * 255.0)
    return image.permute(2, 0, 1) if scan.is_rgb else image[None]


def _resize(image: Tensor, size: int) -> Tensor:
    if tuple(image.shape[-2:]) != (size, size):
        image = interpolate(image[None], size=(size, size), mode="bilinear", antialias=True, align_corners=False)[0]
    return image.round().to(torch.uint8)
