"""A study as a table, and as a paragraph for the methods section of a paper."""

from __future__ import annotations

import csv
import io
import json
import statistics
from typing import TYPE_CHECKING, Any

from tmca_core.atomic import atomic_write
from tmca_core.project.record import Status

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tmca_core.project.project import Project
    from tmca_core.project.record import CaseRecord, MaskFile

COLUMNS = (
    "id", "image", "image_sha256", "report_sha256", "modality", "shape", "spacing_mm", "status", "annotator",
    "reviewer", "quality", "comment", "active_s", "num_voxels_ai", "num_voxels_corrected", "num_added", "num_removed",
    "dice_ai", "model_name", "model_version", "model_sha256", "threshold", "revision", "added", "changed",
)  # fmt: skip


def export_csv(project: Project, path: Path) -> int:
    """Write one row per case, in the order of the cases, and return their number.

    Columns are `COLUMNS`; sizes are voxels, times seconds, spacing millimetres; blank is unknown or does not apply. The
    image is named by its file name, without its folder.

    Raises
    ------
    StudyWriteError
        If the file cannot be written; an old one is then unchanged.

    """
    records = project.cases()
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for record in records:
        writer.writerow(_row(project, record))
    with atomic_write(path) as stream:
        stream.write(text.getvalue().encode("utf-8", "surrogateescape"))
    return len(records)


def methods_text(project: Project) -> str:
    """Return a paragraph that says how the masks of a project came about, with the numbers of the project as it is."""
    records = project.cases()
    if not records:
        return "The project has no cases yet."
    worked = [record for record in records if record.status != Status.NEW]
    annotators = {record.annotator for record in worked if record.annotator}
    kinds = sorted({record.modality for record in records if record.modality})
    sentences = [
        f"An annotation project of {_count(len(records), 'scan')} ({', '.join(kinds) or 'modality not stated'}) was "
        f"worked on in napari with the plugin napari-tmca (version {_version()}); "
        f"{_count(len(annotators), 'annotator')} saved {_count(len(worked), 'case')}."
    ]
    if not worked:
        return sentences[0]
    sentences += _about_network(project, records)
    sentences += _about_masks(records)
    sentences += _about_time(worked)
    sentences += _about_review(records)
    return " ".join(sentences)


def _about_network(project: Project, records: Sequence[CaseRecord]) -> list[str]:
    networks = {
        (str(told["model_name"]), str(told["model_version"]), str(told["model_sha256"]))
        for told in (network_of(project, record) for record in records)
        if told.get("model_sha256")
    }
    if not networks:
        return []
    named = "; ".join(f"{name} version {version}, sha256 {sha256[:12]}" for name, version, sha256 in sorted(networks))
    with_report = sum(1 for record in records if record.ai is not None and record.report_sha256)
    proposed = sum(1 for record in records if record.ai is not None)
    return [
        f"Initial masks of {_count(proposed, 'scan')} were proposed by a language-guided segmentation network "
        f"({named}), for {with_report} of them with the radiology report as input."
    ]


def _about_masks(records: Sequence[CaseRecord]) -> list[str]:
    scores = [record.dice_ai for record in records if record.dice_ai is not None]
    drawn = sum(1 for record in records if record.corrected is not None)
    found = [f"The annotators' own masks were stored for {_count(drawn, 'scan')}, beside the proposed ones."]
    if scores:
        found.append(
            f"The Dice coefficient between proposed and final mask was {statistics.fmean(scores):.3f} on average "
            f"(median {statistics.median(scores):.3f}, n = {len(scores)})."
        )
    return found


def _about_time(worked: Sequence[CaseRecord]) -> list[str]:
    times = [record.active_s for record in worked if record.active_s > 0]
    if not times:
        return []
    return [
        f"The active time per scan was {statistics.median(times):.0f} s in the median (n = {len(times)}), with pauses "
        "of more than 60 s left out."
    ]


def _about_review(records: Sequence[CaseRecord]) -> list[str]:
    approved = sum(1 for record in records if record.status == Status.APPROVED)
    flagged = sum(1 for record in records if record.status == Status.FLAGGED)
    reviewers = {record.reviewer for record in records if record.reviewer}
    if not reviewers:
        return [f"{_count(flagged, 'scan')} were set aside with a comment."] if flagged else []
    return [
        f"{_count(len(reviewers), 'second reader')} reviewed the masks beside the proposed ones: {approved} were "
        f"approved, {flagged} stand flagged with a comment."
    ]


def _row(project: Project, record: CaseRecord) -> dict[str, Any]:
    told = told_of(project, record, record.corrected)
    network = network_of(project, record)
    values: dict[str, Any] = {name: getattr(record, name) for name in COLUMNS if hasattr(record, name)}
    values |= {
        "image": record.name,
        "shape": "x".join(map(str, record.shape)),
        "spacing_mm": "x".join(f"{step:g}" for step in record.spacing_mm or ()),
        "num_voxels_ai": record.ai.num_voxels if record.ai else None,
        "num_voxels_corrected": record.corrected.num_voxels if record.corrected else None,
        "num_added": told.get("num_added"),
        "num_removed": told.get("num_removed"),
        "dice_ai": None if record.dice_ai is None else round(record.dice_ai, 4),
    }
    return values | {name: network.get(name) for name in ("model_name", "model_version", "model_sha256", "threshold")}


def told_of(project: Project, record: CaseRecord, mask: MaskFile | None) -> dict[str, Any]:
    """Return the provenance beside a mask of a case; empty where there is none."""
    if mask is None:
        return {}
    try:
        path = project.case_folder(record.id) / f"{mask.name}.json"
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def network_of(project: Project, record: CaseRecord) -> dict[str, Any]:
    """Return what is told of the network behind a case's proposed mask; empty where there is none."""
    network = told_of(project, record, record.ai).get("network")
    return network if isinstance(network, dict) else {}


def _count(number: int, singular: str) -> str:
    return f"{number:,} {singular}" if number == 1 else f"{number:,} {singular}s"


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("napari-tmca")
    except PackageNotFoundError:
        return "unknown"
