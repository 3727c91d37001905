"""Load a network once, set a scan once, ask many reports."""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import normalize

from tmca_core.device import choose_device
from tmca_core.errors import CheckpointError, StudyReadError
from tmca_core.evidence import agreement_evidence
from tmca_core.model.blocks import masked_mean
from tmca_core.model.checkpoint import DEFAULT_MODEL, ModelInfo, find_model, generations, load_model, program_version
from tmca_core.model.fold import fold_batch_norms
from tmca_core.model.gate import describe, describe_words
from tmca_core.model.preprocess import intensity_window, is_coloured, scan_slices, standardise, to_network, to_scan
from tmca_core.model.semantic_distance import semantic_distances
from tmca_core.report import swap_sides, told_sentences, words_in
from tmca_core.slicewise import NOT_LOOKED_AT, SMOOTHING, smooth_across
from tmca_core.steps import finished
from tmca_core.study import Provenance, Report, Scan, Segmentation, WordAttention

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from tmca_core.model.architecture import TmcaArchitecture
    from tmca_core.model.image_encoder import ImageFeatures
    from tmca_core.model.text_encoder import ReportEmbedding
    from tmca_core.model.tmca import Tmca, TmcaOutput

# Slices that go through the network at once, and slices whose features stay in memory (about 9 MB each at 224 px).
BATCH_SLICES = 8
MAX_CACHED_SLICES = 64


@dataclass(frozen=True)
class SlicesDone:
    """Progress of a prediction, in slices."""

    done: int
    total: int


@dataclass(frozen=True, eq=False)
class _SliceAnswer:
    """Of a batch of slices: logits (Z, Y, X), maps per level (Z, h, w), maps per sentence and level (Z, h, w)."""

    logits: NDArray[np.float32]
    attention: list[NDArray[np.float32]]
    sentence_attention: list[list[NDArray[np.float32]]]


@dataclass(frozen=True, eq=False)
class _ImageOnly:
    """What a slice shows without words: logits (1, Y, X), and its target's summed embeddings (1, d_a) per level."""

    logits: NDArray[np.float32]
    target_sums: list[torch.Tensor]


@dataclass(frozen=True, eq=False)
class _Seen:
    """What the encoder sees in a slice, and in its mirror image where that counts, too."""

    features: ImageFeatures
    mirrored: ImageFeatures | None


@dataclass(frozen=True, eq=False)
class _Told:
    """A report as the decoder takes it, and as it would be of the mirrored picture."""

    report: ReportEmbedding
    mirrored: ReportEmbedding


@dataclass(eq=False)
class _Parts:
    """The answer so far, in arrays of the whole scan, so that memory holds every slice once.

    ``logits`` and ``alone`` are (Z, Y, X); maps are per level (Z, h, w), made with the first answer.
    """

    wanted: range
    logits: NDArray[np.float32]
    alone: NDArray[np.float32] | None
    attention: list[NDArray[np.float32]]
    sentence_attention: list[list[NDArray[np.float32]]]
    target_sums: list[list[torch.Tensor]]

    @classmethod
    def empty(cls, shape: tuple[int, ...], wanted: range, *, has_words: bool) -> _Parts:
        """Return an answer without a slice, for a scan of (Z, Y, X)."""
        logits, *alone = (np.full(shape, NOT_LOOKED_AT, dtype=np.float32) for _ in range(1 + has_words))
        return cls(wanted, logits, alone[0] if alone else None, [], [], [])

    def add_image_only(self, indices: range, parts: list[_ImageOnly]) -> None:
        """Put in what slices show without words."""
        assert self.alone is not None
        for i, part in zip(indices, parts, strict=True):
            self.alone[i] = part.logits[0]
            self.target_sums.append(part.target_sums)

    def add(self, indices: range, answers: list[_SliceAnswer]) -> None:
        """Put in the answers of slices."""
        if not self.attention:
            self.attention = [self._maps_like(level) for level in answers[0].attention]
            self.sentence_attention = [[self._maps_like(x) for x in levels] for levels in answers[0].sentence_attention]
        for i, answer in zip(indices, answers, strict=True):
            self.logits[i] = answer.logits[0]
            for whole, level in zip(self.attention, answer.attention, strict=True):
                whole[i] = level[0]
            for wholes, levels in zip(self.sentence_attention, answer.sentence_attention, strict=True):
                for whole, level in zip(wholes, levels, strict=True):
                    whole[i] = level[0]

    def _maps_like(self, level: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.zeros((len(self.logits), *level.shape[1:]), dtype=np.float32)


class Predictor:
    """A network on a device, and the scan it looks at.

    Not for several threads at once; use one worker.

    Parameters
    ----------
    model : Tmca
        Taken over and made ready for inference: it cannot be trained any more.
    architecture : TmcaArchitecture
        Its preprocessing is used.
    info : ModelInfo
        For the threshold and the provenance.
    device : torch.device
        Where it computes.

    """

    def __init__(self, model: Tmca, architecture: TmcaArchitecture, info: ModelInfo, device: torch.device) -> None:
        self.preprocess = architecture.preprocess
        self.info = info
        self.device = device
        self._generations = generations(info)
        self._networks = {0: self._made_ready(model)}
        self._generation = 0
        self._is_chosen = False
        self._picture: torch.Tensor | None = None
        self._scan: Scan | None = None
        self._window = (0.0, 0.0)
        self._is_mirrored = False
        self._seen: dict[int, _Seen] = {}
        self._image_only: dict[int, _ImageOnly] = {}

    @classmethod
    def load(cls, model: str | Path = DEFAULT_MODEL, device: str = "auto") -> Predictor:
        """Load installed weights by name, or a folder.

        Parameters
        ----------
        model : str or Path
            Name of an installed model, or a folder that `tmca_core.model.checkpoint.save_model` wrote.
        device : str
            "auto", "cpu", "cuda" or "mps".

        Raises
        ------
        CheckpointError
            If there is no such model, or it is damaged or unsafe.
        DeviceError
            If this machine has no such device.

        """
        chosen = choose_device(device)
        return cls(*load_model(find_model(model)), chosen)

    @property
    def model(self) -> Tmca:
        """The network that answers: the model's own, or that of a base (see `tmca_core.model.gate`)."""
        return self._network(self._generation)

    @property
    def _answering(self) -> ModelInfo:
        """What is known of the network that answers."""
        return self._generations[self._generation][1] if self._generation else self.info

    def _network(self, generation: int) -> Tmca:
        """Return a network by its place among the generations, 0 being the newest; a base is loaded when needed."""
        if generation not in self._networks:
            self._networks[generation] = self._made_ready(load_model(self._generations[generation][1].folder)[0])
        return self._networks[generation]

    def _made_ready(self, model: Tmca) -> Tmca:
        fold_batch_norms(model.eval())
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
        return model.to(self.device)

    def _choose(self, slices: NDArray[np.generic], told: Sequence[str]) -> None:
        """Choose the newest network that was taught scans or reports like these; the oldest answers for all others."""
        last = len(self._generations) - 1
        if last > 0:
            gates = [gate for gate, _ in self._generations]
            oldest = self._network(last)
            with torch.inference_mode():
                if self._picture is None:
                    some = slices[np.unique(np.linspace(0, len(slices) - 1, BATCH_SLICES).round().astype(int))]
                    self._picture = describe(oldest.encode_image(self._to_network(some))).mean(0)
                words = None
                if told and any(gate is not None and gate.is_of_words for gate in gates):
                    words = describe_words(oldest.encode_reports(oldest.tokenizer([told]).to(self.device)))[0]
            picture = self._picture
            answering = next(i for i, gate in enumerate(gates) if gate is None or gate.lets_through(picture, words))
            if answering != self._generation:
                self._seen, self._image_only = {}, {}
            self._generation = answering
        self._is_chosen = True

    def _to_network(self, slices: NDArray[np.generic]) -> torch.Tensor:
        size = self.preprocess.image_size
        images = to_network(standardise(slices, self._window), (size, size))
        return images.to(self.device, memory_format=torch.channels_last)

    def set_scan(self, scan: Scan) -> None:
        """Choose the scan; its features are computed when first needed and kept until another scan is set.

        A picture in colour is looked at twice, as it is and mirrored with mirrored words; its logits are the mean.

        Raises
        ------
        StudyReadError
            If the scan has no pixel, or values that are NaN or infinite.

        """
        if min(scan.shape) == 0:
            raise StudyReadError(
                f"Expected an image with pixels, got shape {scan.shape}.", hint="Choose another image."
            )
        if np.issubdtype(scan.pixels.dtype, np.inexact) and not np.isfinite(scan.pixels).all():
            raise StudyReadError(
                "Expected finite pixel values, got NaN or infinity in the image.",
                hint="Replace them (for example with the smallest value) and try again.",
            )
        self._window = intensity_window(scan.pixels, self.preprocess)
        self._scan = scan
        self._seen, self._image_only = {}, {}
        # Radiographs and MRI gain nothing by it; what has colour (endoscopy, histology) has no patient's side.
        self._is_mirrored = is_coloured(scan, self._window)
        self._generation, self._is_chosen, self._picture = 0, False, None

    def predict(
        self,
        report: Report | None,
        threshold: float | None = None,
        *,
        slices: range | None = None,
        smoothing: float = SMOOTHING,
    ) -> Segmentation:
        """Segment the scan by a report; see `predict_steps`."""
        return finished(self.predict_steps(report, threshold, slices=slices, smoothing=smoothing))

    def predict_steps(
        self,
        report: Report | None,
        threshold: float | None = None,
        *,
        slices: range | None = None,
        smoothing: float = SMOOTHING,
    ) -> Generator[SlicesDone, None, Segmentation]:
        """Segment the scan by a report, batch of slices by batch of slices.

        Parameters
        ----------
        report : Report or None
            ``None``, or a report without a sentence about the picture, segments by the image alone.
        threshold : float, optional
            Probability from which a pixel belongs to the mask; the model's own where not given.
        slices : range, optional
            Of a volume, the slices to look at, from 0 and one after the other; the others get a probability of 0. All
            of them where not given.
        smoothing : float
            Gaussian across the slices of a volume whose spacing is known, in slices; 0 leaves each slice as the network
            gave it. Pages or frames without spacing may have nothing to do with each other, and are never smoothed.

        Yields
        ------
        SlicesDone
            After every batch. Closing the generator cancels.

        Returns
        -------
        Segmentation

        Raises
        ------
        ValueError
            If no scan is set, the threshold is outside 0..1, or the slices are not those of the scan.
        CheckpointError
            If the network answers with numbers that are not finite.

        """
        if self._scan is None:
            raise ValueError("set_scan before predict")
        if threshold is not None and not 0.0 <= threshold <= 1.0:
            raise ValueError(f"threshold: expected 0..1, got {threshold}")
        told = () if report is None else told_sentences(report)
        used = () if report is None else tuple(report.sentences[i].text for i in report.used)
        stack = scan_slices(self._scan)
        self._choose(stack, told)
        started = time.perf_counter()
        with torch.inference_mode():
            # Together: a sentence that is in several is encoded once.
            words = self._encode([told, *self._mirrored_words(told), used])
        last = 1 + self._is_mirrored
        embedding, sentences = _Told(words.at(0), words.at(last - 1)), words.at(last) if used else None
        timings = {"report": time.perf_counter() - started, "image": 0.0}
        wanted = range(len(stack)) if slices is None else slices
        if len(wanted) == 0 or wanted.step != 1 or not 0 <= wanted.start < wanted.stop <= len(stack):
            raise ValueError(f"slices: expected some of 0..{len(stack) - 1}, one after the other, got {slices}")
        parts = _Parts.empty((len(stack), *self._scan.shape[-2:]), wanted, has_words=bool(told))
        for first in range(wanted.start, wanted.stop, BATCH_SLICES):
            indices = range(first, min(first + BATCH_SLICES, wanted.stop))
            started = time.perf_counter()
            seen = self._seen_in(indices, stack)
            if told:
                parts.add_image_only(indices, [self._image_only_of(i, seen[i], len(wanted)) for i in indices])
            timings["image"] += time.perf_counter() - started
            started = time.perf_counter()
            parts.add(indices, [self._decode(seen[i], embedding, sentences) for i in indices])
            timings["report"] += time.perf_counter() - started
            yield SlicesDone(indices.stop - wanted.start, len(wanted))
        distances = self._distances(parts.target_sums, embedding.report) if told else ()
        return self._assemble(self._scan, report, parts, distances, threshold, timings, smoothing)

    def pooled_features(self) -> NDArray[np.float32]:
        """Return what the encoder sees in the scan, pooled to one vector of unit length: two coarsest levels, (C,).

        The network is the one that answered last for this scan.

        Raises
        ------
        ValueError
            If no scan is set.

        """
        if self._scan is None:
            raise ValueError("set_scan before pooled_features")
        slices = scan_slices(self._scan)
        if not self._is_chosen:
            self._choose(slices, ())
        total: torch.Tensor | None = None
        for first in range(0, len(slices), BATCH_SLICES):
            seen = self._seen_in(range(first, min(first + BATCH_SLICES, len(slices))), slices)
            for one in seen.values():
                levels = one.features.levels[2:]
                pooled = torch.cat([normalize(x.float().mean(dim=(0, 2, 3)), dim=0) for x in levels])
                total = pooled if total is None else total + pooled
        vector: NDArray[np.float32] = normalize(total, dim=0).cpu().numpy()  # type: ignore[arg-type]  # one slice at least
        return vector

    def word_attention_steps(self, report: Report, sentence: int) -> Generator[SlicesDone, None, WordAttention]:
        """Compute what the network looks at for each word of one sentence, told the whole report.

        A word's map comes from the mean embedding of its word pieces, as a sentence's comes from all of its tokens.

        Parameters
        ----------
        report : Report
            As it was predicted with.
        sentence : int
            Index into ``report.sentences``, one of ``report.used``.

        Yields
        ------
        SlicesDone
            After every slice. Closing the generator cancels.

        Returns
        -------
        WordAttention

        Raises
        ------
        ValueError
            If no scan is set, or the sentence is not in use.

        """
        if self._scan is None:
            raise ValueError("set_scan before word_attention_steps")
        if sentence not in report.used:
            raise ValueError(f"sentence {sentence} is not in use; sentences that are: {report.used}")
        text, offset = report.sentences[sentence].text, report.sentences[sentence].start
        words = words_in(text)
        slices = scan_slices(self._scan)
        sentences = told_sentences(report)
        self._choose(slices, sentences)
        with torch.inference_mode():
            told, own = self._encode([sentences]), self._encode([(text,)])
        member = _tokens_of_words(self.model.tokenizer.offsets(text), words).to(self.device)
        answers: list[list[NDArray[np.float32]]] = []  # per slice and level (W, h, w)
        for i in range(len(slices)):
            features = self._seen_in(range(i, i + 1), slices)[i].features
            with torch.inference_mode():
                output = self.model.decode(features, told)
                levels = self.model.text_attention(output, own.tokens[0], member)
            answers.append([_maps(level) for level in levels])
            yield SlicesDone(i + 1, len(slices))
        per_level = [np.stack(maps, axis=1) for maps in zip(*answers, strict=True)]  # (W, Z, h, w)
        is_volume = self._scan.ndim == 3
        return WordAttention(
            sentence,
            tuple((offset + start, offset + end) for start, end in words),
            tuple(tuple(level[w] if is_volume else level[w, 0] for level in per_level) for w in range(len(words))),
        )

    def _encode(self, told: Sequence[Sequence[str]]) -> ReportEmbedding:
        return self.model.encode_reports(self.model.tokenizer(told).to(self.device))

    def _mirrored_words(self, told: Sequence[str]) -> list[tuple[str, ...]]:
        """Return what is told of the mirrored picture, where there is one to look at."""
        return [tuple(swap_sides(sentence) for sentence in told)] if self._is_mirrored else []

    def _seen_in(self, indices: range, slices: NDArray[np.generic]) -> dict[int, _Seen]:
        missing = [i for i in indices if i not in self._seen]
        fresh: dict[int, _Seen] = {}
        if missing:
            images = self._to_network(slices[missing[0] : missing[-1] + 1])
            with torch.inference_mode():
                batch = self.model.encode_image(images)
                mirrored = self.model.encode_image(images.flip(-1)) if self._is_mirrored else None
            places = {i: i - missing[0] for i in missing}
            fresh = {i: _Seen(batch.at(j), mirrored.at(j) if mirrored else None) for i, j in places.items()}
        if len(slices) <= MAX_CACHED_SLICES:
            self._seen.update(fresh)
        return {i: fresh[i] if i in fresh else self._seen[i] for i in indices}

    def _answer(self, seen: _Seen, told: _Told) -> tuple[TmcaOutput, torch.Tensor]:
        """Return the answer to a slice, and its logits, which are the mean of both looks."""
        output = self.model.decode(seen.features, told.report)
        if seen.mirrored is None:
            return output, output.logits
        mirrored = self.model.decode(seen.mirrored, told.mirrored).logits.flip(-1)
        return output, (output.logits + mirrored) / 2

    def _image_only_of(self, index: int, seen: _Seen, num_slices: int) -> _ImageOnly:
        known = self._image_only.get(index)
        if known is None:
            with torch.inference_mode():
                nothing = self._encode([()])
                output, logits = self._answer(seen, _Told(nothing, nothing))
                sums = self.model.target_sums(output)
            known = _ImageOnly(self._logits(logits), sums)
            if num_slices <= MAX_CACHED_SLICES:
                self._image_only[index] = known
        return known

    def _distances(self, target_sums: list[list[torch.Tensor]], report: ReportEmbedding) -> tuple[float, ...]:
        """Return D per level between a report and what all slices show without it."""
        with torch.inference_mode():
            z = self.model.text_vectors(masked_mean(report.tokens.float(), report.mask))
            per_level = zip(*target_sums, strict=True)
            vectors = [normalize(torch.stack(parts).sum(0), dim=-1) for parts in per_level]
            return tuple(semantic_distances(v, z).item() for v in vectors)

    def _logits(self, logits: torch.Tensor) -> NDArray[np.float32]:
        """Return logits on the scan's grid, (1, Y, X), at the calibrated temperature."""
        scan: Scan = self._scan  # type: ignore[assignment]  # set before anything is decoded
        values = to_scan(logits, (scan.shape[-2], scan.shape[-1])) / np.float32(self._answering.calibration.temperature)
        if not np.isfinite(values).all():
            raise CheckpointError(
                f"{self.info.name} returned numbers that are not finite.", hint="Use another model, or another device."
            )
        return values

    def _decode(self, seen: _Seen, told: _Told, sentences: ReportEmbedding | None) -> _SliceAnswer:
        with torch.inference_mode():
            output, logits = self._answer(seen, told)
            per_level = [] if sentences is None else self.model.sentence_attention(output, sentences)
        num_sentences = len(per_level[0]) if per_level else 0
        return _SliceAnswer(
            self._logits(logits),
            [_maps(level.attention) for level in output.levels],
            [[_maps(level[i : i + 1]) for level in per_level] for i in range(num_sentences)],
        )

    def _assemble(
        self,
        scan: Scan,
        report: Report | None,
        parts: _Parts,
        distances: tuple[float, ...],
        threshold: float | None,
        timings: dict[str, float],
        smoothing: float,
    ) -> Segmentation:
        is_volume = scan.ndim == 3
        wanted, size = parts.wanted, self.preprocess.image_size
        logits, alone = parts.logits, parts.alone
        answering = self._answering
        temperature, judge = answering.calibration.temperature, answering.calibration.agreement
        inside = slice(wanted.start, wanted.stop)
        evidence: tuple[float, ...] = ()
        if alone is not None:
            evidence = agreement_evidence(distances, logits[inside], alone[inside], temperature=temperature)
        is_smoothed = is_volume and scan.spacing_mm is not None and smoothing > 0 and len(wanted) > 1
        if is_smoothed:
            for values in (logits, alone):
                if values is not None:
                    smooth_across(values[inside], smoothing)
        agreement = judge.of(evidence) if judge is not None and len(evidence) == len(judge.weights) else None
        is_low = judge is not None and agreement is not None and agreement < judge.warning
        return Segmentation(
            logits=logits if is_volume else logits[0],
            threshold=answering.threshold if threshold is None else threshold,
            attention=tuple(level if is_volume else level[0] for level in parts.attention),
            sentence_attention=tuple(
                tuple(level if is_volume else level[0] for level in levels) for levels in parts.sentence_attention
            ),
            report=report,
            provenance=Provenance(
                model_name=answering.name,
                model_version=answering.version,
                model_sha256=answering.weights_sha256,
                device=self.device.type,
                versions=dict(_versions()),
                timings_s=timings,
                network_shape=(size, size),
            ),
            messages=(
                *_messages(scan, report, has_words=alone is not None, low_agreement=agreement if is_low else None),
                *_slice_messages(wanted, len(logits), is_smoothed=is_smoothed),
                *self._generation_messages(),
            ),
            image_only_logits=alone if is_volume or alone is None else alone[0],
            distances=distances,
            evidence=evidence,
            agreement=agreement,
            has_low_agreement=is_low,
        )

    def _generation_messages(self) -> tuple[str, ...]:
        if self._generation == 0:
            return ()
        gate = self._generations[0][0]
        if gate is not None and gate.is_of_words:
            return (f"No sentence is like those that {self.info.name} learned from: {self._answering.name} answered.",)
        return (f"The image is unlike those that {self.info.name} learned from: {self._answering.name} answered.",)


def _tokens_of_words(offsets: Sequence[tuple[int, int] | None], words: Sequence[tuple[int, int]]) -> torch.Tensor:
    """Return (W, T): 1 where a token lies in a word, else 0."""
    inside = [[span is not None and start <= span[0] and span[1] <= end for span in offsets] for start, end in words]
    return torch.tensor(inside, dtype=torch.float32).reshape(len(words), len(offsets))


def _maps(attention: torch.Tensor) -> NDArray[np.float32]:
    """Return (N, 1, h, w) as (N, h, w)."""
    maps: NDArray[np.float32] = attention[:, 0].float().cpu().numpy()
    return maps


def _messages(scan: Scan, report: Report | None, *, has_words: bool, low_agreement: float | None) -> tuple[str, ...]:
    messages = list(report.notes) if report is not None else []
    if not has_words:
        messages.append("Image-only mode: the network was given no sentence about the picture.")
    if low_agreement is not None:
        messages.append(
            f"Report and image hardly go together (agreement {low_agreement:.0%}): is it the report of this image? "
            "Compare with the image-only mask."
        )
    if float(scan.pixels.min()) == float(scan.pixels.max()):
        messages.append("The image is constant: there is nothing to see in it.")
    return tuple(dict.fromkeys(messages))


def _slice_messages(wanted: range, count: int, *, is_smoothed: bool) -> tuple[str, ...]:
    which = f"Slices {wanted.start + 1} to {wanted.stop} of {count} were segmented; the others are left empty."
    smoothed = "Probabilities are smoothed across neighbouring slices."
    return (which,) * (len(wanted) < count) + (smoothed,) * is_smoothed


@cache
def _versions() -> dict[str, str]:
    packages = {name: installed_version(name) for name in ("torch", "tokenizers", "transformers", "numpy")}
    return {"napari-tmca": program_version(), "python": platform.python_version(), **packages}
