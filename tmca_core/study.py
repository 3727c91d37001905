"""The vocabulary everything else speaks: Scan, Report, Segmentation. Frozen values, numpy only."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from tmca_core.geometry import NativeGrid


class SideConvention(StrEnum):
    """What "left" means in a report.

    ``PATIENT``: the patient's left, which lies at the *right* of a radiograph or of a radiologically oriented slice.
    ``PICTURE``: the left of the picture (endoscopy, ultrasound, histology, where the picture has no patient side).
    """

    PATIENT = "patient"
    PICTURE = "picture"


@dataclass(frozen=True)
class Reading:
    """What somebody chose where a file leaves something open, as `tmca_core.io.read_scan` takes it; nothing by default.

    Attributes
    ----------
    series : int or str, optional
    frame : int, optional
    affine : {"sform", "qform"}, optional
    spacing : tuple of float, optional
        Lengths in mm, given by hand.
    shrink : int
        From 1.

    """

    series: int | str | None = None
    frame: int | None = None
    affine: Literal["sform", "qform"] | None = None
    spacing: tuple[float, ...] | None = None
    shrink: int = 1


AS_IT_IS = Reading()


@dataclass(frozen=True, eq=False)
class Scan:
    """One image or volume, oriented for reading.

    Attributes
    ----------
    pixels : NDArray
        (Y, X) or (Z, Y, X); with ``is_rgb`` a trailing axis of 3. Any real dtype, finite, bright = dense
        (MONOCHROME1 is already inverted). Volumes run towards the patient's left along X, posterior along Y and
        superior along Z whenever ``affine_ras`` is known.
    is_rgb : bool
        Whether the last axis is colour.
    spacing_mm : tuple of float, or None
        Pixel spacing in array-axis order, (y, x) or (z, y, x). ``None``: unknown, and no length is ever made up.
    affine_ras : NDArray, shape (4, 4), or None
        Maps array index (z, y, x, 1) to RAS millimetres; for 2-D scans always ``None``.
    modality : str
        DICOM modality code ("CR", "DX", "CT", "MR", ...), or "" where unknown.
    source : Path or None
        File or folder it came from.
    native : NativeGrid or None
        What is needed to write a mask back on the file's own grid, header included.
    notes : tuple of str
        Every decision the reader took, in sentences ("alpha channel dropped", "MONOCHROME1 inverted").
    reading : Reading
        What was chosen, to read the same from the source again.

    """

    pixels: NDArray[np.generic]
    is_rgb: bool = False
    spacing_mm: tuple[float, ...] | None = None
    affine_ras: NDArray[np.float64] | None = None
    modality: str = ""
    source: Path | None = None
    native: NativeGrid | None = None
    notes: tuple[str, ...] = ()
    reading: Reading = AS_IT_IS

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial shape, (Y, X) or (Z, Y, X), colour axis left out."""
        return self.pixels.shape[:-1] if self.is_rgb else self.pixels.shape

    @property
    def ndim(self) -> int:
        """2 for an image, 3 for a volume."""
        return len(self.shape)


@dataclass(frozen=True, order=True)
class Place:
    """One lung, and zones of it.

    Attributes
    ----------
    side : str
        "left" or "right", in the patient's convention; "" where only a zone is named.
    zones : frozenset of str
        Out of "upper", "middle", "lower"; all three is the whole lung, empty is not stated.

    """

    side: str
    zones: frozenset[str] = frozenset()


Certainty = Literal["affirmed", "uncertain", "denied", "past"]

# Kinds that the networks outline; others are company in a report.
OUTLINED_KINDS = frozenset({"opacity", "nodule", "other"})


@dataclass(frozen=True)
class Finding:
    """One kind of finding, as a report states it.

    Attributes
    ----------
    kind : str
        "opacity", "effusion", "device" or another kind of the rules in tmca_core.report.
    certainty : {"affirmed", "uncertain", "denied", "past"}
        "past" is resolved, or was there before.
    places : frozenset of Place
        At most one per side; empty where nothing is said.
    count : int or None
        Number stated.
    size_mm : float or None
        Largest extent stated.

    """

    kind: str
    certainty: Certainty = "affirmed"
    places: frozenset[Place] = frozenset()
    count: int | None = None
    size_mm: float | None = None


@dataclass(frozen=True)
class Sentence:
    """One sentence of a report, where it stands in it, and what was understood.

    Attributes
    ----------
    start, end : int
        Character offsets into ``Report.text``; ``text`` is exactly that slice.
    text : str
        The sentence as pasted.
    section : str
        "FINDINGS", "IMPRESSION", ...; "" before any heading.
    sides : frozenset of {"left", "right"}
        Sides named, in the patient's convention; "bilateral" names both.
    is_negated : bool
        Whether every finding in it is denied ("no consolidation").
    is_about_picture : bool
        ``False`` for history, technique and the like: shown, and not given to the network.
    findings : tuple of Finding
        What it states.

    """

    start: int
    end: int
    text: str
    section: str = ""
    sides: frozenset[Literal["left", "right"]] = frozenset()
    is_negated: bool = False
    is_about_picture: bool = True
    findings: tuple[Finding, ...] = ()

    @property
    def denies(self) -> bool:
        """Whether it denies a finding to outline, or everything ("unremarkable")."""
        return self.is_negated and (not self.findings or any(f.kind in OUTLINED_KINDS for f in self.findings))

    @property
    def affirms(self) -> bool:
        """Whether it states a finding to outline that is, or may be, there."""
        return any(f.certainty in ("affirmed", "uncertain") and f.kind in OUTLINED_KINDS for f in self.findings)


@dataclass(frozen=True)
class Report:
    """A report as pasted, split into sentences. ``tmca_core.report.parse_report`` makes it.

    Attributes
    ----------
    text : str
        Exactly what was pasted.
    sentences : tuple of Sentence
        In order of appearance. Empty for blank text: the network then works in image-only mode.
    notes : tuple of str
        What the reader of the report should know ("control characters ignored", "very short report").

    """

    text: str
    sentences: tuple[Sentence, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def used(self) -> tuple[int, ...]:
        """Indices of the sentences that the network is given.

        Affirmed sentences about the picture. Where none of them affirms a finding to outline, also those that deny one:
        "Lungs are clear. No effusion. Scoliosis." is told as "Lungs are clear. Scoliosis.".
        """
        about = tuple(i for i, s in enumerate(self.sentences) if s.is_about_picture)
        affirms = any(s.affirms for s in self.sentences if s.is_about_picture and not s.is_negated)
        told = tuple(i for i in about if not self.sentences[i].is_negated or (not affirms and self.sentences[i].denies))
        return told or about


@dataclass(frozen=True)
class Provenance:
    """What is needed to repeat a segmentation.

    Attributes
    ----------
    model_name, model_version, model_sha256 : str
        Name and version in the manifest, and the sha256 of the weights file.
    device : str
        "cpu", "cuda", "mps".
    versions : Mapping of str to str
        Of tmca, torch, tokenizers, transformers, numpy and Python.
    timings_s : Mapping of str to float
        Seconds for "image" (0 when cached) and "report".
    network_shape : tuple of int
        (H, W) at which the network saw each slice.

    """

    model_name: str
    model_version: str
    model_sha256: str
    device: str
    versions: Mapping[str, str] = field(default_factory=dict)
    timings_s: Mapping[str, float] = field(default_factory=dict)
    network_shape: tuple[int, int] = (0, 0)


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The network's answer on the scan's grid.

    Attributes
    ----------
    logits : NDArray[np.float32], shape of the scan
        Before the sigmoid.
    threshold : float
        Probability from which a pixel belongs to the mask, 0..1.
    attention : tuple of NDArray[np.float32]
        One per level, fine to coarse (level 1 at stride 4 ... level 4 at stride 32), each at its own resolution
        (h, w) or (Z, h, w), 0..1: the whole report's map. ``tmca_core.attention.attention_on_scan`` brings one on the
        scan's grid.
    sentence_attention : tuple of tuple of NDArray[np.float32]
        ``sentence_attention[i][l]``: the same for sentence ``report.used[i]`` alone. Empty without a report.
    report : Report or None
        What was asked; ``None`` in image-only mode.
    messages : tuple of str
        What the user should know ("no report: image-only mode").
    image_only_logits : NDArray[np.float32], shape of the scan, or None
        What the image alone says; ``None`` in image-only mode, where ``logits`` are just that.
    distances : tuple of float
        Semantic distance, 0..2, between the report and what the image alone shows, per level; empty without a report.
    evidence : tuple of float
        What agreement is judged by (`tmca_core.calibration.agreement_evidence`); empty without a report.
    agreement : float or None
        Probability that the report belongs to the image, 0..1, from the evidence; ``None`` without a report, or where
        the weights were never calibrated.
    has_low_agreement : bool
        Whether agreement is below what the weights' own validation reports hardly ever fall below.

    """

    logits: NDArray[np.float32]
    threshold: float
    attention: tuple[NDArray[np.float32], ...]
    sentence_attention: tuple[tuple[NDArray[np.float32], ...], ...]
    report: Report | None
    provenance: Provenance
    messages: tuple[str, ...] = ()
    image_only_logits: NDArray[np.float32] | None = None
    distances: tuple[float, ...] = ()
    evidence: tuple[float, ...] = ()
    agreement: float | None = None
    has_low_agreement: bool = False

    @property
    def probability(self) -> NDArray[np.float32]:
        """Probability of the target, 0..1, shape of the scan."""
        return _sigmoid(self.logits)

    @property
    def mask(self) -> NDArray[np.uint8]:
        """1 where the probability reaches the threshold, else 0; shape of the scan."""
        return (self.probability >= self.threshold).astype(np.uint8)

    @property
    def image_only_probability(self) -> NDArray[np.float32]:
        """Probability of the target by the image alone, 0..1, shape of the scan."""
        return _sigmoid(self.logits if self.image_only_logits is None else self.image_only_logits)

    @property
    def image_only_mask(self) -> NDArray[np.uint8]:
        """The mask of the image alone, at the same threshold."""
        return (self.image_only_probability >= self.threshold).astype(np.uint8)

    @property
    def presence(self) -> float:
        """How sure the network is that there is anything, 0..1: mean probability of the likeliest 0.1 % of the pixels.

        A single pixel says little; this many make a finding of the smallest size that counts.
        """
        count = max(self.logits.size // 1000, 1)
        likeliest = np.partition(self.logits, self.logits.size - count, axis=None)[-count:]
        return float(_sigmoid(likeliest).mean())

    @property
    def confidence(self) -> float:
        """Dice that the network expects of its mask, 0..1: the mask against its own probabilities.

        For an empty mask, the chance that not even the likeliest pixel is target.
        """
        probability = self.probability.astype(np.float64)
        mask = self.mask.astype(bool)
        if not mask.any():
            return float(1.0 - probability.max())
        return float(2.0 * probability[mask].sum() / (probability.sum() + np.count_nonzero(mask)))


@dataclass(frozen=True, eq=False)
class WordAttention:
    """What the network looked at for each word of one sentence.

    Attributes
    ----------
    sentence : int
        Index into ``report.sentences``.
    words : tuple of (int, int)
        Where each word begins and ends in ``Report.text``.
    maps : tuple of tuple of NDArray[np.float32]
        ``maps[w][l]``: of each word its maps per level, fine to coarse, (h, w) or (Z, h, w), 0..1.

    """

    sentence: int
    words: tuple[tuple[int, int], ...]
    maps: tuple[tuple[NDArray[np.float32], ...], ...]


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the logistic function, without overflow at either end."""
    return (0.5 * (1.0 + np.tanh(0.5 * logits))).astype(np.float32)
