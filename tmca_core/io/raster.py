"""PNG, JPEG, BMP and WebP decoded with Pillow. Runs in the child process that `picture` keeps."""

from __future__ import annotations

import io
import math
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from tmca_core.errors import StudyReadError, TmcaError
from tmca_core.io._files import Kind, damaged, read_bytes, size_text
from tmca_core.io._memory import check_memory
from tmca_core.io._values import chosen_frame
from tmca_core.io.shrink import block_mean, note_shrunk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from tmca_core.io._values import Decoded

MAX_PIXELS = 178_956_970  # of one picture, the limit at which Pillow speaks of a decompression bomb
ALPHA_DROPPED = "The alpha channel is dropped."
_ORIENTATION_TAG = 0x0112
_LARGEST_PIXEL = 4  # bytes of a pixel in Pillow
_GREY_MODES = {"L", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"}
_CONVERTED_MODES = {
    "P": "Palette colours are read as RGB.",
    "PA": "Palette colours are read as RGB.",
    "CMYK": "CMYK colours are converted to RGB.",
    "YCbCr": "YCbCr colours are converted to RGB.",
    "LAB": "LAB colours are converted to RGB.",
    "HSV": "HSV colours are converted to RGB.",
}


def decode_raster(
    path: Path, kind: Kind, frame: int | None, announce: Callable[[int], None], shrink: int = 1
) -> Decoded:
    """Return the pixels of a picture, grey (Y, X) or colour (Y, X, 3), whether they are colour, and notes.

    Turned upright as EXIF says; 16-bit grey keeps its values; alpha is dropped, palette and CMYK become RGB; of several
    pictures in one file the first is read, unless ``frame``, from 1, says another. Each such decision is a note.
    ``announce`` is told the bytes of the picture before it is unpacked. With ``shrink`` it may be larger than pictures
    are, and only the means of its blocks are returned.

    Raises
    ------
    StudyReadError
        If the picture is damaged, incomplete, or too large to be one.
    ChoiceError
        If there is no such ``frame``.

    """
    data = read_bytes(path)
    if kind == Kind.PNG:
        _check_png(path.name, data, shrink)
    index = None if frame is None else frame - 1
    pixels, is_rgb, notes = decode_picture(path.name, data, Kind(kind), index, announce, shrink)
    return pixels, is_rgb, notes + (_depth_note(data) if kind == Kind.PNG else ())


def decode_picture(
    name: str,
    data: bytes,
    kind: Kind,
    frame: int | None = None,
    announce: Callable[[int], None] = lambda _: None,
    shrink: int = 1,
) -> Decoded:
    """Return one picture of the bytes, upright; the first unless ``frame`` says another; its blocks with ``shrink``."""
    notes: tuple[str, ...] = ()
    with _opened(name, data, kind, shrink) as image:
        if frame is not None:
            count = getattr(image, "n_frames", 1)
            image.seek(chosen_frame(name, (image.height, image.width), count, frame + 1))
        check_picture_size(name, image.height, image.width, shrink)
        size = f"{image.width} x {image.height} pixels"
        check_memory(name, size, image.height * image.width * (len(image.getbands()) + _LARGEST_PIXEL), shrinks=False)
        announce(image.height * image.width * _LARGEST_PIXEL)
        if frame is None and (count := getattr(image, "n_frames", 1)) > 1:
            notes += (f"The file holds {count} pictures: the first one is read.",)
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)  # before loading: Pillow turns TIFF itself, then forgets
        image.load()
        upright = ImageOps.exif_transpose(image)
        if orientation in range(2, 9):
            notes += (orientation_note(orientation),)
        pixels, is_rgb, more = _to_array(name, upright)
        if shrink > 1:
            pixels, more = block_mean(name, pixels, shrink, is_rgb=is_rgb), (*more, note_shrunk(shrink))
    return pixels, is_rgb, notes + more


def orientation_note(orientation: int) -> str:
    """Return the note on a picture that was turned upright."""
    return f"Turned upright, as the picture's orientation tag ({orientation}) says."


def check_picture_size(name: str, height: int, width: int, shrink: int = 1) -> None:
    """Raise `StudyReadError` for more pixels than a picture has, before any of them is unpacked."""
    if height * width > MAX_PIXELS * shrink**2:
        factor = math.ceil(math.sqrt(height * width / MAX_PIXELS))
        raise StudyReadError(
            f"{name}: expected at most {MAX_PIXELS // 10**6} million pixels, got {width} x {height}, which take "
            f"{size_text(height * width)} of memory and more.",
            hint=f"If you trust the file, read it smaller, with shrink={factor} or --shrink {factor}, or crop it.",
        )


def drop_alpha(name: str, pixels: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return the colours without the last channel, unless that channel is all there is to see."""
    colours, alpha = pixels[..., :-1], pixels[..., -1]
    if (colours == colours.flat[0]).all() and (alpha != alpha.flat[0]).any():
        raise StudyReadError(
            f"{name}: expected a picture in its colours, got one drawn in the alpha channel alone.",
            hint="Save it without transparency.",
        )
    return colours[..., 0] if colours.shape[-1] == 1 else colours


@contextmanager
def _opened(name: str, data: bytes, kind: Kind, shrink: int = 1) -> Iterator[Image.Image]:
    """Open the bytes as exactly this kind; whatever Pillow then raises becomes one clear error."""
    usual = Image.MAX_IMAGE_PIXELS
    try:
        Image.MAX_IMAGE_PIXELS = usual if shrink == 1 else MAX_PIXELS * shrink**2
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on odd metadata, and on sizes that check_picture_size judges
            with Image.open(io.BytesIO(data), formats=(kind.upper(),)) as image:
                yield image
    except TmcaError:
        raise
    except Image.DecompressionBombError as error:
        raise StudyReadError(
            f"{name}: refused to unpack it: {error}",
            hint="Read it smaller with shrink or --shrink, or crop it, if you trust it.",
        ) from error
    except Exception as error:
        reason = "no picture in it" if isinstance(error, UnidentifiedImageError) else error
        raise damaged(name, reason) from error
    finally:
        Image.MAX_IMAGE_PIXELS = usual


def _to_array(name: str, image: Image.Image) -> Decoded:
    """Return the picture as (Y, X) or (Y, X, 3)."""
    if image.mode in _GREY_MODES:
        return np.asarray(image), False, ()
    if image.mode == "RGB":
        return np.asarray(image), True, ()
    if image.mode == "1":
        return np.asarray(image), False, ("A 1-bit picture: read as 0 and 255.",)
    if image.mode in {"LA", "La", "RGBA", "RGBa"}:
        colours = drop_alpha(name, np.asarray(image))
        return colours, colours.ndim == 3, (ALPHA_DROPPED,)
    if image.mode in _CONVERTED_MODES:
        return np.asarray(image.convert("RGB")), True, (_CONVERTED_MODES[image.mode],)
    raise StudyReadError(f"{name}: expected grey or colour, got the picture mode {image.mode}.")


def _check_png(name: str, data: bytes, shrink: int) -> None:
    """Check every chunk's checksum up to the end mark; decoding alone skips those of the pixels."""
    with _opened(name, data, Kind.PNG, shrink) as image:
        check_picture_size(name, image.height, image.width, shrink)
        image.verify()


def _depth_note(png: bytes) -> tuple[str, ...]:
    """Tell when Pillow keeps only the upper byte: 16-bit colour, or 16-bit grey with alpha."""
    bit_depth, colour_type = png[24], png[25]
    return ("16 bits per channel are read as 8.",) if bit_depth == 16 and colour_type in (2, 4, 6) else ()
