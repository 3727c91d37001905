"""Writing files so that a crash, a full disk or a pulled plug leaves the old file or the new one, never a torn one."""

from __future__ import annotations

import contextlib
import errno
import filecmp
import os
import secrets
import shutil
import stat
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tmca_core.errors import StudyWriteError
from tmca_core.names import trouble_on_windows

if TYPE_CHECKING:
    from collections.abc import Iterator

_IS_WINDOWS = os.name == "nt"
_ABANDONED_S = 3600.0  # a temporary file untouched for this long belongs to a process that was killed

_SENTENCES = {
    errno.ENOSPC: ("no space left on the disk of {folder}", "Free some space or choose another folder."),
    errno.EDQUOT: ("the disk quota of {folder} is used up", "Free some space or choose another folder."),
    errno.EFBIG: ("the file is larger than the disk or the account allows", "Choose another folder."),
    errno.EACCES: ("no permission to write in {folder}", "Choose another folder, or ask for write permission."),
    errno.EPERM: ("no permission to write in {folder}", "Choose another folder, or ask for write permission."),
    errno.EROFS: ("{folder} is on a read-only disk", "Choose another folder."),
    errno.ENOENT: ("the folder {folder} does not exist", "Make the folder first, or choose another one."),
    errno.ENOTDIR: ("{folder} is not a folder", "Choose another folder."),
    errno.EISDIR: ("a folder of that name is in the way", "Choose another file name."),
    errno.ENAMETOOLONG: ("the file name is too long for this disk", "Choose a shorter file name."),
    errno.EIO: ("the disk reports an error", "Check the disk or the network share, or choose another folder."),
}
_NO_SECOND_NAME = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EACCES, errno.EINVAL}
_NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EBADF}  # said by shares that cannot sync a folder


_HELD = {errno.EACCES, errno.EPERM, errno.EBUSY, errno.ETXTBSY}  # Windows says the first for an open file

PREVIOUS_SUFFIX = ".previous"
NEW_SUFFIX = ".new"


@contextlib.contextmanager
def atomic_write(path: Path | str, *, keeps_previous: bool = False) -> Iterator[BinaryIO]:
    """Open a binary file that takes the place of ``path`` only when the block ends without an error.

    The bytes go to a temporary file beside the target, which is flushed to the disk, renamed over the target, and the
    folder is flushed as well. On any error, also one raised inside the block, the temporary file is removed and the
    file at ``path`` is what it was. A symbolic link at ``path`` stays and its target is replaced; permissions of a
    replaced file are kept. Left-overs of killed processes for the same target are removed after an hour.

    Parameters
    ----------
    path : Path or str
        File to write. Its folder must exist.
    keeps_previous : bool
        Whether the file that is replaced stays beside the new one as ``NAME.previous``, in place of an older such file.

    Yields
    ------
    BinaryIO
        Writable and seekable.

    Raises
    ------
    StudyWriteError
        For every error of the operating system, in a sentence that says what is left at ``path``. Where another program
        holds the file at ``path``, the new one is kept beside it as ``NAME.new``, and the sentence says so.

    """
    path = Path(path)
    try:
        target = _writable_target(path)
        temporary = _temporary_beside(target)
        with _removed_on_error(temporary):
            with open(temporary, "xb") as file:
                yield file
                _flush_to_disk(file)
            _keep_permissions(target, temporary)
            if keeps_previous:
                keep_previous(target, temporary)
            _replace(temporary, target)
    except OSError as error:
        raise _sentence(path, error) from error
    _flush_folder(path, target.parent)
    _sweep(target)


def previous_of(path: Path) -> Path:
    """Return where the version before the last save of a file is kept."""
    return path.with_name(path.name + PREVIOUS_SUFFIX)


def keep_previous(target: Path, replacement: Path) -> None:
    """Give the file at ``target`` the second name ``NAME.previous``, in place of an older such file.

    Nothing happens where there is no such file, or the replacement says the same: saving twice keeps the version that
    differs. The file itself is not touched, so that a crash at any moment leaves it where it was. Disks without second
    names get a copy, flushed to the disk. A name too long for the suffix is left without: the new version matters more.

    Raises
    ------
    OSError
        If neither can be made; nothing is then changed.

    """
    if not target.is_file() or filecmp.cmp(target, replacement, shallow=False):
        return
    temporary = _temporary_beside(target)
    with _removed_on_error(temporary):
        try:
            os.link(target, temporary)
        except OSError as error:
            if error.errno not in _NO_SECOND_NAME:
                raise
            _copy(target, temporary)
        try:
            os.replace(temporary, previous_of(target))
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            temporary.unlink(missing_ok=True)


def _replace(temporary: Path, target: Path) -> None:
    """Rename a finished file over its target; where another program holds that, keep it as ``NAME.new`` beside it."""
    try:
        os.replace(temporary, target)
    except OSError as error:
        if error.errno not in _HELD or not target.exists():
            raise
        kept = target.with_name(target.name + NEW_SUFFIX)
        try:
            os.replace(temporary, kept)
        except OSError:
            raise error from None
        raise StudyWriteError(
            f"{target.name}: another program holds this file; it is unchanged, and the new one is kept as {kept.name}.",
            hint="Close the other program and save again.",
        ) from error


def _copy(source: Path, destination: Path) -> None:
    with open(source, "rb") as old, open(destination, "xb") as new:
        shutil.copyfileobj(old, new)
        _flush_to_disk(new)
    shutil.copystat(source, destination)


def _writable_target(path: Path) -> Path:
    """Return the file behind ``path``, links followed; raise where it must not be replaced."""
    if _IS_WINDOWS and (trouble := trouble_on_windows(path.name)):
        raise StudyWriteError(f"{path.name}: {trouble}; nothing was written.", hint="Choose another file name.")
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    # A rename needs no permission on the file it replaces, and must not bypass a write protection.
    if target.exists() and not os.access(target, os.W_OK):
        raise StudyWriteError(
            f"{path.name}: the file is write-protected and was not changed.",
            hint="Choose another file name, or remove the protection.",
        )
    return target


def _temporary_beside(target: Path) -> Path:
    """Return an unused hidden name in the target's folder, short whatever the target's name."""
    return target.parent / f"{_temporary_prefix(target)}{secrets.token_hex(6)}.tmp"


def _temporary_prefix(target: Path) -> str:
    return f".tmca-{zlib.crc32(os.fsencode(target.name)):08x}-"


@contextlib.contextmanager
def _removed_on_error(temporary: Path) -> Iterator[None]:
    """Remove the temporary file when the block is left by any exception, an interrupt included."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def _flush_to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _keep_permissions(target: Path, temporary: Path) -> None:
    """Give the new file the permissions of the one it replaces; a new file has those of the process."""
    with contextlib.suppress(FileNotFoundError):
        os.chmod(temporary, stat.S_IMODE(target.stat().st_mode))


def _flush_folder(path: Path, folder: Path) -> None:
    """Make the rename itself survive a power failure. Windows offers no such call and does it by itself."""
    if _IS_WINDOWS:
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise StudyWriteError(
                f"{path.name}: written, but the disk did not confirm it ({_reason(error)}).",
                hint="Save again, or save to another disk.",
            ) from error


def _sweep(target: Path) -> None:
    """Remove temporary files that killed processes left for this target; a failure here harms nobody."""
    prefix, oldest = _temporary_prefix(target), time.time() - _ABANDONED_S
    with contextlib.suppress(OSError), os.scandir(target.parent) as entries:
        for entry in entries:
            if entry.name.startswith(prefix) and entry.stat(follow_symlinks=False).st_mtime < oldest:
                os.unlink(entry.path)


def _sentence(path: Path, error: OSError) -> StudyWriteError:
    """Return the error as the two sentences a user can act on."""
    text, hint = _SENTENCES.get(error.errno or 0, (_reason(error), "Choose another folder."))
    kept = "the old file is unchanged" if os.path.lexists(path) else "nothing was written"
    return StudyWriteError(f"{path.name}: {text.format(folder=path.absolute().parent)}; {kept}.", hint=hint)


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
