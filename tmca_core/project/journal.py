"""The autosave of a mask being edited: an append-only file of what changed, each record with its checksum.

A process may be killed at any byte. Reading takes every whole record and stops at the first that is not; what was
appended before is never touched again. The journal stands for itself: its first record of a mask holds all of it.

File: "TMCAJ1" and a line feed, then records of 4 bytes length and 4 bytes CRC-32 (little endian) of the payload, and
the payload: a line of JSON (kind, time, shape), then bytes. For masks these are zlib-packed: count, positions in C
order as steps from one to the next (uint32), values (uint16).
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import time
import zlib
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tmca_core.errors import ProjectError
from tmca_core.report import Choices, choices_from_json

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

JOURNAL_NAME = "journal.tmca"
MAGIC = b"TMCAJ1\n"
RESTART_BYTES = 64 << 20
_HEAD = struct.Struct("<II")
_MAX_RECORD = 1 << 30

Kind = Literal["mask", "ai"]


@dataclass(frozen=True, eq=False)
class Recovered:
    """What a journal holds.

    Attributes
    ----------
    mask, ai : NDArray[np.uint16] or None
        The mask being edited, and the network's, as last written; ``None`` where there was none.
    report : str or None
        The report's text as last written.
    choices : Choices or None
        What the reader decided of its sentences, as last written.
    provenance : dict or None
        What was written with the network's mask.
    time : float
        Of the last record, seconds since 1970.
    num_records : int
        Whole records read.
    note : str
        What was left out, in one sentence; "" where everything was whole.

    """

    mask: NDArray[np.uint16] | None = None
    ai: NDArray[np.uint16] | None = None
    report: str | None = None
    choices: Choices | None = None
    provenance: dict[str, Any] | None = None
    time: float = 0.0
    num_records: int = 0
    note: str = ""


class Journal:
    """A journal that is written to; a journal of before at the same path is replaced by the first record.

    Parameters
    ----------
    path : Path
        Its file; made with the first record, so that looking at a case leaves no trace.
    sync : bool
        Whether each record is flushed to the disk, for power failures. A killed process loses no record either way.

    """

    def __init__(self, path: Path, *, sync: bool = True) -> None:
        self._path, self._sync = path, sync
        self._file: Any = None
        self._masks: dict[Kind, NDArray[np.uint16]] = {}
        self._report: str | None = None
        self._choices: Choices | None = None
        self._provenance: dict[str, Any] | None = None

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write_mask(self, mask: NDArray[np.integer[Any]], kind: Kind = "mask") -> int:
        """Append what changed since the last call, and return the number of voxels; 0 writes nothing.

        Parameters
        ----------
        mask : NDArray of whole numbers 0..65535
            Another shape than before starts anew.
        kind : {"mask", "ai"}

        Raises
        ------
        ProjectError
            If it cannot be written.

        """
        known = self._masks.get(kind)
        is_new = known is None or known.shape != mask.shape
        before = np.zeros(mask.shape, dtype=np.uint16) if known is None or is_new else known
        changed = np.flatnonzero(mask != before)
        if not changed.size and not is_new:
            return 0
        values = mask.reshape(-1)[changed]
        if values.size and (values.min() < 0 or values.max() > np.iinfo(np.uint16).max):
            raise ProjectError("The autosave keeps labels 0..65535, got others.", hint="Use smaller labels.")
        self._append(
            {"kind": kind, "shape": list(mask.shape), "is_whole": is_new}, _pack(changed, values.astype(np.uint16))
        )
        before.reshape(-1)[changed] = values
        self._masks[kind] = before
        if self._file is not None and self._file.tell() > RESTART_BYTES:
            self._restart()
        return int(changed.size)

    @property
    def has_mask(self) -> bool:
        """Whether a mask being edited stands in it."""
        return "mask" in self._masks

    @property
    def has_choices(self) -> bool:
        """Whether something that the reader decided stands in it."""
        return self._choices is not None

    def write_ai(self, mask: NDArray[np.integer[Any]], provenance: dict[str, Any]) -> int:
        """Append the network's mask and where it comes from; returns 0 where nothing changed."""
        is_told = provenance != self._provenance
        if is_told:
            self._append({"kind": "provenance"}, json.dumps(provenance).encode())
            self._provenance = provenance
        return int(is_told) + self.write_mask(mask, "ai")

    def write_report(self, text: str) -> int:
        """Append the report's text where it changed; returns 0 where it did not."""
        if text == self._report:
            return 0
        self._append({"kind": "report"}, text.encode("utf-8", "surrogatepass"))
        self._report = text
        return 1

    def write_choices(self, choices: Choices) -> int:
        """Append what the reader decided of sentences where it changed; returns 0 where it did not."""
        if choices == self._choices:
            return 0
        self._append({"kind": "choices"}, json.dumps(asdict(choices)).encode())
        self._choices = choices
        return 1

    def remove(self) -> None:
        """Close and delete it: what it held is saved now. The next record starts a new one."""
        self.close()
        self._masks, self._report, self._choices, self._provenance = {}, None, None, None
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file and leave it there."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None

    def _append(self, head: dict[str, Any], content: bytes) -> None:
        payload = json.dumps({**head, "time": time.time()}).encode() + b"\n" + content
        try:
            if self._file is None:
                # Unbuffered: each record is one write, in the hands of the system when the call returns.
                self._file = self._path.open("wb", buffering=0)
                self._file.write(MAGIC)
            self._file.write(_HEAD.pack(len(payload), zlib.crc32(payload)) + payload)
            if self._sync:
                os.fsync(self._file.fileno())
        except OSError as error:
            self.close()
            self._masks, self._report, self._choices, self._provenance = {}, None, None, None
            raise ProjectError(
                f"The autosave could not be written ({error.strerror}).",
                hint="Save now, or save elsewhere; what is on the screen is not kept otherwise.",
            ) from error

    def _restart(self) -> None:
        """Write everything anew into a second file and put it in the place of the first."""
        other = Journal(self._path.with_name(self._path.name + ".new"), sync=self._sync)
        if self._report is not None:
            other.write_report(self._report)
        if self._choices is not None:
            other.write_choices(self._choices)
        if self._provenance is not None:
            other.write_ai(self._masks.get("ai", np.zeros((0,), dtype=np.uint16)), self._provenance)
        if "mask" in self._masks:
            other.write_mask(self._masks["mask"])
        other.close()
        self.close()
        os.replace(other._path, self._path)
        self._file = self._path.open("ab", buffering=0)


def read_journal(path: Path) -> Recovered | None:
    """Return what a journal holds; ``None`` where there is none, or nothing whole in it. Never raises for its content.

    Records after a damaged one are not read: they build upon it.
    """
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if not content.startswith(MAGIC):
        return None
    found, offset = Recovered(), len(MAGIC)
    while offset < len(content):
        taken = _record_at(content, offset)
        found_next = None if taken is None else _apply(found, taken[0])
        if taken is None or found_next is None:
            lost = len(content) - offset
            found = replace(found, note=f"The last {lost:,} bytes of the autosave are damaged and were left out.")
            break
        found, offset = replace(found_next, num_records=found.num_records + 1), taken[1]
    return found if found.num_records else None


def _record_at(content: bytes, offset: int) -> tuple[bytes, int] | None:
    if offset + _HEAD.size > len(content):
        return None
    length, checksum = _HEAD.unpack_from(content, offset)
    start = offset + _HEAD.size
    payload = content[start : start + length]
    if length > _MAX_RECORD or len(payload) != length or zlib.crc32(payload) != checksum:
        return None
    return payload, start + length


def _apply(found: Recovered, payload: bytes) -> Recovered | None:
    line, _, content = payload.partition(b"\n")
    try:
        head = json.loads(line)
        kind = head["kind"]
        found = replace(found, time=float(head["time"]))
        if kind == "report":
            return replace(found, report=content.decode("utf-8", "surrogatepass"))
        if kind == "choices":
            return replace(found, choices=choices_from_json(json.loads(content)))
        if kind == "provenance":
            return replace(found, provenance=json.loads(content))
        before = found.mask if kind == "mask" else found.ai
        shape = tuple(head["shape"])
        if head["is_whole"] or before is None or before.shape != shape:
            before = np.zeros(shape, dtype=np.uint16)
        positions, values = _unpack(content)
        before.reshape(-1)[positions] = values
        return replace(found, mask=before) if kind == "mask" else replace(found, ai=before)
    except (ValueError, KeyError, TypeError, IndexError, zlib.error):
        return None


def _pack(positions: NDArray[np.intp], values: NDArray[np.uint16]) -> bytes:
    steps = np.diff(positions, prepend=0).astype(np.uint32)
    return zlib.compress(struct.pack("<Q", positions.size) + steps.tobytes() + values.astype("<u2").tobytes(), 1)


def _unpack(content: bytes) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
    raw = zlib.decompress(content)
    (count,) = struct.unpack_from("<Q", raw)
    steps = np.frombuffer(raw, dtype="<u4", count=count, offset=8)
    values = np.frombuffer(raw, dtype="<u2", count=count, offset=8 + 4 * count)
    return np.cumsum(steps, dtype=np.int64), values.astype(np.uint16)
