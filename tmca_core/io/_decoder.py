"""Compressed DICOM frames, unpacked in a child process with limits of time and memory.

The child sees the pixel data and the numbers that describe it, and nothing of the patient.
"""

from __future__ import annotations

import atexit
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.pixels.utils import as_pixel_options
from pydicom.uid import JPEGExtended12Bit, JPEGLossless

from tmca_core.errors import StudyReadError
from tmca_core.io._child import SILENCE_LIMIT_S, Child, ChildError
from tmca_core.io._dicom_header import transfer_syntax
from tmca_core.io._files import size_text

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset

    Pixels = NDArray[Any]

CHILD = Path(__file__).with_name("_decoder_child.py")
_MEMORY = 1 << 30  # that a decoder may take besides a multiple of its frame
_FRAME_COPIES = 8
_AGAIN = "Copy or export the file again, or convert it to Explicit VR Little Endian."


class DecoderProcess:
    """Decodes in a child process, one file after the other.

    Parameters
    ----------
    program : Path
        The script that the child runs.
    frame_limit_s : float
        How long the child may be silent before it is ended.

    """

    def __init__(self, program: Path = CHILD, frame_limit_s: float = SILENCE_LIMIT_S) -> None:
        self._child = Child(program, frame_limit_s)

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
        data = bytes(dataset.PixelData)
        request, shape = _request(dataset, plugin, len(data))
        frames: list[Pixels] = []
        photometric = ""
        try:
            with self._child.requested(request, data) as child:
                while "dtype" in (answer := child.line()):
                    if tuple(answer["shape"]) != shape:
                        raise _undecoded(name, dataset, plugin)
                    if (frame := child.array(shape, answer["dtype"])) is None:
                        answer = {}
                        break
                    frames.append(frame)
                    photometric = str(answer["photometric"])
                    child.wait_longer(child.limit_s)
                if not answer:
                    raise _hung(name, child.limit_s) if child.is_hung else _died(name, dataset, plugin)
        except ChildError as error:
            raise _cannot_start(name) from error
        return _checked(name, dataset, plugin, frames, answer), photometric

    def close(self) -> None:
        """End the child."""
        self._child.close()


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
