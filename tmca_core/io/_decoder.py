"""Compressed DICOM frames, unpacked in a child process with limits of time and memory.

A decoder is native code that works on bytes of unknown origin: on a damaged file it may abort its process, hang, or ask
for all the memory there is. In a child that costs one sentence. The child is kept for the next file, since starting one
takes as long as decoding many; it sees the pixel data and the numbers that describe it, and nothing of the patient.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import math
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.pixels.utils import as_pixel_options
from pydicom.uid import JPEGExtended12Bit, JPEGLossless

from tmca_core.errors import StudyReadError
from tmca_core.io._dicom_header import transfer_syntax
from tmca_core.io._files import size_text

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset

    Pixels = NDArray[Any]

CHILD = Path(__file__).with_name("_decoder_child.py")
FRAME_LIMIT_S = 15.0  # without a next frame
START_LIMIT_S = 120.0
_MEMORY = 1 << 30  # that a decoder may take besides a multiple of its frame
_FRAME_COPIES = 8
_TYPES = {"|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f4", "<f8"}
_AGAIN = "Copy or export the file again, or convert it to Explicit VR Little Endian."


class DecoderProcess:
    """A child process that decodes, one file after the other; a new one takes its place where it died.

    Parameters
    ----------
    program : Path
        The script that the child runs.
    frame_limit_s : float
        How long the child may be silent before it is ended.

    """

    def __init__(self, program: Path = CHILD, frame_limit_s: float = FRAME_LIMIT_S) -> None:
        self._program, self._frame_limit_s = program, frame_limit_s
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()
        self._lock = threading.Lock()

    def decode(self, name: str, dataset: Dataset, plugin: str) -> tuple[Pixels, str]:
        """Return the frames, (F, Y, X) or (F, Y, X, samples), and the photometric interpretation they have now.

        Parameters
        ----------
        name : str
            The file's name, for messages.
        dataset : Dataset
            An image whose header `check_image` accepted, compressed.
        plugin : str
            The decoder's name in pydicom.

        Raises
        ------
        StudyReadError
            If the decoder gives up, ends, hangs, asks for too much memory, or finds fewer frames than declared.

        """
        with self._lock:
            self._start(name)
            try:
                photometric, frames, answer = self._ask(name, dataset, plugin)
            except BaseException:
                self.close()  # whatever is still in the pipe belongs to this file
                raise
        return _checked(name, dataset, plugin, frames, answer), photometric

    def close(self) -> None:
        """End the child."""
        process, self._process = self._process, None
        if process is None:
            return
        if self._owner == os.getpid():
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):  # what was not yet sent to it
                if pipe is not None:
                    pipe.close()

    def _start(self, name: str) -> None:
        if self._owner != os.getpid():  # forked from here: the child and its pipes are the other's
            self.close()
            self._owner = os.getpid()
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(self._program)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            raise _cannot_start(name) from error
        with _Alarm(self._process, START_LIMIT_S):
            ready = self._line()
        if not ready.get("ready"):
            self.close()
            raise _cannot_start(name)

    def _ask(self, name: str, dataset: Dataset, plugin: str) -> tuple[str, list[Pixels], dict[str, Any]]:
        """Return the photometric interpretation, the frames, and the answer that is no frame, the last one."""
        assert self._process is not None
        assert self._process.stdin is not None
        data = bytes(dataset.PixelData)
        request, shape = _request(dataset, plugin, len(data))
        with _Alarm(self._process, self._frame_limit_s) as alarm:
            frames: list[Pixels] = []
            photometric = ""
            with contextlib.suppress(OSError):  # a broken pipe: the answer tells that the child has ended
                self._process.stdin.write(json.dumps(request).encode() + b"\n")
                self._process.stdin.write(data)
                self._process.stdin.flush()
            while "dtype" in (answer := self._line()):
                if tuple(answer["shape"]) != shape or answer["dtype"] not in _TYPES:
                    raise _undecoded(name, dataset, plugin)
                frames.append(self._frame(shape, np.dtype(answer["dtype"])))
                photometric = str(answer["photometric"])
                alarm.restart()
        if not answer:
            raise _hung(name, self._frame_limit_s) if alarm.has_rung else _died(name, dataset, plugin)
        return photometric, frames, answer

    def _frame(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Pixels:
        assert self._process is not None
        assert self._process.stdout is not None
        wanted = math.prod(shape) * dtype.itemsize
        data = self._process.stdout.read(wanted)
        frame = np.frombuffer(data.ljust(wanted, b"\0"), dtype)  # cut short only by an end, which the next line tells
        return frame.reshape(shape)

    def _line(self) -> dict[str, Any]:
        """Return the next answer, or nothing if the child has ended."""
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline(1 << 16)
        return dict(json.loads(line)) if line.endswith(b"\n") else {}


class _Alarm:
    """Ends a process that is silent for too long, from a thread; reading from it then comes to an end, too."""

    def __init__(self, process: subprocess.Popen[bytes], limit_s: float) -> None:
        self.has_rung = False
        self._process, self._limit_s = process, limit_s
        self._timer: threading.Timer | None = None

    def __enter__(self) -> _Alarm:
        self.restart()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def restart(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = threading.Timer(self._limit_s, self._ring)
        self._timer.daemon = True
        self._timer.start()

    def _ring(self) -> None:
        self.has_rung = True
        self._process.kill()


def _request(dataset: Dataset, plugin: str, size: int) -> tuple[dict[str, Any], tuple[int, ...]]:
    """Return what the child is asked, and the shape of each frame."""
    options = as_pixel_options(dataset)
    if "extended_offsets" in options:
        options["extended_offsets"] = [bytes(part).hex() for part in options["extended_offsets"]]
    options = {key: value if isinstance(value, (str, list)) else int(value) for key, value in options.items()}
    options |= {"pixel_keyword": "PixelData", "pixel_vr": "OB"}
    samples = int(options["samples_per_pixel"])
    shape = (options["rows"], options["columns"], samples) if samples > 1 else (options["rows"], options["columns"])
    frame = math.prod(shape) * max(1, options["bits_allocated"] // 8)
    memory = _MEMORY + _FRAME_COPIES * frame + 2 * size
    syntax = str(transfer_syntax(dataset))
    if plugin == "gdcm" and syntax == JPEGExtended12Bit:
        syntax = str(JPEGLossless)  # pydicom refuses 12 bits by name; gdcm's codec takes the process from the stream
    return {"syntax": syntax, "plugin": plugin, "options": options, "memory": memory, "size": size}, shape


def _checked(name: str, dataset: Dataset, plugin: str, frames: list[Pixels], answer: dict[str, Any]) -> Pixels:
    """Return all frames as one array, if they are all there."""
    count = int(as_pixel_options(dataset)["number_of_frames"])
    if answer.get("error") == "memory":
        raise StudyReadError(f"{name}: decoding it asked for more memory than such an image needs.", hint=_AGAIN)
    if "error" in answer and count == 1:
        raise _undecoded(name, dataset, plugin)
    if len(frames) < count:
        raise StudyReadError(
            f"{name}: the file is incomplete: {len(frames)} of {count} frames, frame {len(frames) + 1} is missing or "
            "damaged.",
            hint="Copy or export it again.",
        )
    return np.stack(frames)


def _undecoded(name: str, dataset: Dataset, plugin: str) -> StudyReadError:
    """Return the error for a decoder that gave up; it does not tell damage from a variant that it lacks."""
    syntax = transfer_syntax(dataset).name
    return StudyReadError(
        f"{name}: its compressed pixels ({syntax}) are damaged, or of a variant that {plugin} cannot decode.",
        hint=_AGAIN,
    )


def _died(name: str, dataset: Dataset, plugin: str) -> StudyReadError:
    return StudyReadError(
        f"{name}: the decoder {plugin} stopped on this file ({transfer_syntax(dataset).name}, "
        f"{size_text(len(dataset.PixelData))}). Nothing else is affected.",
        hint=f"The file is probably damaged. {_AGAIN}",
    )


def _hung(name: str, limit_s: float) -> StudyReadError:
    return StudyReadError(
        f"{name}: the decoder gave no frame within {limit_s:g} seconds and was stopped. Nothing else is affected.",
        hint=f"The file is probably damaged. {_AGAIN}",
    )


def _cannot_start(name: str) -> StudyReadError:
    return StudyReadError(
        f"{name}: it is compressed, and the program that decodes it could not be started.",
        hint="Convert it to Explicit VR Little Endian, or reinstall napari-tmca.",
    )


_shared = DecoderProcess()
atexit.register(_shared.close)


def decode_frames(name: str, dataset: Dataset, plugin: str) -> tuple[Pixels, str]:
    """Decode in the one child process of this program; see `DecoderProcess.decode`."""
    return _shared.decode(name, dataset, plugin)
