"""One case, opened: read it, save it, judge it. Saving is one step: all of it or nothing of it is in ``case.json``."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tmca_core.errors import GeometryError, ProjectError, StudyWriteError
from tmca_core.io import read_scan_steps
from tmca_core.project.activity import active_seconds, append_events, event, read_events
from tmca_core.project.files import (
    CASE_NAME,
    OLD_REPORT_NAME,
    REPORT_NAME,
    hash_image,
    hash_text,
    mask_suffix,
    read_labels,
    read_text,
    remove,
    write_json,
    write_labels,
    write_text,
)
from tmca_core.project.index import read_record
from tmca_core.project.journal import JOURNAL_NAME, Journal, Recovered, read_journal
from tmca_core.project.lock import CaseLock, Holder, acquire
from tmca_core.project.provenance import MaskProvenance, compare_masks
from tmca_core.project.record import CaseRecord, MaskFile, Status, now
from tmca_core.steps import finished

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping

    from numpy.typing import NDArray

    from tmca_core.io import FilesRead
    from tmca_core.project.activity import Event
    from tmca_core.report import Choices
    from tmca_core.study import Scan

UNSAVED_PREFIX = "unsaved-"
_RENEW_S = 30.0
_ABANDONED_S = 3600.0
MaskKind = Literal["ai", "corrected", "previous"]


@dataclass(frozen=True, eq=False)
class Draft:
    """What is to be saved of a case; ``None`` leaves what was saved before.

    Attributes
    ----------
    report : str, optional
    choices : Choices, optional
        What the reader decided of its sentences.
    ai : NDArray of whole numbers, shape of the scan, optional
        The network's mask.
    network : dict
        Of that mask, `describe_segmentation`.
    corrected : NDArray of whole numbers, shape of the scan, optional
        The annotator's mask.
    is_imported : bool
        Whether the annotator's mask was made elsewhere.
    status : Status, optional
    annotator, reviewer, comment : str, optional
    quality : int, optional
        1..5.
    rejected : tuple of str, optional
        Sentences of whose parts nothing is left.
    class_names : Mapping of int to str
        What labels of the masks are called.

    """

    report: str | None = None
    choices: Choices | None = None
    ai: NDArray[np.integer[Any]] | None = None
    network: dict[str, Any] | None = None
    corrected: NDArray[np.integer[Any]] | None = None
    is_imported: bool = False
    status: Status | None = None
    annotator: str | None = None
    reviewer: str | None = None
    comment: str | None = None
    quality: int | None = None
    rejected: tuple[str, ...] | None = None
    class_names: Mapping[int, str] = field(default_factory=dict)


class OpenCase:
    """A case of a project, opened by one reader; `Project.open_case` makes it. Close it, or use ``with``.

    Parameters
    ----------
    project_folder : Path
    case_id, who : str
    on_saved : callable
        Takes the new record after every save.
    is_attended : bool
        Whether somebody looks at it; what a program does alone is no active time.

    Attributes
    ----------
    record : CaseRecord
        As last saved.
    held_by : Holder or None
        Who else has the case open; it is then read-only. Also read-only where its folder cannot be written to.
    folder : Path

    """

    def __init__(
        self,
        project_folder: Path,
        case_id: str,
        who: str,
        on_saved: Callable[[CaseRecord], None],
        *,
        is_attended: bool = True,
    ) -> None:
        self._project_folder, self._who, self._on_saved = project_folder, who, on_saved
        self._is_attended = is_attended
        self.folder = project_folder / "cases" / case_id
        read_record(project_folder, case_id)
        self.held_by: Holder | None = None
        self._lock: CaseLock | None = None
        try:
            taken = acquire(self.folder, who)
        except OSError as error:
            self._reason = f"The project's folder cannot be written to ({error.strerror})."
        else:
            self._reason = ""
            if isinstance(taken, CaseLock):
                self._lock = taken
            else:
                self.held_by, self._reason = taken, taken.describe()
        try:
            # Read after the lock is there: whoever had it before may just have saved.
            self.record = read_record(project_folder, case_id)
            self.journal = Journal(self.folder / JOURNAL_NAME)
            self._renewed = time.monotonic()
            if self._lock is not None:
                _put_journal_aside(self.folder, self.record)
                self._note("open")
        except BaseException:
            if self._lock is not None:
                self._lock.release()
            raise

    def __enter__(self) -> OpenCase:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_read_only(self) -> bool:
        """Whether nothing can be saved."""
        return self._lock is None

    @property
    def why_read_only(self) -> str:
        """One sentence; "" for a case that can be saved."""
        return self._reason

    def close(self) -> None:
        """Give the case back. A journal stays; it is empty-handed only after a save."""
        self.journal.close()
        if self._lock is not None:
            if self._lock.is_ours:
                self._note("close")
            self._lock.release()
            self._lock, self._reason = None, "The case was closed."

    # --- reading -----------------------------------------------------------------------------------------------------

    def read_scan(self) -> Scan:
        """Read the image from where it lies, as was chosen when it was added.

        Raises
        ------
        ProjectError
            If it is missing, or is another than the one that was added.
        StudyReadError, GeometryError
            As `tmca_core.io.read_scan`.

        """
        return read_image(self.record)

    def report(self) -> str:
        """Return the report's text; "" without one."""
        return read_text(self.folder / REPORT_NAME)

    def mask(self, kind: MaskKind) -> NDArray[np.uint16] | None:
        """Return a mask with its labels, in the scan's orientation; ``None`` where there is none.

        Raises
        ------
        ProjectError
            If its file is missing, or was changed since it was saved.

        """
        mask: MaskFile | None = getattr(self.record, kind)
        return None if mask is None else read_labels(self.folder / mask.name, mask.sha256, self.record.reading)

    def recover(self, name: str) -> Recovered | None:
        """Return what an autosave of an earlier sitting holds; ``name`` is that of `Unsaved`."""
        return read_journal(self.folder / Path(name).name)

    # --- writing -----------------------------------------------------------------------------------------------------

    def log(self, events: Iterable[Event]) -> None:
        """Append raw events, and show other hosts that the case is still in use."""
        if self._lock is None:
            return
        append_events(self.folder, events)
        if time.monotonic() - self._renewed > _RENEW_S:
            self._lock.renew()
            self._renewed = time.monotonic()

    def _note(self, kind: str) -> None:
        """Log what happens to the case; what happens with nobody before it is no work."""
        self.log([event(kind if self._is_attended else "machine", self._who)])

    def save(self, scan: Scan, draft: Draft) -> CaseRecord:
        """Save a draft, and return the new record; the annotator's mask of the save before is kept.

        Masks go into new files. The step that counts is the last: ``case.json``, which names them, takes the place of
        the one before. A process killed at any point leaves the case before or the case after.

        Raises
        ------
        ProjectError
            If the case is read-only, or somebody else has taken or saved it in the meantime.
        GeometryError
            If a mask has another shape than the scan.
        StudyWriteError
            If a file cannot be written. What was saved before is then unchanged, and the journal stays.

        """
        self._require_ours()
        before, revision = self.record, self.record.revision + 1
        for mask in (draft.ai, draft.corrected):
            if mask is not None and mask.shape != scan.shape:
                raise GeometryError(
                    f"Case {before.id}: expected a mask of the scan's shape {scan.shape}, got {mask.shape}.",
                    hint="Segment the case's own image, or draw on its mask.",
                )
        try:
            self._note("save")
            record = self._write(before, revision, scan, draft)
            write_json(self.folder / CASE_NAME, record.as_json(self._project_folder))
        except OSError as error:
            raise StudyWriteError(
                f"Case {before.id} was not saved ({error.strerror or type(error).__name__}); "
                "what was saved before is unchanged.",
                hint="Check the disk, and save again.",
            ) from error
        self.record = record
        self._on_saved(record)
        self.journal.remove()
        self._sweep()
        return record

    def _write(self, before: CaseRecord, revision: int, scan: Scan, draft: Draft) -> CaseRecord:
        report_sha256 = before.report_sha256
        if draft.report is not None:
            report_sha256 = self._write_report(draft.report)
        choices = before.choices if draft.choices is None else draft.choices
        who = self._who if draft.annotator is None else draft.annotator
        active_s = round(active_seconds(read_events(self.folder)), 1)
        ai_mask, network = draft.ai, draft.network
        if draft.ai is None and draft.corrected is not None:
            ai_mask, network = self.mask("ai"), self._network_of(before.ai)
        told: dict[str, Any] = {
            "scan_sha256": before.image_sha256,
            "report_sha256": report_sha256,
            "annotator": who,
            "created": now(),
            "revision": revision,
            "active_s": active_s,
            "choices": choices.made,
            "network": network or {},
            "class_names": dict(draft.class_names),
        }
        ai = before.ai if draft.ai is None else self._write_mask("ai", "ai", draft.ai, scan, told)
        corrected, previous, dice_ai = before.corrected, before.previous, before.dice_ai
        if draft.corrected is not None:
            differs = compare_masks(ai_mask, draft.corrected)
            kind: Literal["imported", "corrected"] = "imported" if draft.is_imported else "corrected"
            corrected = self._write_mask("corrected", kind, draft.corrected, scan, {**told, **differs})
            dice_ai, previous = differs.get("dice_ai"), before.corrected or before.previous
        elif draft.ai is not None and before.corrected is not None:
            dice_ai = compare_masks(draft.ai, self.mask("corrected")).get("dice_ai")
        return replace(
            before,
            status=before.status if draft.status is None else draft.status,
            annotator=who,
            reviewer=before.reviewer if draft.reviewer is None else draft.reviewer,
            quality=before.quality if draft.quality is None else draft.quality,
            comment=before.comment if draft.comment is None else draft.comment,
            rejected=before.rejected if draft.rejected is None else draft.rejected,
            active_s=active_s,
            ai=ai,
            corrected=corrected,
            previous=previous,
            dice_ai=dice_ai,
            report_sha256=report_sha256,
            choices=choices,
            revision=revision,
            changed=now(),
        )

    def _write_report(self, text: str) -> str:
        path, before = self.folder / REPORT_NAME, self.report()
        if text != before:
            if before:
                write_text(self.folder / OLD_REPORT_NAME, before)
            write_text(path, text)
        return hash_text(text)

    def _write_mask(
        self,
        stem: str,
        kind: Literal["ai", "corrected", "imported"],
        mask: NDArray[np.integer[Any]],
        scan: Scan,
        told: dict[str, Any],
    ) -> MaskFile:
        name = f"{stem}-{told['revision']:04d}{mask_suffix(scan)}"
        sha256 = write_labels(self.folder / name, mask, scan)
        num_voxels = int(np.count_nonzero(mask))
        provenance = MaskProvenance(kind=kind, mask_sha256=sha256, num_voxels=num_voxels, **told)
        write_json(self.folder / f"{name}.json", provenance.as_json())
        return MaskFile(name, sha256, num_voxels)

    def _network_of(self, ai: MaskFile | None) -> dict[str, Any]:
        if ai is None:
            return {}
        try:
            network = json.loads((self.folder / f"{ai.name}.json").read_text(encoding="utf-8")).get("network", {})
        except (OSError, ValueError, AttributeError):
            return {}
        return network if isinstance(network, dict) else {}

    def _require_ours(self) -> None:
        if self._lock is None:
            raise ProjectError(f"Case {self.record.id} is read-only. {self._reason}", hint="Close it there first.")
        current = read_record(self._project_folder, self.record.id)
        if not self._lock.is_ours or current.revision != self.record.revision:
            raise ProjectError(
                f"Case {self.record.id} was taken over or saved elsewhere since it was opened here "
                f"(by {current.annotator or 'somebody'}); nothing was overwritten.",
                hint="Save the labels to a file of your own, then open the case again.",
            )

    def _sweep(self) -> None:
        """Remove masks that the record no longer names, and left-overs of processes that were killed."""
        named = {mask.name for mask in (self.record.ai, self.record.corrected, self.record.previous) if mask}
        named |= {f"{name}.json" for name in named}
        oldest = time.time() - _ABANDONED_S
        try:
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    is_mask = entry.name.startswith(("ai-", "corrected-")) and entry.name not in named
                    is_left = entry.name.startswith((".tmca-", ".lock-", ".clock-", ".stale-"))
                    if is_mask or (is_left and entry.stat(follow_symlinks=False).st_mtime < oldest):
                        remove(Path(entry.path))
        except OSError:
            return


def read_image(record: CaseRecord) -> Scan:
    """Read a case's image from where it lies; raises as `OpenCase.read_scan`."""
    return finished(read_image_steps(record))


def read_image_steps(record: CaseRecord) -> Generator[FilesRead, None, Scan]:
    """Read as `read_image` does, in steps of one file of a series; closing the generator cancels."""
    if not record.image.exists():
        raise ProjectError(
            f"Case {record.id}: the image {record.name} is not where it was ({record.image.parent}).",
            hint="Connect the disk or share that holds it, or move it back.",
        )
    found = hash_image(record.image)
    if found != record.image_sha256:
        raise ProjectError(
            f"Case {record.id}: {record.name} is another image now than when it was added "
            f"(sha256 {record.image_sha256[:12]}, now {found[:12]}).",
            hint="Put the original back, or add the new one as a case of its own.",
        )
    return (yield from read_scan_steps(record.image, **asdict(record.reading)))


@dataclass(frozen=True)
class Unsaved:
    """An autosave of a sitting that ended without saving.

    Attributes
    ----------
    case_id : str
    name : str
        Of the file in the case's folder.
    time : float
        Of the last thing written, seconds since 1970.
    num_voxels : int
        In which its mask differs from the one saved.
    has_other_report : bool
        Whether its report, or what was decided of the report's sentences, differs.
    note : str
        What of it is damaged; "" where it is whole.

    """

    case_id: str
    name: str
    time: float
    num_voxels: int
    has_other_report: bool
    note: str = ""


def unsaved_in(folder: Path, record: CaseRecord) -> list[Unsaved]:
    """Return the autosaves in a case's folder that hold something which is not saved."""
    found = []
    for path in sorted([*folder.glob(f"{UNSAVED_PREFIX}*.tmca"), *folder.glob(JOURNAL_NAME)]):
        recovered = read_journal(path)
        if recovered is None:
            continue
        num_voxels = _difference(folder, record, recovered)
        saved_report = read_text(folder / REPORT_NAME)
        other_report = recovered.report is not None and recovered.report != saved_report
        other_report |= recovered.choices is not None and recovered.choices != record.choices
        if num_voxels or other_report:
            found.append(Unsaved(record.id, path.name, recovered.time, num_voxels, other_report, recovered.note))
    return found


def _difference(folder: Path, record: CaseRecord, recovered: Recovered) -> int:
    if recovered.mask is None:
        return 0
    saved = np.zeros(recovered.mask.shape, dtype=np.uint16)
    if record.mask is not None:
        try:
            saved = read_labels(folder / record.mask.name, record.mask.sha256, record.reading)
        except ProjectError:
            return int(recovered.mask.size)
    if saved.shape != recovered.mask.shape:
        return int(recovered.mask.size)
    return int(np.count_nonzero(saved != recovered.mask))


def _put_journal_aside(folder: Path, record: CaseRecord) -> None:
    """Keep what an earlier sitting left, under a name that this sitting's autosave does not take."""
    path = folder / JOURNAL_NAME
    if not path.exists():
        return
    if not any(unsaved.name == JOURNAL_NAME for unsaved in unsaved_in(folder, record)):
        remove(path)  # it holds what is saved
        return
    number = 1
    while (kept := folder / f"{UNSAVED_PREFIX}{number:03d}.tmca").exists():
        number += 1
    os.replace(path, kept)
