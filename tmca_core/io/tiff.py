"""TIFF, one picture, or pages of equal shape as a volume. Runs in the child process that `picture` keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import tifffile
from tifffile import COMPRESSION, PHOTOMETRIC

from tmca_core.errors import StudyReadError, TmcaError
from tmca_core.io._files import Kind, check_unpacked_size, damaged, file_size, incomplete, read_bytes
from tmca_core.io._memory import check_memory
from tmca_core.io._values import chosen_frame
from tmca_core.io.raster import ALPHA_DROPPED, check_picture_size, decode_picture, drop_alpha, orientation_note
from tmca_core.io.shrink import block_mean, blocks, note_shrunk, rounded

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from tmca_core.io._values import Decoded

_STACK_AXES = {"Z", "I", "Q"}  # slices, pages, pages of unstated meaning; not time, not channels
_DEFLATE = {COMPRESSION.ADOBE_DEFLATE, COMPRESSION.DEFLATE}
_ORIENTATION_TAG = 274
_PLAIN = {PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.RGB, PHOTOMETRIC.PALETTE}


def decode_tiff(path: Path, kind: Kind, frame: int | None, announce: Callable[[int], None], shrink: int = 1) -> Decoded:
    """Return the pixels of a TIFF of 1 to 64 bits, integer or floating, whether they are colour, and notes.

    One page is a picture (Y, X) or (Y, X, 3); several of equal shape are a volume with a leading Z, in the order of the
    file; ``frame``, from 1, reads one of them alone. ``announce`` is told the bytes before they are unpacked. With
    ``shrink`` only the means of blocks are kept while strips and tiles are read, one after the other.

    Raises
    ------
    StudyReadError
        If the file is damaged or incomplete, or its pages are not one picture or one stack of slices.
    ChoiceError
        If there is no such ``frame``.

    """
    size = file_size(path)
    try:
        with tifffile.TiffFile(path) as tiff:
            series = _only_series(path.name, tiff)
            declared = _check_segments(path.name, size, series, shrink)
            in_parts = shrink > 1 and _has_parts(series.keyframe)
            shape = f"{' x '.join(map(str, series.shape))} pixels"
            check_memory(
                path.name, shape, 2 * declared // shrink**2 if in_parts else 2 * declared, shrinks=not in_parts
            )
            announce(declared)
            pixels, is_rgb, notes = _decode(path, series, shrink if in_parts else 1)
            if shrink > 1 and not in_parts:
                pixels = block_mean(path.name, pixels, shrink, is_rgb=is_rgb)
            notes += (note_shrunk(shrink),) * (shrink > 1)
    except TmcaError:
        raise
    except Exception as error:
        raise damaged(path.name, error) from error
    if frame is not None:
        count = len(pixels) if pixels.ndim == 3 + is_rgb else 1
        number = chosen_frame(path.name, pixels.shape, count, frame)
        pixels = pixels[number] if pixels.ndim == 3 + is_rgb else pixels
        notes += (f"Page {frame} of {count}.",) * (count > 1)
    return pixels, is_rgb, notes


def _only_series(name: str, tiff: tifffile.TiffFile) -> tifffile.TiffPageSeries:
    """Return the one series of pages of equal shape, with axes that are a picture or a stack of slices."""
    if not tiff.series:
        raise StudyReadError(f"{name}: expected a TIFF with a picture, got none in it.", hint="Export it again.")
    if len(tiff.series) != 1:
        shapes = ", ".join("x".join(map(str, series.shape)) for series in tiff.series[:4])
        raise StudyReadError(
            f"{name}: expected pages of one shape, got {len(tiff.series)} kinds of pages ({shapes}).",
            hint="Save the pages that belong together as their own file.",
        )
    series = tiff.series[0]
    stack = series.axes.replace("S", "").removesuffix("YX")
    if not series.axes.replace("S", "").endswith("YX") or not (stack == "" or stack in _STACK_AXES):
        raise StudyReadError(
            f"{name}: expected a picture or a stack of slices, got axes {series.axes} of shape {series.shape}.",
            hint="Save one time point and one channel as its own file.",
        )
    return series


def _check_segments(name: str, size: int, series: tifffile.TiffPageSeries, shrink: int) -> int:
    """Check that every strip or tile lies inside the file; absent ones would be read as zeros without a word.

    Returns the bytes that the pixels take, at least one for each.
    """
    page = series.keyframe
    check_picture_size(name, page.imagelength, page.imagewidth, shrink)
    count = int(np.prod(series.shape, dtype=object))
    declared = count * (page.bitspersample or 8) // 8
    if page.compression in _DEFLATE:
        check_unpacked_size(name, declared, size)
    end = 0
    for one in series.pages:
        if one is None:
            continue  # of a contiguous stack, of which only the first page is described
        if not all(one.databytecounts):
            raise StudyReadError(f"{name}: parts of the picture are absent.", hint="Copy or export it again.")
        end = max(end, *(o + c for o, c in zip(one.dataoffsets, one.databytecounts, strict=True)))
    if series.dataoffset is not None:
        end = max(end, series.dataoffset + declared)
    if end > size:
        raise incomplete(name, size, end)
    return max(count, declared)


def _decode(path: Path, series: tifffile.TiffPageSeries, shrink: int) -> Decoded:
    """Return (Y, X) or (Z, Y, X), or either with a trailing 3; whether it is colour; notes."""
    page = series.keyframe
    if page.photometric not in _PLAIN or not _has_decoder(page):
        return _decode_with_pillow(path, series)
    if shrink > 1:
        pixels = _shrunk(path, series, shrink)
    else:
        pixels = series.asarray()
        if "S" in series.axes:
            pixels = np.moveaxis(pixels, series.axes.index("S"), -1)
    pixels, notes = _to_grey_or_rgb(path.name, pixels, page, has_samples="S" in series.axes)
    is_rgb = pixels.ndim == len(series.axes.replace("S", "")) + 1
    tag = page.tags.get(_ORIENTATION_TAG)
    if tag is not None and tag.value in range(2, 9):
        pixels = _upright(pixels, int(tag.value), axis=series.axes.replace("S", "").index("Y"))
        notes += (orientation_note(int(tag.value)),)
    return pixels, is_rgb, notes


def _has_parts(page: tifffile.TiffPage) -> bool:
    """Tell whether strips and tiles can be averaged one by one: decoded here, and numbers that have a mean."""
    return page.photometric in _PLAIN - {PHOTOMETRIC.PALETTE} and _has_decoder(page)


def _shrunk(path: Path, series: tifffile.TiffPageSeries, factor: int) -> NDArray[np.generic]:
    """Return the means of blocks, (Y, X) or (Z, Y, X), perhaps with a trailing axis of samples."""
    page, has_samples = series.keyframe, "S" in series.axes
    if series.dataoffset is not None and page.is_memmappable:
        dtype = series.dtype.newbyteorder(page.parent.byteorder)
        mapped: NDArray[np.generic] = np.memmap(path, dtype, "r", series.dataoffset, series.shape)
        if has_samples:
            mapped = np.moveaxis(mapped, series.axes.index("S"), -1)
        return block_mean(path.name, mapped, factor, is_rgb=has_samples)
    pages = [_shrunk_page(path.name, one, factor) for one in series.pages]
    values = pages[0] if len(pages) == 1 else np.stack(pages)
    return values if has_samples else values[..., 0]


def _shrunk_page(name: str, page: tifffile.TiffPage | tifffile.TiffFrame, factor: int) -> NDArray[np.generic]:
    """Return the means of a page's blocks, (Y, X, samples), having held one strip or tile at a time."""
    first_page = page.keyframe
    rows, columns = blocks(name, first_page.imagelength, first_page.imagewidth, factor)
    sums = np.zeros((rows, columns, first_page.samplesperpixel))
    for segment, (sample, _, top, left, _), _ in page.segments():
        if segment is None:
            raise StudyReadError(f"{name}: parts of the picture are absent.", hint="Copy or export it again.")
        part = segment[0, : max(0, rows * factor - top), : max(0, columns * factor - left)].astype(np.float64)
        if not part.size:
            continue
        for axis, begin in enumerate((top, left)):
            first = -begin % factor
            starts = np.arange(first, part.shape[axis], factor)
            part = np.add.reduceat(part, np.union1d([0], starts), axis=axis)
        row, column = top // factor, left // factor
        samples = slice(sample, sample + part.shape[2])
        sums[row : row + part.shape[0], column : column + part.shape[1], samples] += part
    return rounded(sums / factor**2, np.dtype(first_page.dtype))


def _has_decoder(page: tifffile.TiffPage) -> bool:
    """Tell whether tifffile can decode the page as installed here; most codecs come with the imagecodecs package."""
    try:
        tifffile.TIFF.DECOMPRESSORS[page.compression]
        tifffile.TIFF.UNPREDICTORS[page.predictor]
    except KeyError:
        return False
    return page.bitspersample in (1, 8, 16, 32, 64)


def _decode_with_pillow(path: Path, series: tifffile.TiffPageSeries) -> Decoded:
    """Decode page by page with Pillow, which brings libtiff and its codecs, and knows CMYK and YCbCr."""
    data = read_bytes(path)
    count = len(series.pages)
    try:
        pages = [decode_picture(path.name, data, Kind.TIFF, frame=frame) for frame in range(count)]
    except TmcaError as error:
        page = series.keyframe
        raise StudyReadError(
            f"{path.name}: cannot decode a TIFF with {COMPRESSION(page.compression).name} compression, "
            f"{PHOTOMETRIC(page.photometric).name} colours and {page.bitspersample} bits.",
            hint="Save it without compression as grey or RGB, or check that the file is complete.",
        ) from error
    _, is_rgb, notes = pages[0]
    return (pages[0][0] if count == 1 else np.stack([pixels for pixels, _, _ in pages])), is_rgb, notes


def _to_grey_or_rgb(
    name: str, pixels: NDArray[np.generic], page: tifffile.TiffPage, *, has_samples: bool
) -> tuple[NDArray[np.generic], tuple[str, ...]]:
    """Look up the palette, turn "white is zero" round, drop alpha."""
    if page.photometric == PHOTOMETRIC.PALETTE and page.colormap is not None:
        return np.moveaxis(page.colormap[:, pixels] >> 8, 0, -1).astype(np.uint8), ("Palette colours are read as RGB.",)
    if page.photometric == PHOTOMETRIC.MINISWHITE:
        return _inverted(pixels), ("Zero means white in this file: inverted.",)
    colours = 3 if page.photometric == PHOTOMETRIC.RGB else 1
    if not has_samples or pixels.shape[-1] == colours:
        return pixels, ()
    if pixels.shape[-1] == colours + 1:
        return drop_alpha(name, pixels), (ALPHA_DROPPED,)
    raise StudyReadError(
        f"{name}: expected grey or RGB, got {pixels.shape[-1]} channels.", hint="Save one channel as its own file."
    )


def _inverted(pixels: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return the pixels with zero as black."""
    if pixels.dtype.kind in "bu":
        return cast("NDArray[np.generic]", np.invert(pixels))
    return cast("NDArray[np.generic]", pixels.max() - pixels + pixels.min())


def _upright(pixels: NDArray[np.generic], orientation: int, axis: int) -> NDArray[np.generic]:
    """Turn stored rows and columns, the axes ``axis`` and ``axis + 1``, as the TIFF orientation 2..8 says."""
    is_transposed = orientation >= 5
    if is_transposed:
        pixels = np.swapaxes(pixels, axis, axis + 1)
    # Bit by bit after the transposition: which of the values start at the bottom, which at the right.
    if orientation in (3, 4, 7, 8):
        pixels = np.flip(pixels, axis)
    if orientation in (2, 3, 6, 7):
        pixels = np.flip(pixels, axis + 1)
    return pixels
