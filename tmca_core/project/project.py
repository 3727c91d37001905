"""An annotation project: a folder with plain files per case, and an index over them.

project.json            format, name
index.sqlite            can be deleted at any time
held_out.json           cases set aside to judge a training by
cases/00001/            case.json, report.txt, ai-0001.png(.json), corrected-0002.png(.json), events.jsonl, ...
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from tmca_core.atomic import atomic_write
from tmca_core.display import to_display
from tmca_core.errors import ProjectError, TmcaError
from tmca_core.io import read_mask, read_scan
from tmca_core.project.case import Draft, OpenCase, Unsaved, unsaved_in
from tmca_core.project.files import (
    CASE_NAME,
    THUMBNAIL_NAME,
    hash_image,
    hash_text,
    read_labels,
    read_text,
    write_json,
    write_text,
)
from tmca_core.project.index import Index, read_record
from tmca_core.project.lock import CaseLock, acquire, holder_of
from tmca_core.project.patient import patient_of
from tmca_core.project.provenance import compare_masks
from tmca_core.project.record import CaseRecord, Status, now
from tmca_core.project.sources import Source, find_sources
from tmca_core.report import read_report
from tmca_core.study import AS_IT_IS, Reading, Scan

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from os import PathLike

PROJECT_NAME, FORMAT = "project.json", "tmca-project/1"
HELD_OUT_NAME = "held_out.json"
THUMBNAIL_PIXELS = 64
_BATCH = 50


@dataclass(frozen=True)
class CaseAdded:
    """One image is a case of the project now; ``notes`` says what of its report or mask could not be taken."""

    record: CaseRecord
    done: int
    total: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class CaseSkipped:
    """One image is not added; ``reason`` says why in a sentence. The others go on."""

    image: Path
    reason: str
    done: int
    total: int


class Project:
    """A project on disk; `create` and `open` make it. For one thread: another thread opens its own.

    Attributes
    ----------
    folder : Path
        Absolute.
    name : str
        For people.
    key : str
        With which pseudonyms of patients are made.

    """

    def __init__(self, folder: Path, name: str, key: str) -> None:
        self.folder, self.name, self.key = folder, name, key
        self._index = Index(folder)
        self._index.refresh()

    @classmethod
    def create(cls, folder: str | PathLike[str], name: str = "") -> Project:
        """Make a project in a folder that is empty or does not exist yet.

        Raises
        ------
        ProjectError
            If there is something in the folder already, or it cannot be made.

        """
        path = Path(folder).absolute()
        try:
            path.mkdir(parents=True, exist_ok=True)
            if any(path.iterdir()):
                what = "is a project already" if (path / PROJECT_NAME).exists() else "is not empty"
                raise ProjectError(f"{path}: expected an empty folder for a new project, and it {what}.", hint=_CHOOSE)
            (path / "cases").mkdir()
        except OSError as error:
            raise ProjectError(f"{path}: a project cannot be made there ({error.strerror}).", hint=_CHOOSE) from error
        name, key = name or path.name, secrets.token_hex(16)
        write_json(path / PROJECT_NAME, {"format": FORMAT, "name": name, "created": now(), "key": key})
        return cls(path, name, key)

    @classmethod
    def open(cls, folder: str | PathLike[str]) -> Project:
        """Open a project.

        Raises
        ------
        ProjectError
            If the folder holds none, or one of a newer program.

        """
        path = Path(folder).absolute()
        try:
            values = json.loads((path / PROJECT_NAME).read_text(encoding="utf-8"))
            found = values["format"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ProjectError(
                f"{path}: expected the folder of a project, with a {PROJECT_NAME} in it.",
                hint="Choose another folder, or make a project with `tmca project init`.",
            ) from error
        if found != FORMAT:
            raise ProjectError(f"{path}: expected a project of {FORMAT}, got {found}.", hint="Update the program.")
        try:
            (path / "cases").mkdir(exist_ok=True)
        except OSError as error:
            raise ProjectError(f"{path}: the folder of the cases is missing.", hint="Restore it.") from error
        # Projects made before version 0.4 have no key of their own.
        return cls(path, str(values.get("name", path.name)), str(values.get("key", values.get("created", ""))))

    def __enter__(self) -> Project:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the index."""
        self._index.close()

    # --- looking -----------------------------------------------------------------------------------------------------

    def cases(
        self, *, status: Status | str = "", text: str = "", sort: str = "id", descending: bool = False
    ) -> list[CaseRecord]:
        """Return the cases with a status and ``text`` in id, file name, modality, annotator or comment.

        ``sort`` is one of "id", "name", "modality", "size", "status", "annotator", "time", "dice", "changed".
        """
        return self._index.find(status=str(status), text=text, sort=sort, descending=descending)

    def case(self, case_id: str) -> CaseRecord:
        """Return the record of a case, from its file."""
        return read_record(self.folder, _checked(case_id))

    def counts(self) -> dict[Status, int]:
        """Return the number of cases per status, of those that occur."""
        return {Status(status): count for status, count in self._index.counts().items()}

    @property
    def unreadable(self) -> tuple[str, ...]:
        """A sentence for each case whose file is damaged; such a case is in no list."""
        return self._index.unreadable

    def refresh(self) -> int:
        """Take over what other processes have saved; return the number of cases read."""
        return self._index.refresh()

    def rebuild(self) -> int:
        """Make the index anew from the cases; return their number."""
        return self._index.rebuild()

    def case_folder(self, case_id: str) -> Path:
        """Return the folder of a case."""
        return self.folder / "cases" / _checked(case_id)

    def thumbnail(self, case_id: str) -> Path:
        """Return where the small picture of a case is; it may be missing."""
        return self.case_folder(case_id) / THUMBNAIL_NAME

    def report(self, case_id: str) -> str:
        """Return the text of a case's report; "" without one."""
        return read_text(self.case_folder(case_id) / "report.txt")

    # --- working on a case -------------------------------------------------------------------------------------------

    def open_case(self, case_id: str, who: str = "") -> OpenCase:
        """Open a case; if somebody else has it open, read-only (`OpenCase.why_read_only`).

        Raises
        ------
        ProjectError
            If there is no such case.

        """
        return OpenCase(self.folder, _checked(case_id), who, lambda record: self._index.put([record]))

    def approve(self, case_id: str, reviewer: str, comment: str | None = None) -> CaseRecord:
        """Say as second reader that a case is right. No model is needed, nor the image.

        Raises
        ------
        ProjectError
            If it has no mask, or somebody has it open.

        """
        record = self.case(case_id)
        if record.mask is None:
            raise ProjectError(f"Case {case_id} has no mask to approve.", hint="Return it, or segment it.")
        return self._judge(case_id, Status.APPROVED, reviewer, comment)

    def give_back(self, case_id: str, reviewer: str, comment: str) -> CaseRecord:
        """Return a case to its annotator with a comment that says why; it is flagged.

        Raises
        ------
        ProjectError
            If there is no comment, or somebody has the case open.

        """
        if not comment.strip():
            raise ProjectError("A case is returned with a comment, and there is none.", hint="Say what to change.")
        return self._judge(case_id, Status.FLAGGED, reviewer, comment)

    def _judge(self, case_id: str, status: Status, reviewer: str, comment: str | None) -> CaseRecord:
        with self.open_case(case_id, reviewer) as case:
            draft = Draft(status=status, reviewer=reviewer, comment=comment, annotator=case.record.annotator)
            return case.save(_no_scan(case.record), draft)

    def compare(self, case_id: str) -> dict[str, Any]:
        """Return how the annotator's mask differs from the network's: voxels added and removed, and Dice.

        Empty where one of the two is missing.
        """
        record, folder = self.case(case_id), self.case_folder(case_id)
        if record.ai is None or record.corrected is None:
            return {}
        ai, corrected = (
            read_labels(folder / mask.name, mask.sha256, record.reading) for mask in (record.ai, record.corrected)
        )
        return compare_masks(ai, corrected)

    def unsaved(self) -> list[Unsaved]:
        """Return what autosaves of killed or closed sittings hold and nobody has saved; the newest first.

        Cases that somebody has open now are left out.
        """
        found = []
        for record in self._index.find():
            folder = self.case_folder(record.id)
            if _has_autosave(folder) and holder_of(folder) is None:
                found.extend(unsaved_in(folder, record))
        return sorted(found, key=lambda unsaved: -unsaved.time)

    def unsaved_of(self, case_id: str) -> list[Unsaved]:
        """Return the same of one case, whoever has it open."""
        return unsaved_in(self.case_folder(case_id), self.case(case_id))

    def discard_unsaved(self, case_id: str, name: str) -> None:
        """Offer an autosave no more; the file stays, as ``discarded-...``.

        Raises
        ------
        ProjectError
            If the folder cannot be written to.

        """
        path = self.case_folder(case_id) / Path(name).name
        number = 1
        while (kept := path.with_name(f"discarded-{number:03d}.tmca")).exists():
            number += 1
        try:
            os.replace(path, kept)
        except OSError as error:
            raise ProjectError(f"{name}: could not be put aside ({error.strerror}).", hint=_CHOOSE) from error

    # --- learning from the cases -------------------------------------------------------------------------------------

    def know_patients(self) -> int:
        """Note the patient of every case that an older version added without one; return how many were noted.

        Read from the images' headers and names. A case that somebody has open keeps waiting.
        """
        noted = []
        for record in self._index.find():
            if not record.patient:
                patient = patient_of(self.case(record.id).image, self.key)
                changed = self._note_patient(record.id, patient)
                noted += [changed] if changed is not None else []
        self._index.put(noted)
        return len(noted)

    def _note_patient(self, case_id: str, patient: str) -> CaseRecord | None:
        folder = self.case_folder(case_id)
        try:
            lock = acquire(folder, "")
        except OSError:  # the folder cannot be written to
            return None
        if not isinstance(lock, CaseLock):
            return None
        try:
            record = replace(self.case(case_id), patient=patient)
            write_json(folder / CASE_NAME, record.as_json(self.folder))
        except TmcaError:
            return None
        finally:
            lock.release()
        return record

    @property
    def held_out(self) -> dict[str, bool]:
        """The marks of cases: held out to judge by (``True``), or never so; a case without one may become either."""
        try:
            marks = json.loads((self.folder / HELD_OUT_NAME).read_text(encoding="utf-8"))["cases"]
            return {str(case_id): bool(mark) for case_id, mark in marks.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def hold_out(self, case_ids: Iterable[str], mark: bool | None) -> None:
        """Mark cases as held out, as never held out, or (``None``) leave it to the next training.

        Raises
        ------
        ProjectError
            If there is no such case.
        StudyWriteError
            If the marks cannot be written.

        """
        marks = self.held_out
        for case_id in case_ids:
            self.case(case_id)
            marks.pop(case_id, None)
            if mark is not None:
                marks[case_id] = mark
        write_json(self.folder / HELD_OUT_NAME, {"cases": dict(sorted(marks.items()))})

    # --- classes -----------------------------------------------------------------------------------------------------

    @property
    def class_names(self) -> dict[int, str]:
        """What the labels of masks are called, by number; those that nobody named are not in it."""
        try:
            names = json.loads((self.folder / PROJECT_NAME).read_text(encoding="utf-8")).get("class_names", {})
            return {int(label): str(name) for label, name in names.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def name_classes(self, names: Mapping[int, str]) -> None:
        """Name labels of masks from now on; masks that were saved before keep what stands beside them.

        Raises
        ------
        ProjectError
            If the file of the project cannot be read.
        StudyWriteError
            If it cannot be written.

        """
        path = self.folder / PROJECT_NAME
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ProjectError(f"{path}: the project cannot be read ({error}).", hint="Check the disk.") from error
        write_json(path, {**values, "class_names": {str(label): name for label, name in sorted(names.items())}})

    # --- adding ------------------------------------------------------------------------------------------------------

    def add(
        self, paths: Iterable[str | PathLike[str]], reading: Reading = AS_IT_IS
    ) -> Iterator[CaseAdded | CaseSkipped]:
        """Add files, folders and CSV tables (`tmca_core.project.sources.find_sources`), one event per image.

        Images stay where they are, and are always read as ``reading`` says, where a table says nothing else. One that
        is in the project already is skipped, and so is what cannot be read. Closing the generator stops it; what was
        added stays.

        Raises
        ------
        ProjectError
            If a path does not exist, a table cannot be read, or the project cannot be written to.

        """
        return self._add(find_sources((Path(path).absolute() for path in paths), reading))

    def _add(self, sources: Sequence[Source]) -> Iterator[CaseAdded | CaseSkipped]:
        pending: list[CaseRecord] = []
        known: dict[tuple[str, Reading], list[str]] = {}  # not in the index yet
        queue, done = list(sources), 0
        try:
            while done < len(queue):
                source = queue[done]
                done += 1
                try:
                    sha256 = hash_image(source.image)
                    report, notes = _report_of(source)
                    same = [r for r in self._index.with_image(sha256) if r.reading == source.reading]
                    present = [*known.get((sha256, source.reading), []), *(r.report_sha256 for r in same)]
                    if present and (not report.strip() or hash_text(report) in present):
                        yield CaseSkipped(source.image, "It is in the project already.", done, len(queue))
                        continue
                    record, more = self._add_one(source, sha256, report)
                except TmcaError as error:
                    if source.alternatives:
                        queue[done - 1 : done] = [Source(p, reading=source.reading) for p in source.alternatives]
                        done -= 1
                        continue
                    yield CaseSkipped(source.image, str(error), done, len(queue))
                    continue
                known.setdefault((sha256, source.reading), []).append(record.report_sha256)
                pending.append(record)
                if len(pending) >= _BATCH:
                    self._index.put(pending)
                    pending = []
                yield CaseAdded(record, done, len(queue), (*notes, *more))
        finally:
            self._index.put(pending)

    def _add_one(self, source: Source, sha256: str, report: str) -> tuple[CaseRecord, tuple[str, ...]]:
        scan = read_scan(source.image, **asdict(source.reading))
        folder = self._new_folder()
        try:
            record = CaseRecord(
                id=folder.name,
                image=source.image,
                image_sha256=sha256,
                modality=scan.modality,
                shape=scan.shape,
                spacing_mm=scan.spacing_mm,
                report_sha256=hash_text(report),
                added=now(),
                changed=now(),
                patient=patient_of(source.image, self.key, told=source.patient, folder=source.patient_folder),
                reading=source.reading,
            )
            if report.strip():
                write_text(folder / "report.txt", report)
            _write_thumbnail(folder / THUMBNAIL_NAME, scan)
            write_json(folder / CASE_NAME, record.as_json(self.folder))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        if source.mask_path is None:
            return record, ()
        try:
            with OpenCase(self.folder, record.id, "", lambda _: None) as case:
                mask = _labels_of(source.mask_path, source.reading)
                record = case.save(scan, Draft(corrected=mask, is_imported=True, status=Status.CORRECTED))
        except TmcaError as error:
            return record, (f"The mask was not taken: {error}",)
        return record, ()

    def _new_folder(self) -> Path:
        """Make the folder of the next number; two processes that add at once get two."""
        cases = self.folder / "cases"
        number = max((int(entry.name) for entry in cases.iterdir() if entry.name.isdecimal()), default=0)
        while True:
            number += 1
            folder = cases / f"{number:05d}"
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            except OSError as error:
                raise ProjectError(
                    f"{self.folder}: no case can be added ({error.strerror}).", hint="Check the disk."
                ) from error
            return folder


_CHOOSE = "Choose another folder."


def _checked(case_id: str) -> str:
    if not case_id.isdecimal() or not case_id.isascii():
        raise ProjectError(f"Expected the number of a case, such as 00001, got {case_id!r}.", hint="See the list.")
    return case_id


def _has_autosave(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(e.name.endswith(".tmca") and not e.name.startswith("discarded-") for e in entries)
    except OSError:
        return False


def _no_scan(record: CaseRecord) -> Scan:
    """Return a stand-in for saving a judgement, which writes no mask."""
    return Scan(pixels=np.zeros((1,) * len(record.shape), dtype=np.uint8))


def _report_of(source: Source) -> tuple[str, tuple[str, ...]]:
    if source.report_path is None:
        return source.report_text, ()
    try:
        return read_report(source.report_path), ()
    except TmcaError as error:
        return "", (f"The report was not taken: {error}",)


def _labels_of(path: Path, reading: Reading) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """Return a mask made elsewhere: labels from NIfTI, target and background from pictures."""
    if path.name.lower().endswith((".nii", ".nii.gz")):
        values = np.asarray(read_scan(path, affine=reading.affine).pixels)
        if values.dtype.kind in "iu" and values.min(initial=0) >= 0 and values.max(initial=0) <= 65535:
            return values.astype(np.uint16)
    return read_mask(path).astype(np.uint16)


def _write_thumbnail(path: Path, scan: Scan) -> None:
    middle = scan.pixels if scan.ndim == 2 else scan.pixels[scan.pixels.shape[0] // 2]
    step = max(1, min(middle.shape[:2]) // (4 * THUMBNAIL_PIXELS))
    picture = Image.fromarray(to_display(middle[::step, ::step], is_rgb=scan.is_rgb))
    spacing = scan.spacing_mm[-2:] if scan.spacing_mm else (1.0, 1.0)
    height, width = middle.shape[0] * spacing[0], middle.shape[1] * spacing[1]
    scale = THUMBNAIL_PIXELS / max(height, width)
    picture = picture.resize((max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.BILINEAR)
    with atomic_write(path) as stream:
        picture.save(stream, "PNG")
