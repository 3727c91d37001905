"""From the pixel data of a DICOM image to values that mean something: decoded, rescaled, bright where dense."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
from pydicom.pixels.utils import get_j2k_parameters
from pydicom.uid import (
    JPEG2000TransferSyntaxes,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSTransferSyntaxes,
)

from tmca_core.errors import StudyReadError
from tmca_core.io._decoder import decode_frames
from tmca_core.io._dicom_header import frame_count, transfer_syntax, uid_name, undecodable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray
    from pydicom import Dataset

    Pixels = NDArray[Any]

# Decoders by name, not whichever is installed. gdcm ends its process on some damaged files, which the child process is
# there for; it is asked only for what no other decodes.
_PLUGINS = ("pylibjpeg", "pyjpegls", "pydicom", "pillow", "gdcm")
_MISSING = {
    **dict.fromkeys((JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1), "python-gdcm"),
    **dict.fromkeys(JPEGLSTransferSyntaxes, "pyjpegls"),
    **dict.fromkeys(JPEG2000TransferSyntaxes, "pylibjpeg-openjpeg"),
}
_REVERSED = "The table for display (VOI LUT) runs from bright to dark: the polarity is reversed."
_GREY = {"MONOCHROME1", "MONOCHROME2"}
_INT16, _INT32 = np.iinfo(np.int16), np.iinfo(np.int32)


@dataclass(frozen=True, eq=False)
class Frames:
    """Decoded frames with their modality's values.

    Attributes
    ----------
    values : NDArray, shape (F, Y, X), or (F, Y, X, 3) for colour
        After the modality's rescaling or table; not yet inverted.
    padding : NDArray[np.bool_], shape (F, Y, X), or None
        Pixels outside the picture.
    is_rgb, is_inverted : bool
        Colour; MONOCHROME1, in which high values are dark.
    notes : tuple of str
        What was done.

    """

    values: Pixels
    padding: NDArray[np.bool_] | None
    is_rgb: bool
    is_inverted: bool
    notes: tuple[str, ...] = ()


def decode(name: str, dataset: Dataset) -> Frames:
    """Return the frames of a dataset that `check_image` accepted.

    Raises
    ------
    StudyReadError
        If no decoder is installed for the transfer syntax, or the pixel data is damaged, or means no picture.

    """
    stored, photometric = _decode_pixels(name, dataset)
    if photometric == "PALETTE COLOR":
        return Frames(_palette_colours(name, dataset, stored), None, True, False, ("Palette colours are read as RGB.",))
    if stored.ndim == 4:
        if photometric != "RGB" or stored.shape[-1] != 3:
            raise StudyReadError(
                f"{name}: expected grey or RGB, got {photometric[:20]!r}.", hint="Export it as RGB or grey."
            )
        return Frames(stored, None, True, False)
    if photometric not in _GREY:
        raise StudyReadError(
            f"{name}: expected grey or RGB, got {photometric[:20]!r}.", hint="Export it as RGB or grey."
        )
    values, notes = _modality_values(name, dataset, stored)
    notes = _sign_notes(dataset) + notes
    is_descending, voi_notes = _display_table(dataset)
    is_inverted = (photometric == "MONOCHROME1") != is_descending
    return Frames(values, _padding(dataset, stored), False, is_inverted, notes + voi_notes)


def join(frames: Iterable[Frames]) -> Frames:
    """Return the frames of several files as one; types are promoted to hold all values.

    Raises
    ------
    ValueError
        If some are colour or inverted and others are not.

    """
    every = list(frames)
    if len({(f.is_rgb, f.is_inverted) for f in every}) != 1:
        raise ValueError("colour, grey and inverted frames cannot be joined")
    padding = None
    if any(f.padding is not None for f in every):
        padding = np.concatenate(
            [np.zeros(f.values.shape[:3], bool) if f.padding is None else f.padding for f in every]
        )
    notes = tuple(dict.fromkeys(note for f in every for note in f.notes))
    return Frames(np.concatenate([f.values for f in every]), padding, every[0].is_rgb, every[0].is_inverted, notes)


def bright_is_dense(frames: Frames) -> tuple[Pixels, tuple[str, ...]]:
    """Return the values with MONOCHROME1 inverted within its own range and padding set to the minimum, and notes."""
    values, padding, notes = frames.values, frames.padding, frames.notes
    if padding is not None and (padding.all() or not padding.any()):
        padding = None
    if padding is None and not frames.is_inverted:
        return values, notes
    inside = values if padding is None else values[~padding]
    low, high = inside.min(), inside.max()
    if frames.is_inverted:
        wide = np.float64 if values.dtype.kind == "f" else np.int64
        values = (wide(low) + wide(high) - values.astype(wide)).astype(values.dtype)
        notes += ("MONOCHROME1, in which dark is dense: inverted.",) * (_REVERSED not in notes)
    if padding is not None:
        values = np.where(padding, low, values).astype(values.dtype, copy=False)
        notes += (f"{int(padding.sum())} padding pixels are set to the smallest value, {low:g}.",)
    return values, notes


def _decode_pixels(name: str, dataset: Dataset) -> tuple[Pixels, str]:
    """Return stored values, (F, Y, X) or (F, Y, X, samples), and the photometric interpretation they have now.

    What is compressed is unpacked in a process of its own.
    """
    plugin = _plugin(name, dataset)
    if plugin:
        return decode_frames(name, dataset, plugin)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pixels, properties = get_decoder(transfer_syntax(dataset)).as_array(dataset)
    except Exception as error:
        raise undecodable(name) from error
    frames = pixels if frame_count(name, dataset) > 1 else pixels[np.newaxis]
    return frames, str(properties["photometric_interpretation"])


def _plugin(name: str, dataset: Dataset) -> str:
    """Return the decoder to use by name; "" for pixels that are not compressed."""
    try:
        decoder = get_decoder(transfer_syntax(dataset))
    except NotImplementedError as error:
        raise _no_decoder(name, dataset) from error
    if not decoder.is_encapsulated:
        return ""
    available = set(decoder.available_plugins)
    if transfer_syntax(dataset) == JPEGExtended12Bit and dataset.get("BitsStored") != 8:
        available &= {"gdcm"}  # Pillow's codec is one of 8 bits
    plugin = next((plugin for plugin in _PLUGINS if plugin in available), None)
    if plugin is None:
        raise _no_decoder(name, dataset)
    return plugin


def _sign_notes(dataset: Dataset) -> tuple[str, ...]:
    """Return a note where compressed pixels are signed otherwise than the header says; the decoder follows them."""
    if transfer_syntax(dataset) not in JPEG2000TransferSyntaxes:
        return ()
    try:
        codestream = get_j2k_parameters(
            get_frame(dataset.PixelData, 0, number_of_frames=int(dataset.get("NumberOfFrames") or 1))
        )
    except (ValueError, IndexError, KeyError):
        return ()
    says, is_signed = dataset.get("PixelRepresentation"), codestream.get("is_signed")
    if is_signed is None or says not in (0, 1) or bool(says) == is_signed:
        return ()
    words = ("unsigned", "signed")
    return (f"The header calls the pixels {words[says]}, and they are {words[is_signed]}: read as they are.",)


def _no_decoder(name: str, dataset: Dataset) -> StudyReadError:
    bits, syntax = dataset.get("BitsStored"), transfer_syntax(dataset)
    package = _MISSING.get(syntax)
    hint = f"Install it with: pip install {package}. Or convert the file" if package else "Convert the file"
    return StudyReadError(
        f"{name}: no decoder for its compression, {uid_name(syntax) or 'an unknown one'} with {bits} bits.",
        hint=f"{hint} to Explicit VR Little Endian.",
    )


def _palette_colours(name: str, dataset: Dataset, stored: Pixels) -> Pixels:
    """Return 8-bit RGB; an index beyond the palette is refused, as it has no colour."""
    try:
        entries, first, _ = dataset.RedPaletteColorLookupTableDescriptor
        colours: Pixels = apply_color_lut(stored, dataset)[..., :3]
    except Exception as error:
        raise undecodable(name) from error
    last = first + (entries or 1 << 16) - 1
    if stored.max() > last or stored.min() < first:
        raise StudyReadError(
            f"{name}: expected palette indices {first} to {last}, got {stored.min()} to {stored.max()}.",
            hint="Export it as RGB.",
        )
    return (colours >> 8).astype(np.uint8) if colours.dtype == np.uint16 else colours


def _modality_values(name: str, dataset: Dataset, stored: Pixels) -> tuple[Pixels, tuple[str, ...]]:
    """Return the values after the modality's table, or its slope and intercept, of each frame where they differ."""
    if dataset.get("ModalityLUTSequence"):
        try:
            return apply_modality_lut(stored, dataset), ("The modality's lookup table is applied.",)
        except Exception as error:
            raise undecodable(name) from error
    rescales = [_rescale(name, dataset, frame) for frame in range(len(stored))]
    if set(rescales) == {(1.0, 0.0)}:
        return stored, ()
    if len(set(rescales)) == 1:
        return _rescaled(stored, *rescales[0]), ()
    frames = [_rescaled(frame, *rescale) for frame, rescale in zip(stored, rescales, strict=True)]
    return np.stack(frames), ("Each frame has its own rescaling.",)


def _display_table(dataset: Dataset) -> tuple[bool, tuple[str, ...]]:
    """Tell whether the table that the file gives for display (VOI LUT) runs from bright to dark, and a note on it.

    Windows and tables for display do not change values here, only which end of them is bright.
    """
    tables = dataset.get("VOILUTSequence") or ()
    if not tables:
        return False, ()
    try:
        table = tables[0]
        data = table.LUTData
        if isinstance(data, bytes):
            data = np.frombuffer(data, "<u2" if table.LUTDescriptor[2] > 8 else "u1")
        is_descending = int(data[0]) > int(data[-1])
    except (AttributeError, IndexError, TypeError, ValueError):
        is_descending = False
    return is_descending, (_REVERSED if is_descending else "The table for display (VOI LUT) is not applied.",)


def _rescale(name: str, dataset: Dataset, frame: int) -> tuple[float, float]:
    """Return slope and intercept of a frame."""
    item = functional_group(dataset, frame, "PixelValueTransformationSequence") or dataset
    slope, intercept = item.get("RescaleSlope"), item.get("RescaleIntercept")
    if slope is None and intercept is None:
        return 1.0, 0.0
    try:
        values = (1.0 if slope is None else float(slope), 0.0 if intercept is None else float(intercept))
    except (TypeError, ValueError) as error:
        raise StudyReadError(
            f"{name}: the rescale slope or intercept is no number.", hint="Export it again."
        ) from error
    if values[0] == 0 or not np.isfinite(values).all():
        raise StudyReadError(
            f"{name}: expected a rescale slope other than 0, got {values[0]:g} (intercept {values[1]:g}).",
            hint="Export it again.",
        )
    return values


def _rescaled(stored: Pixels, slope: float, intercept: float) -> Pixels:
    """Return stored * slope + intercept; whole numbers stay whole, as small as they fit."""
    if (slope, intercept) == (1.0, 0.0):
        return stored
    if stored.dtype.kind in "iu" and slope.is_integer() and intercept.is_integer():
        ends = [int(value) * int(slope) + int(intercept) for value in (stored.min(), stored.max())]
        if _INT32.min <= min(ends) and max(ends) <= _INT32.max:
            fits_16_bits = min(ends) >= _INT16.min and max(ends) <= _INT16.max
            values = stored.astype(np.int64) * int(slope) + int(intercept)
            return values.astype(np.int16 if fits_16_bits else np.int32)
    rescaled: Pixels = (stored.astype(np.float64) * slope + intercept).astype(np.float32)
    return rescaled


def functional_group(dataset: Dataset, frame: int, keyword: str) -> Dataset | None:
    """Return one item of an enhanced image's functional groups, the frame's own or the shared one."""
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    shared = dataset.get("SharedFunctionalGroupsSequence") or ()
    for group in (*per_frame[frame : frame + 1], *shared[:1]):
        if items := group.get(keyword):
            item: Dataset = items[0]
            return item
    return None


def _padding(dataset: Dataset, stored: Pixels) -> NDArray[np.bool_] | None:
    """Return where the stored values are padding, the value or range that the header names."""
    try:
        first = int(dataset["PixelPaddingValue"].value)
        last = int(dataset.get("PixelPaddingRangeLimit", first))
    except (KeyError, TypeError, ValueError):
        return None
    low, high = min(first, last), max(first, last)
    padding: NDArray[np.bool_] = (stored >= low) & (stored <= high)
    return padding
