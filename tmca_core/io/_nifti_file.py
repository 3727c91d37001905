"""The bytes of a NIfTI or ANALYZE image, complete and checked, as a nibabel image in memory.

nibabel stops reading a gzip stream before its checksum, and allocates whatever a header declares. Here the stream is
read to its end first, and the declared size is compared with the bytes present before an array is made.
"""

from __future__ import annotations

import gzip
import io
import math
import zlib
from typing import TYPE_CHECKING, cast

import nibabel as nib
from nibabel.fileholders import FileHolder

from tmca_core.errors import StudyReadError
from tmca_core.io._files import Kind, check_unpacked_size, damaged, file_size, incomplete, read_bytes, size_text
from tmca_core.io._memory import check_memory

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

_CHUNK = 1 << 24
_SLACK = 1 << 20  # bytes after the declared voxels that are padding; more is not what the header describes


def load_image(path: Path, kind: Kind) -> nib.analyze.AnalyzeImage:
    """Return the image with all its bytes in memory, its checksum checked where it has one.

    Raises
    ------
    StudyReadError
        If bytes are missing, the checksum is wrong, or the header declares no image or more than the file can hold.

    """
    if kind == Kind.NIFTI_PAIR:
        return _load_pair(path)
    size = file_size(path)
    with gzip.open(path) if kind == Kind.NIFTI_GZ else path.open("rb") as stream:
        data = _read_to_end(path.name, cast("BinaryIO", stream), size, is_packed=kind == Kind.NIFTI_GZ)
    image_class = nib.Nifti2Image if _is_nifti2(data) else nib.Nifti1Image
    return image_class.from_bytes(data)


def _load_pair(path: Path) -> nib.analyze.AnalyzeImage:
    """Return the image of a .hdr and .img pair, given either of the two."""
    header_path, image_path = path.with_suffix(".hdr"), path.with_suffix(".img")
    for companion in (header_path, image_path):
        if not companion.exists():
            raise StudyReadError(
                f"{path.name}: the companion file {companion.name} is missing.", hint="Copy both files of the pair."
            )
    head, data = read_bytes(header_path), read_bytes(image_path)
    image_class: type[nib.analyze.AnalyzeImage] = nib.Spm99AnalyzeImage
    if _is_nifti2(head):
        image_class = nib.Nifti2Pair
    elif head[344:347] == b"ni1":
        image_class = nib.Nifti1Pair
    header = image_class.header_class.from_fileobj(io.BytesIO(head))
    if len(data) < (expected := _expected_size(path.name, header)):
        raise incomplete(image_path.name, len(data), expected)
    contents = {"header": head, "image": data, "mat": b""}  # no SPM matrix: ANALYZE states no orientation
    holders = {part: FileHolder(fileobj=io.BytesIO(content)) for part, content in contents.items()}
    return cast("nib.analyze.AnalyzeImage", image_class.from_file_map(holders))


def _read_to_end(name: str, stream: BinaryIO, size: int, *, is_packed: bool) -> bytes:
    """Return header and voxels of a single file, having read the stream to its end, where gzip checks its checksum.

    ``size`` is that of the file on disk. Memory grows with the bytes that are really there.
    """
    data = bytearray()
    expected = 348
    try:
        data += stream.read(544)  # as long as the longest header
        if len(data) < expected:
            raise incomplete(name, len(data), expected)
        header_class = nib.Nifti2Header if _is_nifti2(data) else nib.Nifti1Header
        header = header_class(bytes(data[: header_class.sizeof_hdr]))
        expected = _expected_size(name, header)
        check_unpacked_size(name, expected, size)
        if is_packed:
            check_memory(name, f"{size_text(expected)} of voxels", 2 * expected, shrinks=False)
        while len(data) < expected and (chunk := stream.read(min(_CHUNK, expected - len(data)))):
            data += chunk
        if len(data) < expected:
            raise incomplete(name, len(data), expected)
        surplus = max(0, len(data) - expected) + _drain(stream)
        _ignore_extensions(data, header)
    except EOFError as error:
        raise incomplete(name, len(data), expected) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise damaged(name, f"checksum failed: {error}") from error
    if surplus > _SLACK:
        raise damaged(name, f"{expected} bytes declared in its header, and more follow")
    return bytes(data)


def _drain(stream: BinaryIO) -> int:
    """Read on to the end, or until there is more than slack, and return the number of bytes."""
    count = 0
    while count <= _SLACK and (chunk := stream.read(_SLACK)):
        count += len(chunk)
    return count


def _ignore_extensions(data: bytearray, header: nib.Nifti1Header) -> None:
    """Clear the flag that announces extensions: nothing here needs them, and a damaged one need not lose the image."""
    flag = slice(header.sizeof_hdr, header.sizeof_hdr + 4)
    if int(header.get_data_offset()) >= flag.stop:
        data[flag] = bytes(4)


def _is_nifti2(head: bytes | bytearray) -> bool:
    return head[4:6] == b"n+" or head[4:6] == b"ni"


def _expected_size(name: str, header: nib.analyze.AnalyzeHeader) -> int:
    """Return how many bytes the header declares for header and voxels, after checking what it declares."""
    shape = tuple(int(n) for n in header["dim"][1 : 1 + max(0, int(header["dim"][0]))])
    if not 1 <= len(shape) <= 7 or min(shape) <= 0:
        raise StudyReadError(f"{name}: expected an image with pixels, got shape {shape}.", hint="Export it again.")
    return int(header.get_data_offset()) + math.prod(shape) * int(header.get_data_dtype().itemsize)
