"""Policy for pixel values, the same for every format: finite, real, of a usable range, grey where grey."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tmca_core.errors import ChoiceError, StudyReadError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Decoded = tuple[NDArray[np.generic], bool, tuple[str, ...]]  # pixels, whether they are colour, notes

_MOST_LISTED = 10_000
_LARGEST = 1e37  # differences of larger values overflow the 32-bit numbers of the network


def usable(name: str, pixels: NDArray[np.generic], *, is_rgb: bool) -> Decoded:
    """Return pixels fit for a `Scan`, whether they are colour, and a note for each change or doubt.

    Booleans become 0 and 255, NaN and infinite values the smallest finite one, colour with three equal channels grey.

    Parameters
    ----------
    name : str
        The file's name, for messages.
    pixels : NDArray, shape (Y, X), (Z, Y, X), or either with a trailing 3
        As read.
    is_rgb : bool
        Whether the last axis is colour.

    Raises
    ------
    StudyReadError
        If there is no pixel, no finite value, or values that are complex or too large.

    """
    if pixels.size == 0:
        raise StudyReadError(
            f"{name}: expected an image with pixels, got shape {pixels.shape}.", hint="Choose another image."
        )
    check_real(name, pixels.dtype)
    pixels = _common_type(pixels)
    pixels, notes = _finite(name, pixels)
    if is_rgb and (pixels[..., :1] == pixels[..., 1:]).all():
        pixels, is_rgb = pixels[..., 0], False
        notes += ("The three colour channels are equal: read as grey.",)
    low, high = pixels.min(), pixels.max()
    if max(-float(low), float(high)) > _LARGEST:
        raise StudyReadError(
            f"{name}: expected values below {_LARGEST:g}, got {low:g} to {high:g}.", hint="Export it with other units."
        )
    if low == high:
        notes += (f"The image is constant: every value is {low:g}.",)
    # Writeable, for torch warns about sharing memory that is not.
    return np.require(pixels, requirements=["C", "W"]), is_rgb, notes


def check_real(name: str, dtype: np.dtype[Any]) -> None:
    """Raise `StudyReadError` for a type that is no real number."""
    if dtype.kind not in "buif":
        raise StudyReadError(
            f"{name}: expected real numbers, got {dtype.name} values.", hint="Export the magnitude as an image."
        )


def chosen_frame(name: str, shape: tuple[int, ...], count: int, frame: int | None) -> int:
    """Return the index of the volume to read, of so many; ``frame`` counts from 1.

    Raises
    ------
    ChoiceError
        If there are several and none is chosen, or there is none such.

    """
    if frame is None and count == 1:
        return 0
    options = [f"volume {number}" for number in range(1, min(count, _MOST_LISTED) + 1)]
    if frame is None:
        message = f"{name}: expected a 2-D or 3-D image, got shape {shape}."
        raise ChoiceError(message, argument="frame", options=options)
    if not 1 <= frame <= count:
        message = f"{name}: expected a volume from 1 to {count}, got {frame}."
        raise ChoiceError(message, argument="frame", options=options)
    return frame - 1


def _common_type(pixels: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return native byte order and a type that every consumer knows."""
    if pixels.dtype.kind == "b":
        return pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype.kind == "f" and pixels.dtype.itemsize not in (4, 8):
        return pixels.astype(np.float32 if pixels.dtype.itemsize < 4 else np.float64)
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def _finite(name: str, pixels: NDArray[np.generic]) -> tuple[NDArray[np.generic], tuple[str, ...]]:
    """Replace NaN and infinite values by the smallest finite one, the background."""
    if pixels.dtype.kind != "f":
        return pixels, ()
    is_finite = np.isfinite(pixels)
    count = pixels.size - int(is_finite.sum())
    if count == 0:
        return pixels, ()
    if count == pixels.size:
        raise StudyReadError(
            f"{name}: expected finite values, got only NaN or infinite ones.", hint="Export the image anew."
        )
    lowest = pixels[is_finite].min()
    note = f"{count} of {pixels.size} values are NaN or infinite: replaced by the smallest value, {lowest:g}."
    return np.where(is_finite, pixels, lowest).astype(pixels.dtype, copy=False), (note,)
