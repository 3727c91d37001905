"""The program of the child process that unpacks compressed DICOM frames; `_decoder` starts it and reads its answers.

Run as a script. It knows nothing of this package, gets only the pixel data and the numbers that describe it, and never
a name. A request is a line of JSON followed by the pixel data; the answer is, per frame, a line of JSON followed by the
frame's bytes, and at the end a line with "end" or "error".
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import warnings
from typing import Any, BinaryIO


def main() -> None:
    """Answer requests until there are no more."""
    answers = prepare()
    from pydicom.pixels.decoders.base import get_decoder

    say(answers, {"ready": True})
    while line := sys.stdin.buffer.readline():
        request = json.loads(line)
        data = sys.stdin.buffer.read(request["size"])
        limit_memory(request["memory"])
        try:
            _decode(get_decoder(request["syntax"]), request, data, answers)
        except MemoryError:
            say(answers, {"error": "memory"})
        except Exception as error:  # noqa: BLE001 - whatever a decoder raises is one answer: it cannot
            say(answers, {"error": type(error).__name__})


def _decode(decoder: Any, request: dict[str, Any], data: bytes, answers: BinaryIO) -> None:
    options = request["options"]
    if "extended_offsets" in options:
        options["extended_offsets"] = tuple(bytes.fromhex(text) for text in options["extended_offsets"])
    wanted, done = options["number_of_frames"], 0
    for frame, properties in decoder.iter_array(data, decoding_plugin=request["plugin"], **options):
        photometric = str(properties["photometric_interpretation"])
        say(answers, {"shape": frame.shape, "dtype": frame.dtype.str, "photometric": photometric})
        answers.write(frame.tobytes())
        answers.flush()
        done += 1
        if done == wanted:  # a stream may hold more than its header declares
            break
    say(answers, {"end": done})


def prepare() -> BinaryIO:
    """Return where answers go, and keep what a decoder prints, warns of, or leaves when it aborts away from there."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    return answers


def say(answers: BinaryIO, what: dict[str, Any]) -> None:
    """Send a line of JSON."""
    answers.write(json.dumps(what).encode() + b"\n")
    answers.flush()


def limit_memory(more: int) -> None:
    """Let the process grow by so many bytes from here; only Linux tells how large it is, and keeps to the limit."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        with open("/proc/self/statm", encoding="ascii") as file:
            size = int(file.read().split()[0]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        soft = size + more
        resource.setrlimit(resource.RLIMIT_AS, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


if __name__ == "__main__":
    main()
