"""DICOM Segmentation objects: masks that lie on the very frames of their scan. `dicom_seg_read` reads them back.

A segmentation copies the patient's name and number from its scan: the standard asks for it, so that an archive can file
both together. highdicom is imported when it is needed, for it takes half a second.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tmca_core.io._dicom_out import (
    MANUFACTURER,
    NOTICE,
    Maker,
    coded,
    made_from_source,
    mask_of_source,
    object_options,
    save_dicom,
)
from tmca_core.io.terms import names_of_labels, term_of
from tmca_core.io.write import check_shape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from pydicom import Dataset

    from tmca_core.io._dicom_source import SourceImages
    from tmca_core.study import Provenance, Scan

SegKind = Literal["binary", "fractional", "labelmap"]


def write_dicom_seg(
    path: Path | str,
    mask: NDArray[np.generic],
    scan: Scan,
    *,
    kind: SegKind = "binary",
    probability: NDArray[np.floating[Any]] | None = None,
    names: Mapping[int, str] | None = None,
    provenance: Provenance | None = None,
    is_edited: bool = False,
    has_empty_frames: bool = False,
) -> tuple[str, ...]:
    """Write a mask as a DICOM segmentation that refers to the instances of its scan.

    Parameters
    ----------
    path : Path or str
        ``.dcm``.
    mask : NDArray of bool or whole numbers, shape of the scan
        Labels, zero is background. An empty mask is written as one segment of empty frames.
    scan : Scan
        As `tmca_core.io.read_scan` read it from DICOM; its files must still be there.
    kind : {"binary", "fractional", "labelmap"}
        One bit per voxel and segment, numbered 1, 2, ... in the order of the labels; 8-bit probabilities of one
        segment; or one frame per slice that holds the labels' own numbers.
    probability : NDArray of float, shape of the scan
        0..1; needed by "fractional", and by nothing else.
    names : Mapping of int to str, optional
        What each label outlines: a key of `tmca_core.io.terms.TERMS`, or any words.
    provenance : Provenance, optional
        Of the network; ``None`` for a mask that was drawn by hand.
    is_edited : bool
        Whether a person changed the network's mask; it is then marked SEMIAUTOMATIC.
    has_empty_frames : bool
        Whether slices without any target get a frame, for programs that take frame numbers for slice numbers.

    Returns
    -------
    tuple of str
        What the user should know, in sentences.

    Raises
    ------
    GeometryError
        If mask or probability have another shape than the scan.
    StudyWriteError
        If the scan's instances cannot be referred to, or the file cannot be written; an old file is then unchanged.
    ValueError
        If mask or probability hold other values, or "fractional" comes without a probability.

    """
    path = Path(path)
    checked = mask_of_source(path, mask, scan)
    labels, source, present = checked.labels, checked.source, checked.present or (1,)
    if kind == "fractional":
        frames: NDArray[np.generic] = source.frames_of(_checked_probability(path, probability, scan), scan)
        present = present[:1]
    elif kind == "labelmap":
        frames = source.frames_of(labels, scan)
    else:
        frames = source.frames_of(np.searchsorted([0, *present], labels).astype(np.uint16), scan)
    has_empty_frames = has_empty_frames or not checked.present
    with made_from_source(path.name):
        maker = Maker(provenance, is_edited)
        dataset = _segmentation(source, frames, kind, present, names, maker, has_empty_frames)
    save_dicom(path, dataset)
    return checked.notes(if_empty="the segmentation says so with empty frames.")


def _checked_probability(
    path: Path, probability: NDArray[np.floating[Any]] | None, scan: Scan
) -> NDArray[np.floating[Any]]:
    if probability is None:
        raise ValueError("a fractional segmentation needs a probability")
    check_shape(path, probability.shape, scan)
    if not ((probability >= 0) & (probability <= 1)).all():
        raise ValueError(f"expected values 0..1, got {probability.min()} to {probability.max()}")
    return probability


def _segmentation(
    source: SourceImages,
    frames: NDArray[np.generic],
    kind: SegKind,
    labels: Sequence[int],
    names: Mapping[int, str] | None,
    maker: Maker,
    has_empty_frames: bool,
) -> Dataset:
    import highdicom as hd

    of_label = names_of_labels(list(labels), dict(names or {}))
    numbers = labels if kind == "labelmap" else range(1, len(labels) + 1)
    return hd.seg.Segmentation(
        source_images=list(source.headers),
        pixel_array=frames if len(source.slices) > 1 or frames.ndim != 3 else frames[0],
        segmentation_type=kind.upper(),
        segment_descriptions=[
            _description(number, of_label[label], maker) for number, label in zip(numbers, labels, strict=True)
        ],
        **object_options("SEG"),
        device_serial_number="none",
        content_label="TMCA",
        content_description=NOTICE,
        series_description=f"Segmentation. {NOTICE}",
        omit_empty_frames=not has_empty_frames,
    )


def _description(number: int, name: str, maker: Maker) -> Any:
    import highdicom as hd

    term = term_of(name)
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=term.label,
        segmented_property_category=coded(term.category),
        segmented_property_type=coded(term.kind),
        algorithm_type=maker.algorithm_type,
        algorithm_identification=_algorithm_identification(maker),
        tracking_uid=hd.UID(),
        tracking_id=f"{term.label} {number}",
        anatomic_regions=[coded(term.region)] if term.region else None,
    )


def _algorithm_identification(maker: Maker) -> Any:
    """Return the network's name, version and sha256 as DICOM states them; ``None`` without a network."""
    import highdicom as hd
    from pydicom.sr.codedict import codes

    if maker.network is None:
        return None
    name, version, sha256 = maker.network
    return hd.AlgorithmIdentificationSequence(
        name=name,
        family=codes.DCM.ArtificialIntelligence,
        version=version,
        source=MANUFACTURER,
        parameters={"weights_sha256": sha256},
    )
