"""A process that is killed loses nothing that was saved, and at most the last moment of what was drawn."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tmca_core.project import Project, Unsaved, read_journal

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked from a server")

# One process imports everything; each child is a fork of it, so that twenty of them take seconds.
SERVER = """
import os, sys
import numpy as np
from tmca_core.project import Draft, Project, Status

def save(folder):
    case = Project.open(folder).open_case("00001", "child")
    scan = case.read_scan()
    k = int(case.mask("corrected").max()) if case.record.corrected else 0
    while True:
        k = k % 200 + 1
        mask = np.full(scan.shape, k, dtype=np.uint8)
        case.save(scan, Draft(ai=mask, corrected=mask, report=f"Report {k}.", status=Status.SEGMENTED))
        os.write(1, f"{k}\\n".encode())

def draw(folder):
    case = Project.open(folder).open_case("00001", "child")
    mask = np.zeros(case.read_scan().shape, dtype=np.uint8)
    case.journal._sync = False
    for k in range(1, mask.size):
        mask.reshape(-1)[k] = 1
        case.journal.write_mask(mask)
        os.write(1, f"{k}\\n".encode())

for line in sys.stdin:
    what, _, folder = line.rstrip("\\n").partition(" ")
    pid = os.fork()
    if pid == 0:
        {"save": save, "draw": draw}[what](folder)
    os.write(1, f"pid {pid}\\n".encode())
    os.waitpid(pid, 0)
    os.write(1, b"dead\\n")
"""


@pytest.fixture(scope="module")
def server():
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.stdin.close()


def run_and_kill(server, what, folder, after_s):
    """Let a child work, kill it ``after_s`` seconds after its first word, and return the last number it told."""
    server.stdin.write(f"{what} {folder}\n")
    server.stdin.flush()
    pid, last = None, 0
    kill_at = None
    while (line := server.stdout.readline().strip()) != "dead":
        if line.startswith("pid"):
            pid = int(line.split()[1])
        else:
            last = int(line)
            kill_at = kill_at or time.monotonic() + after_s
        if pid is not None and kill_at is not None and time.monotonic() >= kill_at:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    return last


def test_kill_while_saving_leaves_the_case_before_or_the_case_after(server, project):
    rng = random.Random(5)
    for _ in range(12):
        told = run_and_kill(server, "save", project.folder, rng.uniform(0.0, 0.06))
        fresh = Project.open(project.folder)
        with fresh.open_case("00001") as case:
            assert not case.is_read_only, case.why_read_only
            ai, corrected = case.mask("ai"), case.mask("corrected")
            value = int(corrected[0, 0])
            assert np.all(corrected == value)
            assert np.all(ai == value)
            assert value in (told, told % 200 + 1)
            assert case.report() in {f"Report {k}." for k in (value, value % 200 + 1)}
        assert fresh.cases()[0].corrected == case.record.corrected
        fresh.close()


def test_kill_while_drawing_loses_nothing_that_was_journalled(server, project):
    rng = random.Random(7)
    for _ in range(20):
        told = run_and_kill(server, "draw", project.folder, rng.uniform(0.0, 0.03))
        (unsaved,) = project.unsaved()
        assert isinstance(unsaved, Unsaved)
        assert unsaved.num_voxels in (told, told + 1)
        recovered = read_journal(project.case_folder("00001") / unsaved.name)
        drawn = int(recovered.mask.sum())
        assert drawn in (told, told + 1)
        assert np.all(recovered.mask.reshape(-1)[1 : drawn + 1] == 1)
        with project.open_case("00001") as case:
            assert not case.is_read_only, case.why_read_only
        (kept,) = project.unsaved()
        assert (kept.num_voxels, kept.time) == (unsaved.num_voxels, unsaved.time)
        project.discard_unsaved("00001", kept.name)
