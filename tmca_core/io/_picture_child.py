"""The program of the child process that decodes pictures; `picture` starts it and reads its answers.

Run as a script, with the folder of this package. It gets the path of a file and never writes. A request is a line of
JSON; the answers are, for a large picture, a line with the bytes that it takes, then a line with shape, type and notes,
followed by the pixels, or a line with an error.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable

_MEMORY = 1 << 30  # that a decoder may take besides a multiple of a large picture
_COPIES = 16
_SMALL = 1 << 25  # bytes of a picture from which time and memory are reckoned anew


def main(package: Path) -> None:
    """Answer requests until there are no more."""
    _import_package(package)
    import numpy as np

    from tmca_core.errors import ChoiceError, TmcaError
    from tmca_core.io._decoder_child import limit_memory, prepare, say
    from tmca_core.io._values import check_real
    from tmca_core.io.raster import decode_raster

    answers = prepare()
    say(answers, {"ready": True})
    while line := sys.stdin.buffer.readline():
        request = json.loads(line)
        path, kind, frame = Path(request["path"]), request["kind"], request["frame"]
        limit_memory(_MEMORY + 2 * request["size"])

        def announce(declared: int) -> None:
            if declared > _SMALL:
                limit_memory(_MEMORY + _COPIES * declared)
                say(answers, {"bytes": declared})

        try:
            pixels, is_rgb, notes = _decoder_of(kind, decode_raster)(path, kind, frame, announce, request["shrink"])
            check_real(path.name, pixels.dtype)
            pixels = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<"))
            told = {"shape": pixels.shape, "dtype": pixels.dtype.str, "is_rgb": is_rgb, "notes": notes}
            _send(answers, told, pixels)
        except MemoryError:
            say(answers, {"error": "memory"})
        except ChoiceError as error:
            say(answers, {"error": "choice", "message": error.message, "options": error.options})
        except TmcaError as error:
            say(answers, {"error": "read", "message": error.message, "hint": error.hint})
        except Exception as error:  # noqa: BLE001 - whatever a decoder raises is one answer: it cannot
            say(answers, {"error": type(error).__name__})


def _decoder_of(kind: str, decode_raster: Callable[..., Any]) -> Callable[..., Any]:
    if kind != "TIFF":
        return decode_raster
    from tmca_core.io.tiff import decode_tiff

    return decode_tiff


def _send(answers: BinaryIO, told: dict[str, Any], pixels: Any) -> None:
    head = json.dumps(told).encode() + b"\n"
    if pixels.nbytes < _SMALL:
        answers.write(head + pixels.tobytes())  # at once: for each write the other process wakes up
    else:
        answers.write(head)
        answers.write(pixels.data)
    answers.flush()


def _import_package(folder: Path) -> None:
    """Make this very package importable, wherever it lies and whatever else is installed under its name."""
    spec = importlib.util.spec_from_file_location(
        folder.name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[folder.name] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
