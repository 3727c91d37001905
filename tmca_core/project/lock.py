"""Who works on a case: a file that names process and host. A second one may look, and not write.

A lock is stale when its process is gone (same host), or when it was not renewed for `HEARTBEAT_S` (another host, where
processes cannot be seen). Whoever loses a lock so finds out at the next save, by its token.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tmca_core.project.record import now

if TYPE_CHECKING:
    from typing import Any

LOCK_NAME = "lock.json"
HEARTBEAT_S = 300.0

# Tokens of this process's own locks: a lock with our process id and another token is of a dead process that had it.
_held: set[str] = set()


@dataclass(frozen=True)
class Holder:
    """Who holds a lock.

    Attributes
    ----------
    pid : int
    host : str
    who : str
        Annotator.
    since : str
        ISO 8601, UTC.
    token : str
        Random; tells this lock from any other.
    started : str
        When the process was started, by the system's own count; "" where that cannot be known. Process ids return.

    """

    pid: int
    host: str
    who: str
    since: str
    token: str
    started: str = ""

    def describe(self) -> str:
        """Return one sentence for whoever comes second."""
        who = f" by {self.who}" if self.who else ""
        return f"This case is open{who} in another window (process {self.pid} on {self.host}, since {self.since})."


class CaseLock:
    """A lock that is held; made by `acquire`."""

    def __init__(self, path: Path, holder: Holder) -> None:
        self._path, self.holder = path, holder

    @property
    def is_ours(self) -> bool:
        """Whether it is still held; another host may have taken it for stale."""
        current = _read(self._path)
        return current is not None and current.token == self.holder.token

    def renew(self) -> None:
        """Show other hosts that this process lives."""
        with contextlib.suppress(OSError):
            os.utime(self._path)

    def release(self) -> None:
        """Give it up; a lock that was lost stays with its new holder."""
        if self.holder.token in _held and self.is_ours:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
        _held.discard(self.holder.token)


def acquire(folder: Path, who: str = "") -> CaseLock | Holder:
    """Take the lock of a case's folder, or return who holds it.

    Raises
    ------
    OSError
        If the folder cannot be written to.

    """
    path = folder / LOCK_NAME
    pid = os.getpid()
    mine = Holder(pid, socket.gethostname(), who, now(), secrets.token_hex(16), _started(pid))
    for _ in range(10):
        if _create(path, mine):
            _held.add(mine.token)
            return CaseLock(path, mine)
        other = _read(path)
        if other is None and path.exists() and _age_s(path) < 5.0:
            continue  # being written at this moment
        if other is not None and not _is_stale(path, other):
            return other
        _put_aside(path, other)
    return _read(path) or mine


def holder_of(folder: Path) -> Holder | None:
    """Return the living holder of a case, or ``None``."""
    path = folder / LOCK_NAME
    other = _read(path)
    return None if other is None or _is_stale(path, other) else other


def _create(path: Path, mine: Holder) -> bool:
    """Make the file with its content in one step, so that nobody sees it half written."""
    temporary = path.parent / f".lock-{mine.token}"
    try:
        temporary.write_text(json.dumps(asdict(mine)), encoding="utf-8")
        if hasattr(os, "link"):
            try:
                os.link(temporary, path)
            except FileExistsError:
                return False
            except OSError:  # a disk without hard links
                return _create_plainly(path, mine)
            return True
        return _create_plainly(path, mine)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _create_plainly(path: Path, mine: Holder) -> bool:
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(mine)))
    except FileExistsError:
        return False
    return True


def _read(path: Path) -> Holder | None:
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))
        return Holder(**values)
    except (OSError, ValueError, TypeError):
        return None


def _put_aside(path: Path, seen: Holder | None) -> None:
    """Remove a stale lock; one that somebody else took in the meantime is put back."""
    aside = path.parent / f".stale-{secrets.token_hex(8)}"
    try:
        os.rename(path, aside)
    except OSError:
        return
    moved = _read(aside)
    if moved is not None and (seen is None or moved.token != seen.token):
        _create(path, moved)
    with contextlib.suppress(OSError):
        aside.unlink()


def _is_stale(path: Path, other: Holder) -> bool:
    if other.host != socket.gethostname():
        return _age_s(path) > HEARTBEAT_S
    if other.pid == os.getpid():
        return other.token not in _held
    if not _is_alive(other.pid):
        return True
    started = _started(other.pid)
    return bool(started and other.started) and started != other.started


def _age_s(path: Path) -> float:
    """Return seconds since the last renewal, by the clock of the disk that holds the file."""
    probe = path.parent / f".clock-{secrets.token_hex(6)}"
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime
    except OSError:
        return 0.0
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    if sys.platform == "win32":
        import ctypes

        query_limited, still_active = 0x1000, 259
        handle = ctypes.windll.kernel32.OpenProcess(query_limited, False, pid)
        if not handle:
            return False
        code = ctypes.c_ulong()
        ctypes.windll.kernel32.GetExitCodeProcess(handle, ctypes.byref(code))
        ctypes.windll.kernel32.CloseHandle(handle)
        return code.value == still_active
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _stat_fields(pid: int) -> list[str]:
    """Return the fields of Linux' /proc/<pid>/stat behind the program's name, from the state on; else nothing."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _is_zombie(pid: int) -> bool:
    return _stat_fields(pid)[:1] == ["Z"]


def _started(pid: int) -> str:
    found = _stat_fields(pid)
    return found[19] if len(found) > 19 else ""
