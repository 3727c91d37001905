"""A child process that decodes, kept for the next file and ended when it is silent for too long.

Native decoders work on bytes of unknown origin: on a damaged file one may abort its process, hang, or ask for all the
memory there is. In a child that costs one sentence. Starting a child takes as long as decoding many files.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

SILENCE_LIMIT_S = 15.0
_START_LIMIT_S = 120.0
_PIPE_SIZE = 1 << 20  # where the system allows it: a small picture passes at once
_LONGEST_LINE = 1 << 20
_TYPES = {"|b1", "|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f2", "<f4", "<f8"}


class ChildError(Exception):
    """The child could not be started."""


class Child:
    """A program in a child process that answers requests, one after the other; a new one takes its place where it died.

    A request is a line of JSON, perhaps followed by bytes; so is each answer.

    Parameters
    ----------
    program : Path
        The script that the child runs.
    limit_s : float
        How long the child may be silent before it is ended.
    arguments : str
        What the script is called with.

    """

    def __init__(self, program: Path, limit_s: float = SILENCE_LIMIT_S, *arguments: str) -> None:
        self.limit_s, self.is_hung = limit_s, False
        self._program, self._arguments = program, arguments
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: _Watch | None = None
        self._owner = os.getpid()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def requested(self, request: dict[str, Any], data: bytes = b"") -> Iterator[Child]:
        """Send a request; in the block, `line` and `array` read the answers. On any error the child is ended.

        Raises
        ------
        ChildError
            If the child cannot be started.

        """
        if self._owner != os.getpid():  # forked from here: the child, its pipes and the lock are the other's
            self._owner, self._lock = os.getpid(), threading.Lock()
            self._forget()
        with self._lock:
            self._start()
            assert self._process is not None
            assert self._process.stdin is not None
            assert self._watch is not None
            try:
                self.is_hung = False
                self._watch.begin(self.limit_s)
                with contextlib.suppress(OSError):  # a broken pipe: the answer tells that the child has ended
                    self._process.stdin.write(json.dumps(request).encode() + b"\n" + data)
                    self._process.stdin.flush()
                yield self
                self._watch.end()
            except BaseException:
                self.close()  # whatever is still in the pipe belongs to this request
                raise

    def wait_longer(self, limit_s: float) -> None:
        """Count the silence from now, and end the child after so many seconds of it."""
        if self._watch is not None:
            self._watch.begin(limit_s)

    def line(self) -> dict[str, Any]:
        """Return the next answer, or nothing if the child has ended."""
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline(_LONGEST_LINE)
        if line.endswith(b"\n"):
            return dict(json.loads(line))
        self.is_hung = self._watch is not None and self._watch.has_rung
        return {}

    def array(self, shape: tuple[int, ...], dtype: str) -> NDArray[Any] | None:
        """Return the array that follows an answer; None if its type is none of those expected, or the child ended."""
        assert self._process is not None
        assert self._process.stdout is not None
        if dtype not in _TYPES:
            return None
        values: NDArray[Any] = np.empty(shape, np.dtype(dtype))
        if values.size == 0:
            return values
        whole = values.reshape(-1).view(np.uint8).data
        if self._process.stdout.readinto(whole) == len(whole):  # type: ignore[attr-defined]
            return values
        self.is_hung = self._watch is not None and self._watch.has_rung
        return None

    def close(self) -> None:
        """End the child."""
        process = self._process
        if process is None:
            return
        if self._owner == os.getpid():
            process.kill()
            process.wait()
        self._forget()

    def _forget(self) -> None:
        process, self._process = self._process, None
        if self._watch is not None:
            self._watch.close()
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):  # what was not yet sent to it
                if pipe is not None:
                    pipe.close()

    def _start(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(self._program), *self._arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
                pipesize=_PIPE_SIZE,
            )
        except OSError as error:
            raise ChildError from error
        self._watch = _Watch(self._process, min(self.limit_s, SILENCE_LIMIT_S))
        self._watch.begin(_START_LIMIT_S)
        if not self.line().get("ready"):
            self.close()
            raise ChildError


class _Watch:
    """Ends a process that is silent for too long, from one thread; reading from it then comes to an end, too.

    A thread per request would take longer than decoding a small picture.
    """

    def __init__(self, process: subprocess.Popen[bytes], shortest_s: float) -> None:
        self.has_rung = False
        self._process, self._shortest_s = process, shortest_s
        self._deadline: float | None = None
        self._is_closed = threading.Event()
        threading.Thread(target=self._run, name="tmca-decoder-watch", daemon=True).start()

    def begin(self, limit_s: float) -> None:
        self._deadline = time.monotonic() + limit_s

    def end(self) -> None:
        self._deadline = None

    def close(self) -> None:
        self._is_closed.set()

    def _run(self) -> None:
        wait_s = self._shortest_s  # also before a later deadline: a nearer one may take its place meanwhile
        while not self._is_closed.wait(wait_s):
            deadline = self._deadline
            left_s = self._shortest_s if deadline is None else deadline - time.monotonic()
            if left_s <= 0:
                self.has_rung = True
                self._process.kill()
                return
            wait_s = min(left_s, self._shortest_s)
