"""A save ends with the old file or the new one: on errors, on a full disk, and when the process is killed."""

from __future__ import annotations

import errno
import os
import random
import signal
import stat
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tmca_core import atomic
from tmca_core.atomic import atomic_write
from tmca_core.errors import StudyWriteError
from tmca_core.names import trouble_on_windows

OLD, NEW = b"old annotation", b"new annotation" * 1000
posix_only = pytest.mark.skipif(os.name == "nt", reason="POSIX signals and limits")


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "mask.nii.gz"
    path.write_bytes(OLD)
    return path


def _save_and_fail(target, error):
    with atomic_write(target) as file:
        file.write(NEW)
        raise error


def _only(target):
    return [entry.name for entry in target.parent.iterdir()] == [target.name]


def test_a_new_file_appears_whole(tmp_path):
    with atomic_write(tmp_path / "mask.png") as file:
        file.write(NEW)
        assert not (tmp_path / "mask.png").exists()
    assert (tmp_path / "mask.png").read_bytes() == NEW


def test_the_old_file_stays_until_the_block_ends(target):
    with atomic_write(str(target)) as file:
        file.write(NEW)
        file.flush()
        assert target.read_bytes() == OLD
    assert target.read_bytes() == NEW
    assert _only(target)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, GeneratorExit])
def test_an_error_in_the_block_passes_through_and_leaves_the_old_file(target, error):
    with pytest.raises(error):
        _save_and_fail(target, error)
    assert target.read_bytes() == OLD
    assert _only(target)


def test_a_link_stays_a_link_and_its_target_is_replaced(target, tmp_path):
    link = tmp_path / "link.nii.gz"
    link.symlink_to(target)
    with atomic_write(link) as file:
        file.write(NEW)
    assert link.is_symlink()
    assert target.read_bytes() == NEW


@posix_only
def test_permissions_of_a_replaced_file_are_kept(target):
    target.chmod(0o640)
    with atomic_write(target) as file:
        file.write(NEW)
    assert target.stat().st_mode & 0o777 == 0o640


@posix_only
def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "plain").touch()
    with atomic_write(tmp_path / "mask.png") as file:
        file.write(NEW)
    assert (tmp_path / "mask.png").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_name_of_255_bytes_can_be_saved(tmp_path):
    path = tmp_path / ("m" * 251 + ".png")
    with atomic_write(path) as file:
        file.write(NEW)
    assert path.read_bytes() == NEW


def test_left_overs_of_a_killed_save_are_swept_and_those_at_work_are_not(target):
    with atomic_write(target) as file:
        at_work = Path(file.name)
        file.write(OLD)
    dead = at_work.with_name(at_work.name.replace(at_work.name[-16:-4], "0" * 12))
    for temporary in (dead, at_work):
        temporary.touch()
    os.utime(dead, times=(time.time() - 7200,) * 2)
    with atomic_write(target) as file:
        file.write(NEW)
    assert not dead.exists()
    assert at_work.exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent/mask.png", "the folder .*absent does not exist; nothing was written"),
        ("mask.nii.gz/mask.png", "mask.nii.gz is not a folder; nothing was written"),
        ("folder", "a folder of that name is in the way; the old file is unchanged"),
        ("m" * 300 + ".png", "the file name is too long for this disk; nothing was written"),
    ],
    ids=["no-folder", "file-as-folder", "folder-as-file", "long-name"],
)
@posix_only
def test_a_place_that_cannot_be_written_is_named(target, name, message):
    (target.parent / "folder").mkdir()
    with pytest.raises(StudyWriteError, match=message), atomic_write(target.parent / name) as file:
        file.write(NEW)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.EACCES, "no permission to write in .*; the old file is unchanged"),
        (errno.EROFS, "on a read-only disk; the old file is unchanged"),
        (errno.EIO, "the disk reports an error; the old file is unchanged"),
        (errno.EBUSY, "busy; the old file is unchanged"),
    ],
)
def test_what_the_disk_says_becomes_a_sentence(target, monkeypatch, code, message):
    def fail(*_args):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(StudyWriteError, match=f"(?i)mask.nii.gz: .*{message}"), atomic_write(target) as file:
        file.write(NEW)
    assert target.read_bytes() == OLD
    assert _only(target)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EBUSY])
def test_where_another_program_holds_the_file_the_new_one_is_kept_beside_it(target, monkeypatch, code):
    """As Windows does for an open file, and a share for a locked one."""
    replace = os.replace

    def held(source, destination):
        if Path(destination) == target:
            raise OSError(code, os.strerror(code))
        replace(source, destination)

    monkeypatch.setattr(os, "replace", held)
    held_message = r"another program holds this file.*is kept as .*\.new"
    with pytest.raises(StudyWriteError, match=held_message) as caught, atomic_write(target) as file:
        file.write(NEW)
    assert "Close the other program and save again" in caught.value.hint
    assert target.read_bytes() == OLD
    assert target.with_name(target.name + ".new").read_bytes() == NEW
    assert len(list(target.parent.iterdir())) == 2


@posix_only
def test_a_folder_without_write_permission_keeps_the_old_file(target):
    if os.geteuid() == 0:
        pytest.skip("root writes where it likes")
    target.parent.chmod(0o500)
    try:
        with pytest.raises(StudyWriteError, match="no permission to write in"), atomic_write(target) as file:
            file.write(NEW)
    finally:
        target.parent.chmod(0o700)
    assert target.read_bytes() == OLD


def test_a_write_protected_file_is_not_replaced(target, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(StudyWriteError, match="write-protected and was not changed"), atomic_write(target) as file:
        file.write(NEW)
    assert target.read_bytes() == OLD


@posix_only
@pytest.mark.parametrize(("code", "is_told"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_an_unconfirmed_rename_is_told_unless_the_share_cannot_confirm(target, monkeypatch, code, is_told):
    sync = os.fsync

    def fail_for_folders(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fail_for_folders)
    told = pytest.raises(StudyWriteError, match="written, but the disk did not confirm") if is_told else _nothing()
    with told, atomic_write(target) as file:
        file.write(NEW)
    assert target.read_bytes() == NEW


@contextmanager
def _nothing():
    yield


@pytest.fixture
def tiny_disk(tmp_path):
    """Mount a disk of 64 kB, which only root may."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root on Linux")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=False).returncode:
        pytest.skip("this system does not let a disk be mounted")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_keeps_the_old_file(tiny_disk):
    target = tiny_disk / "mask.png"
    target.write_bytes(OLD)
    message = r"no space left .*; the old file is unchanged"
    with pytest.raises(StudyWriteError, match=message), atomic_write(target) as file:
        file.write(bytes(200_000))
    assert target.read_bytes() == OLD
    assert _only(target)


def _run(script, *arguments):
    return [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]


@posix_only
def test_a_write_cut_off_by_the_system_keeps_the_old_file(target):
    """A limit on file size stands in for the full disk where none can be mounted."""
    script = """
        import resource, sys
        from tmca_core.atomic import atomic_write
        from tmca_core.errors import StudyWriteError
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            with atomic_write(sys.argv[1]) as file:
                file.write(bytes(200_000))
        except StudyWriteError as error:
            sys.exit(str(error))
    """
    done = subprocess.run(_run(script, target), capture_output=True, text=True, check=False)
    assert "larger than the disk or the account allows; the old file is unchanged" in done.stderr
    assert target.read_bytes() == OLD
    assert _only(target)


@posix_only
def test_a_process_killed_while_saving_leaves_a_whole_file(target):
    """Twenty kills at random moments of a process that does nothing but save."""
    script = """
        import itertools, sys
        from tmca_core.atomic import atomic_write
        print("ready", flush=True)
        for number in itertools.count():
            with atomic_write(sys.argv[1]) as file:
                for _ in range(64):
                    file.write(bytes([number % 256]) * 4096)
                    file.flush()
    """
    chance = random.Random(0)
    target.write_bytes(bytes(64 * 4096))
    for _ in range(20):
        process = subprocess.Popen(_run(script, target), stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(chance.uniform(0.0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        content = target.read_bytes()
        assert len(content) == 64 * 4096
        assert len(set(content)) == 1


@pytest.mark.parametrize(
    ("name", "trouble"),
    [
        ("con", "keeps the name con for a device"),
        ("NUL.png", "keeps the name NUL for a device"),
        ("com1.nii.gz", "keeps the name com1"),
        ("mask.png.", "drops the dot or blank"),
        ("mask ", "drops the dot or blank"),
        ("a:b.png", "allows no ':'"),
    ],
)
def test_a_name_that_windows_cannot_keep_is_refused_there(tmp_path, monkeypatch, name, trouble):
    monkeypatch.setattr(atomic, "_IS_WINDOWS", True)
    with (
        pytest.raises(StudyWriteError, match=f"Windows {trouble}.*; nothing was written"),
        atomic_write(tmp_path / name),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["console.png", "mask.con", "com.png", "null", ".hidden", "a b.png"])
def test_names_like_those_of_devices_are_allowed(name):
    assert trouble_on_windows(name) == ""


def test_a_name_of_255_bytes_keeps_its_old_file_where_it_cannot_keep_the_previous(tmp_path):
    path = tmp_path / ("m" * 251 + ".png")
    for content in (OLD, NEW):
        with atomic_write(path, keeps_previous=True) as file:
            file.write(content)
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (NEW, [path])
