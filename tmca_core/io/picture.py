"""Pictures (PNG, JPEG, BMP, WebP, TIFF), decoded in a child process with limits of time and memory."""

from __future__ import annotations

import atexit
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmca_core.errors import ChoiceError, StudyReadError
from tmca_core.io._child import SILENCE_LIMIT_S, Child, ChildError
from tmca_core.io._files import Kind, file_size, size_text
from tmca_core.io._values import usable
from tmca_core.study import Scan

if TYPE_CHECKING:
    from tmca_core.io._values import Decoded

CHILD = Path(__file__).with_name("_picture_child.py")
_PACKAGE = str(Path(__file__).parents[1])
_BYTES_PER_S = 20e6  # that the slowest decoder unpacks on a slow machine
_HINT = "The file is probably damaged: copy or export it again, or convert it to PNG."


class PictureProcess:
    """Decodes pictures in a child process, one after the other.

    Parameters
    ----------
    program : Path
        The script that the child runs.
    limit_s : float
        How long the child may be silent before it is ended; large pictures have more.

    """

    def __init__(self, program: Path = CHILD, limit_s: float = SILENCE_LIMIT_S) -> None:
        self._child = Child(program, limit_s, _PACKAGE)

    def decode(self, path: Path, kind: Kind, frame: int | None = None, shrink: int = 1) -> Decoded:
        """Return the pixels, of each side a ``shrink``-th part, whether they are colour, and notes.

        Raises
        ------
        StudyReadError
            If the picture is damaged or too large, or the decoder ends, hangs, or asks for too much memory.
        ChoiceError
            If there is no such ``frame``.

        """
        size = file_size(path)
        request = {"path": str(path.absolute()), "kind": kind.value, "frame": frame, "shrink": shrink, "size": size}
        limit_s = self._child.limit_s
        try:
            with self._child.requested(request) as child:
                while "bytes" in (answer := child.line()):
                    limit_s = child.limit_s + answer["bytes"] / _BYTES_PER_S
                    child.wait_longer(limit_s)
                pixels = child.array(tuple(answer["shape"]), answer["dtype"]) if "dtype" in answer else None
                if pixels is None and "error" not in answer:
                    raise _hung(path.name, limit_s) if child.is_hung else _died(path.name, kind, size)
        except ChildError as error:
            raise StudyReadError(
                f"{path.name}: the program that decodes pictures could not be started.",
                hint="Reinstall napari-tmca, or allow it to start Python.",
            ) from error
        if pixels is None:
            raise _refused(path.name, kind, answer)
        return pixels, bool(answer["is_rgb"]), tuple(answer["notes"])

    def close(self) -> None:
        """End the child."""
        self._child.close()


_shared = PictureProcess()
atexit.register(_shared.close)


def read_picture(
    path: Path, kind: Kind, frame: int | None = None, *, shrink: int = 1, in_process: bool = False
) -> Scan:
    """Read a picture as a 2-D scan, or pages of a TIFF as a volume; see `raster` and `tiff`.

    Spacing and orientation are unknown: the resolution tags of pictures speak of paper. ``in_process`` decodes without
    the child, which takes half the time for small pictures, and ends this process where a decoder aborts.

    Raises
    ------
    StudyReadError
        If it cannot be decoded.
    ChoiceError
        If there is no such ``frame``, from 1.

    """
    pixels, is_rgb, notes = (_decode_here if in_process else _shared.decode)(path, kind, frame, shrink)
    pixels, is_rgb, more = usable(path.name, pixels, is_rgb=is_rgb)
    return Scan(pixels, is_rgb=is_rgb, source=path, notes=notes + more)


def _decode_here(path: Path, kind: Kind, frame: int | None, shrink: int) -> Decoded:
    from tmca_core.io.raster import decode_raster
    from tmca_core.io.tiff import decode_tiff

    return (decode_tiff if kind == Kind.TIFF else decode_raster)(path, kind, frame, lambda _: None, shrink)


def _refused(name: str, kind: Kind, answer: dict[str, Any]) -> StudyReadError:
    if answer["error"] == "choice":
        return ChoiceError(answer["message"], argument="frame", options=answer["options"])
    if answer["error"] == "read":
        return StudyReadError(answer["message"], hint=answer["hint"])
    if answer["error"] == "memory":
        return StudyReadError(f"{name}: decoding it asked for more memory than such a picture needs.", hint=_HINT)
    return StudyReadError(f"{name}: the file is damaged ({kind}, {answer['error']}).", hint=_HINT)


def _died(name: str, kind: Kind, size: int) -> StudyReadError:
    return StudyReadError(
        f"{name}: the decoder stopped on this file ({kind}, {size_text(size)}). Nothing else is affected.", hint=_HINT
    )


def _hung(name: str, limit_s: float) -> StudyReadError:
    return StudyReadError(
        f"{name}: the decoder gave no picture within {limit_s:g} seconds and was stopped. Nothing else is affected.",
        hint=_HINT,
    )
