"""What ``result.json`` says: enough to repeat and to judge a segmentation, and nothing that names a patient.

File names, folders and the report's own words may hold a name. They are left out: the scan is known by its sha256, the
sentences by their character offsets into the report, and the report by its sha256.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from tmca_core.consistency import check_consistency
from tmca_core.report import read_facts, statement, tellings

if TYPE_CHECKING:
    from pathlib import Path

    from tmca_core.study import Report, Scan, Segmentation

FORMAT = "tmca-result/1"
_CHUNK_BYTES = 1 << 20


def describe_result(scan: Scan, segmentation: Segmentation) -> dict[str, Any]:
    """Return the content of ``result.json``, ready for `json.dumps`; "files" is an empty object to be filled.

    Lengths are millimetres. ``area_fraction`` is the share of the picture's pixels (of the volume's voxels) that belong
    to the mask; ``area_mm2`` (pictures) and ``volume_mm3`` (volumes) are null where the spacing is unknown.
    """
    provenance = segmentation.provenance
    return {
        "format": FORMAT,
        "model": {
            "name": provenance.model_name,
            "version": provenance.model_version,
            "sha256": provenance.model_sha256,
        },
        "versions": dict(provenance.versions),
        "device": provenance.device,
        "timings_s": {name: round(seconds, 4) for name, seconds in provenance.timings_s.items()},
        "network_shape": list(provenance.network_shape),
        "scan": {"sha256": _sha256_of_file(scan.source), "modality": scan.modality},
        "geometry": describe_geometry(scan),
        "report": describe_report(segmentation.report),
        "sentences": describe_sentences(segmentation.report),
        "threshold": segmentation.threshold,
        "agreement": segmentation.agreement,
        "confidence": segmentation.confidence,
        "consistency": describe_consistency(segmentation),
        **measure(scan, segmentation),
        "messages": list(segmentation.messages),
        "files": {},
    }


def describe_geometry(scan: Scan) -> dict[str, Any]:
    """Return shape, axes, spacing and affine of the grid on which all results lie."""
    return {
        "shape": list(scan.shape),
        "axes": "YX" if scan.ndim == 2 else "ZYX",
        "is_rgb": scan.is_rgb,
        "spacing_mm": None if scan.spacing_mm is None else list(scan.spacing_mm),
        "affine_ras": None if scan.affine_ras is None else np.asarray(scan.affine_ras).tolist(),
        "notes": list(scan.notes),
    }


def describe_report(report: Report | None) -> dict[str, Any] | None:
    """Return what identifies the report and what it states, without its words; ``None`` in image-only mode."""
    if report is None:
        return None
    return {
        "sha256": hashlib.sha256(report.text.encode("utf-8", "surrogatepass")).hexdigest(),
        "num_characters": len(report.text),
        "statement": statement(read_facts(report)),
        "notes": list(report.notes),
    }


def describe_sentences(report: Report | None) -> list[dict[str, Any]]:
    """Return where each sentence stands in the report, how it was understood, and how the network was told it."""
    if report is None:
        return []
    used = frozenset(report.used)
    return [
        {
            "start": sentence.start,
            "end": sentence.end,
            "section": sentence.section,
            "sides": sorted(sentence.sides),
            "is_negated": sentence.is_negated,
            "is_about_picture": sentence.is_about_picture,
            "is_used": index in used,
            "telling": telling,
        }
        for index, (sentence, telling) in enumerate(zip(report.sentences, tellings(report), strict=True))
    ]


def describe_consistency(segmentation: Segmentation) -> list[dict[str, Any]]:
    """Return how the mask compares with what the report states."""
    if segmentation.report is None:
        return []
    return [asdict(remark) for remark in check_consistency(segmentation.mask, segmentation.report)]


def measure(scan: Scan, segmentation: Segmentation) -> dict[str, Any]:
    """Return the size of the mask in pixels, as a fraction, and in millimetres where the spacing is known."""
    num_pixels = int(np.count_nonzero(segmentation.mask))
    size_mm = None if scan.spacing_mm is None else num_pixels * math.prod(scan.spacing_mm)
    return {
        "num_pixels": num_pixels,
        "area_fraction": num_pixels / segmentation.mask.size,
        "area_mm2": size_mm if scan.ndim == 2 else None,
        "volume_mm3": size_mm if scan.ndim == 3 else None,
    }


def _sha256_of_file(path: Path | None) -> str | None:
    """Return the hash of the scan's file; ``None`` where it is a folder of files or came from no file."""
    if path is None or not path.is_file():
        return None
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
