"""What is known of one case: a frozen value, and its JSON form in ``case.json``."""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from tmca_core.errors import ProjectError
from tmca_core.report import Choices, choices_from_json
from tmca_core.study import AS_IT_IS, Reading

CASE_FORMAT = "tmca-case/1"
QUALITIES = range(1, 6)


class Status(StrEnum):
    """How far a case has come.

    ``NEW``: nothing was saved. ``SEGMENTED``: a mask was saved, and nobody has said that it is done. ``CORRECTED``: the
    annotator is done. ``APPROVED``: a second reader agrees. ``FLAGGED``: set aside by the annotator, or returned by the
    second reader; the comment says why.
    """

    NEW = "new"
    SEGMENTED = "segmented"
    CORRECTED = "corrected"
    APPROVED = "approved"
    FLAGGED = "flagged"


@dataclass(frozen=True)
class MaskFile:
    """A mask in the case's folder, ``<name>.json`` beside it telling where it comes from.

    Attributes
    ----------
    name : str
        File name, with no folder.
    sha256 : str
        Of the file.
    num_voxels : int
        Voxels (pixels) that are not background.

    """

    name: str
    sha256: str
    num_voxels: int


@dataclass(frozen=True)
class CaseRecord:
    """One case of a project.

    Attributes
    ----------
    id : str
        Number in the project, and the name of the case's folder. Never taken from data.
    image : Path
        The scan's file, or the folder of its DICOM series. It stays where it is.
    image_sha256 : str
        Of that file; of a folder, over names and contents of its files.
    modality : str
        DICOM modality code, "" where unknown.
    shape : tuple of int
        (Y, X) or (Z, Y, X) of the scan.
    spacing_mm : tuple of float, or None
        In the same order; ``None`` where unknown.
    status : Status
    annotator, reviewer : str
        Who saved last, and who approved or returned it; "" for nobody.
    quality : int or None
        1 (bad) to 5, as judged by the annotator.
    comment : str
        Of annotator or reviewer.
    active_s : float
        Seconds of work, gaps over a minute left out (`tmca_core.project.activity`).
    ai, corrected, previous : MaskFile or None
        The network's mask, the annotator's mask, and the annotator's mask of the save before.
    dice_ai : float or None
        Dice between ``ai`` and ``corrected``, 0..1; ``None`` unless both are there.
    report_sha256 : str
        Of the report's text as last saved; "" without a report.
    choices : Choices
        What the reader decided of the report's sentences otherwise than was understood.
    revision : int
        Number of saves.
    added, changed : str
        ISO 8601, UTC.
    patient : str
        Pseudonym that cases of one patient share (`tmca_core.project.patient`); "" in projects made before version 0.4,
        until it is needed.
    rejected : tuple of str
        Sentences of whose parts in the network's mask the annotator left nothing.
    reading : Reading
        What was chosen of the image when it was added: spacing, affine, and the like. It is always read so.

    """

    id: str
    image: Path
    image_sha256: str
    modality: str = ""
    shape: tuple[int, ...] = ()
    spacing_mm: tuple[float, ...] | None = None
    status: Status = Status.NEW
    annotator: str = ""
    reviewer: str = ""
    quality: int | None = None
    comment: str = ""
    active_s: float = 0.0
    ai: MaskFile | None = None
    corrected: MaskFile | None = None
    previous: MaskFile | None = None
    dice_ai: float | None = None
    report_sha256: str = ""
    choices: Choices = field(default_factory=Choices)
    revision: int = 0
    added: str = ""
    changed: str = ""
    patient: str = ""
    rejected: tuple[str, ...] = ()
    reading: Reading = AS_IT_IS

    def __post_init__(self) -> None:
        if self.quality is not None and self.quality not in QUALITIES:
            raise ValueError(f"quality: expected 1..5 or None, got {self.quality}")

    @property
    def name(self) -> str:
        """File name of the image, for people."""
        return self.image.name

    @property
    def mask(self) -> MaskFile | None:
        """The mask that counts: the annotator's, else the network's."""
        return self.corrected or self.ai

    @property
    def state_sha256(self) -> str:
        """Of what can be learned from the case as it is saved: image, masks, report, rejected sentences."""
        masks = (mask.sha256 if mask else "" for mask in (self.ai, self.corrected))
        parts = (self.image_sha256, *masks, self.report_sha256, *self.rejected)
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()

    def as_json(self, folder: Path) -> dict[str, Any]:
        """Return the content of ``case.json``; the image is also given as seen from the project's ``folder``."""
        values = asdict(self)
        values["image"] = str(self.image)
        values["image_from_project"] = _relative(self.image, folder)
        values["status"] = self.status.value
        return {"format": CASE_FORMAT, **values}


def record_from_json(values: object, folder: Path | None, source: str) -> CaseRecord:
    """Return the record in the parsed ``case.json`` of a project in ``folder``.

    Keys that are not known are left alone. Of the two ways to the image, the first that exists is taken, so that a
    project can be moved with its images; without a folder nothing is looked for, and the image is where it last was.

    Raises
    ------
    ProjectError
        If it is no such content; ``source`` is named.

    """
    try:
        if not isinstance(values, dict) or values["format"] != CASE_FORMAT:
            raise ValueError("format")
        known = {f.name: values[f.name] for f in fields(CaseRecord) if f.name in values}
        known["image"] = Path(values["image"]) if folder is None else _image(values, folder)
        known["status"] = Status(known["status"])
        known["choices"] = choices_from_json(values["choices"]) if "choices" in values else Choices()
        known["shape"] = tuple(int(n) for n in known["shape"])
        known["rejected"] = tuple(str(sentence) for sentence in known.get("rejected", ()))
        known["reading"] = _reading(values.get("reading", {}))
        known["patient"] = str(known.get("patient", ""))
        spacing = known["spacing_mm"]
        known["spacing_mm"] = None if spacing is None else tuple(float(step) for step in spacing)
        for kind in ("ai", "corrected", "previous"):
            known[kind] = None if known[kind] is None else _mask_file(known[kind])
        return CaseRecord(**known)
    except (KeyError, TypeError, ValueError) as error:
        raise ProjectError(
            f"{source}: expected a case of the format {CASE_FORMAT}, and its content does not fit ({error}).",
            hint="It may come from a newer version of the program; the file was left as it is.",
        ) from error


def now() -> str:
    """Return the time as it stands in records: ISO 8601, UTC, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _mask_file(values: dict[str, Any]) -> MaskFile:
    mask = MaskFile(str(values["name"]), str(values["sha256"]), int(values["num_voxels"]))
    if Path(mask.name).name != mask.name or not mask.name:
        raise ValueError("a mask outside the case's folder")
    return mask


def _reading(values: dict[str, Any]) -> Reading:
    known = {f.name: values[f.name] for f in fields(Reading) if f.name in values}
    if known.get("spacing") is not None:
        known["spacing"] = tuple(float(step) for step in known["spacing"])
    return Reading(**known)


def _image(values: dict[str, Any], folder: Path) -> Path:
    image, relative = Path(values["image"]), values.get("image_from_project")
    if relative and not image.exists():
        moved = Path(os.path.normpath(folder / relative))
        return moved if moved.exists() else image
    return image


def _relative(image: Path, folder: Path) -> str | None:
    try:
        return Path(os.path.relpath(image, folder)).as_posix()
    except ValueError:  # another drive
        return None
