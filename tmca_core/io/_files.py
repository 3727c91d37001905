"""What a file is, told from its content, and whether it can be read at all."""

from __future__ import annotations

import gzip
import os
import stat
import zlib
from enum import StrEnum
from pathlib import Path

from tmca_core.errors import StudyReadError

_HEAD = 560  # bytes from which every kind is told; a NIfTI-2 header is the longest
DEFLATE_RATIO = 1032  # no deflate stream unpacks to more than this many bytes per byte


class Kind(StrEnum):
    """A format that scans come in; the value is its name for messages."""

    PNG = "PNG"
    JPEG = "JPEG"
    TIFF = "TIFF"
    BMP = "BMP"
    WEBP = "WebP"
    DICOM = "DICOM"
    NIFTI = "NIfTI"
    NIFTI_GZ = "gzipped NIfTI"
    NIFTI_PAIR = "NIfTI header and image pair"
    NRRD = "NRRD"
    MHA = "MetaImage"


SUFFIXES: dict[str, Kind] = {
    ".png": Kind.PNG,
    ".jpg": Kind.JPEG,
    ".jpeg": Kind.JPEG,
    ".tif": Kind.TIFF,
    ".tiff": Kind.TIFF,
    ".bmp": Kind.BMP,
    ".webp": Kind.WEBP,
    ".dcm": Kind.DICOM,
    ".dicom": Kind.DICOM,
    ".ima": Kind.DICOM,
    ".nii.gz": Kind.NIFTI_GZ,
    ".nii": Kind.NIFTI,
    ".hdr": Kind.NIFTI_PAIR,
    ".img": Kind.NIFTI_PAIR,
    ".nrrd": Kind.NRRD,
    ".nhdr": Kind.NRRD,
    ".mha": Kind.MHA,
    ".mhd": Kind.MHA,
}
SCAN_SUFFIXES = tuple(SUFFIXES)

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", Kind.PNG),
    (b"\xff\xd8\xff", Kind.JPEG),
    (b"II*\x00", Kind.TIFF),
    (b"MM\x00*", Kind.TIFF),
    (b"II+\x00", Kind.TIFF),
    (b"MM\x00+", Kind.TIFF),
    (b"NRRD000", Kind.NRRD),
    (b"ObjectType", Kind.MHA),
    (b"NDims", Kind.MHA),
    (b"BM", Kind.BMP),
)
_NIFTI_SINGLE = {b"n+1\x00", b"n+2\x00"}
_HEADER_SIZES = {(348).to_bytes(4, "little"), (348).to_bytes(4, "big")}


def suffix_of(path: Path) -> str:
    """Return the suffix in lower case, ".nii.gz" as one."""
    name = path.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else Path(name).suffix


def file_size(path: Path) -> int:
    """Return the size of a regular file in bytes.

    Raises
    ------
    StudyReadError
        If there is no such file, it is no regular file, it may not be read, or it is empty.

    """
    try:
        status = os.stat(path)
    except FileNotFoundError as error:
        what = "a broken link" if path.is_symlink() else "no such file"
        raise StudyReadError(f"{path.name}: {what}.", hint="Check the path.") from error
    except OSError as error:
        raise _unreadable(path, error) from error
    if not stat.S_ISREG(status.st_mode):
        what = "a folder" if stat.S_ISDIR(status.st_mode) else "a device or pipe"
        raise StudyReadError(f"{path.name}: expected a file, got {what}.", hint="Choose an image file.")
    if status.st_size == 0:
        raise StudyReadError(f"{path.name}: the file is empty (0 bytes).", hint="Copy or export it again.")
    return status.st_size


def read_bytes(path: Path) -> bytes:
    """Return the whole content of a file that `file_size` accepts."""
    file_size(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def sniff(path: Path) -> tuple[Kind, tuple[str, ...]]:
    """Return the kind of a file from its content, and a note where its suffix says something else.

    Raises
    ------
    StudyReadError
        If the file cannot be read, or its content is of no kind known here.

    """
    file_size(path)
    kind = _kind_of(_head(path), path)
    if kind is None:
        raise StudyReadError(
            f"{path.name}: not an image: expected PNG, JPEG, TIFF, BMP, WebP, DICOM, NIfTI, NRRD or MetaImage, "
            "got other content.",
            hint="Choose an image file, or convert this one.",
        )
    claimed = SUFFIXES.get(suffix_of(path), kind)
    return kind, () if claimed == kind else (f"The content is {kind}, although the name ends in {suffix_of(path)}.",)


def incomplete(name: str, present: int, expected: int, what: str = "bytes") -> StudyReadError:
    """Return the error for a file that ends before its content does."""
    return StudyReadError(
        f"{name}: the file is incomplete: {present} of {expected} {what}.", hint="Copy or export it again."
    )


def changed_meanwhile(name: str) -> StudyReadError:
    """Return the error for a file that was written to, or taken away, while it was read."""
    return StudyReadError(
        f"{name}: the file changed while it was read.", hint="Wait until it is copied completely, and open it again."
    )


def damaged(name: str, reason: object) -> StudyReadError:
    """Return the error for content that contradicts itself or fails its checks."""
    lines = str(reason).splitlines() or [type(reason).__name__]
    return StudyReadError(f"{name}: the file is damaged ({lines[0][:120]}).", hint="Copy or export it again.")


def check_unpacked_size(name: str, declared: int, packed: int) -> None:
    """Raise `StudyReadError` if a header declares more bytes than a deflate stream of this length can hold."""
    if declared > DEFLATE_RATIO * packed:
        raise StudyReadError(
            f"{name}: the header declares {size_text(declared)} of pixels, more than the {size_text(packed)} of the "
            "file can hold.",
            hint="The file is damaged or incomplete: copy or export it again.",
        )


def size_text(size: int) -> str:
    """Return a number of bytes for people, such as "1.5 MB"."""
    amount = float(size)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} TB"


def _unreadable(path: Path, error: OSError) -> StudyReadError:
    reason = "no permission to read it" if isinstance(error, PermissionError) else error.strerror or "cannot be read"
    return StudyReadError(f"{path.name}: {reason}.", hint="Check the permissions of the file and of its folders.")


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError as error:
        raise _unreadable(path, error) from error


def _kind_of(head: bytes, path: Path) -> Kind | None:
    if head[128:132] == b"DICM":  # first, for its preamble may pose as a TIFF or a program
        return Kind.DICOM
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return Kind.WEBP
    if head[:2] == b"\x1f\x8b":
        return Kind.NIFTI_GZ if _is_gzipped_nifti(path) else None
    if head[344:348] in _NIFTI_SINGLE or head[4:8] in _NIFTI_SINGLE:
        return Kind.NIFTI
    # The data file of a pair has no signature, and the header of an ANALYZE pair only its length.
    is_pair = head[344:348] == b"ni1\x00" or head[4:8] == b"ni2\x00" or head[:4] in _HEADER_SIZES
    return Kind.NIFTI_PAIR if is_pair or suffix_of(path) == ".img" else None


def _is_gzipped_nifti(path: Path) -> bool:
    """Tell whether a gzip file holds a NIfTI image; one too damaged to tell is left to the NIfTI reader."""
    try:
        with gzip.open(path) as stream:
            head = stream.read(_HEAD)
    except (OSError, EOFError, zlib.error):
        return suffix_of(path) == ".nii.gz"
    return _kind_of(head, path) == Kind.NIFTI if head[:2] != b"\x1f\x8b" else False
