"""An error at the n-th write for every n, a full disk, and a process killed while saving harm no file."""

from __future__ import annotations

import builtins
import errno
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial

import numpy as np
import pytest

from tmca_core import atomic
from tmca_core.errors import StudyWriteError
from tmca_core.io import read_scan, write_mask
from tmca_core.io.dicom_capture import write_dicom_capture
from tmca_core.io.dicom_seg import write_dicom_seg
from tmca_core.io.dicom_sr import write_dicom_sr
from tmca_core.io.rtstruct import write_rtstruct


def _capture(path, mask, scan):
    write_dicom_capture(path, scan, mask, np.full(scan.shape, 0.5, dtype=np.float32))


WRITERS = {
    "mask.nrrd": write_mask,
    "mask.nii.gz": write_mask,
    "seg.dcm": write_dicom_seg,
    "rt.dcm": write_rtstruct,
    "sr.dcm": write_dicom_sr,
    "sc.dcm": _capture,
}
writers = pytest.mark.parametrize(("name", "write"), WRITERS.items(), ids=WRITERS)


class _FailingFile:
    """A file whose n-th write fails, as on a disk that reports an error."""

    def __init__(self, file, remaining):
        self._file, self._remaining = file, remaining

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        self._file.__enter__()
        return self

    def __exit__(self, *error):
        return self._file.__exit__(*error)

    def write(self, data):
        self._remaining[0] -= 1
        if self._remaining[0] == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return self._file.write(data)


def _open_failing(remaining, *args):
    return _FailingFile(builtins.open(*args), remaining)


def _message_of(write, path, mask, scan):
    """Return what a writer says, None if it writes."""
    try:
        write(path, mask, scan)
    except StudyWriteError as error:
        return str(error)
    return None


@writers
def test_an_error_at_any_write_keeps_the_old_file(tmp_path, save_series, lopsided, monkeypatch, name, write):
    scan = read_scan(save_series())
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / name).write_bytes(b"old")
    for number in range(1, 1000):
        remaining = [number]
        monkeypatch.setattr(atomic, "open", partial(_open_failing, remaining), raising=False)
        message = _message_of(write, folder / name, lopsided(scan.shape), scan)
        if message is None:
            break
        assert "the disk reports an error; the old file is unchanged" in message
        assert (folder / name).read_bytes() == b"old"
        assert [entry.name for entry in folder.iterdir()] == [name]
    assert number > 1
    assert (folder / f"{name}.previous").read_bytes() == b"old"


@writers
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_keeps_the_old_file(tmp_path, save_series, lopsided, monkeypatch, name, write, call):
    scan = read_scan(save_series())
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / name).write_bytes(b"old")

    def fail(*_args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(StudyWriteError, match=f"{name}: no space left on the disk .* the old file is unchanged"):
        write(folder / name, lopsided(scan.shape), scan)
    assert (folder / name).read_bytes() == b"old"
    assert [entry.name for entry in folder.iterdir()] == [name]


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_process_killed_while_saving_leaves_a_whole_file_and_a_whole_previous_one(tmp_path):
    """Eight kills at random moments; both files are one of those that were saved, whole."""
    script = """
        import itertools, sys
        from tmca_core.atomic import atomic_write
        print("ready", flush=True)
        for number in itertools.count():
            with atomic_write(sys.argv[1], keeps_previous=True) as file:
                for _ in range(64):
                    file.write(bytes([number % 256]) * 4096)
                    file.flush()
    """
    target = tmp_path / "mask.nii.gz"
    chance = random.Random(0)
    for _ in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script), str(target)], stdout=subprocess.PIPE, cwd=os.getcwd()
        )
        process.stdout.readline()
        time.sleep(chance.uniform(0.03, 0.08))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        for path in (target, atomic.previous_of(target)):
            if path.exists():
                content = path.read_bytes()
                assert len(content) == 64 * 4096
                assert len(set(content)) == 1
    assert target.exists()
