"""Files of a case: hashes, masks with their labels, JSON."""

from __future__ import annotations

import contextlib
import hashlib
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from tmca_core.atomic import atomic_write
from tmca_core.errors import ProjectError
from tmca_core.io import read_scan, write_mask
from tmca_core.names import json_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from tmca_core.study import Reading, Scan

CASE_NAME, REPORT_NAME, OLD_REPORT_NAME, THUMBNAIL_NAME = "case.json", "report.txt", "report.old.txt", "thumbnail.png"
_CHUNK = 1 << 20


def hash_image(path: Path) -> str:
    """Return the sha256 of a file, or of a folder's files with their names, in the order of the names.

    Raises
    ------
    ProjectError
        If it is missing or cannot be read.

    """
    try:
        if path.is_dir():
            digest = hashlib.sha256()
            for child in sorted(p for p in path.iterdir() if p.is_file()):
                digest.update(f"{child.name}\0{_hash_file(child)}\n".encode("utf-8", "surrogateescape"))
            return digest.hexdigest()
        return _hash_file(path)
    except OSError as error:
        raise ProjectError(
            f"{path.name}: expected the image of a case, and it cannot be read ({error.strerror}).",
            hint="Check that the disk or share with the images is connected.",
        ) from error


def hash_text(text: str) -> str:
    """Return the sha256 of a report's text; "" for a blank one."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() if text.strip() else ""


def mask_suffix(scan: Scan) -> str:
    """Return the format in which masks of a scan are kept: NIfTI for volumes and for what came as NIfTI, else PNG."""
    came_as_nifti = scan.source is not None and scan.source.name.lower().endswith((".nii", ".nii.gz"))
    return ".nii.gz" if scan.ndim == 3 or came_as_nifti else ".png"


def write_labels(path: Path, mask: NDArray[np.generic], scan: Scan) -> str:
    """Write a mask on the scan's grid and return the sha256 of the file."""
    write_mask(path, mask, scan)
    return _hash_file(path)


def read_labels(path: Path, sha256: str, reading: Reading) -> NDArray[np.uint16]:
    """Read a mask with the labels that `write_labels` was given, oriented as the scan.

    Parameters
    ----------
    path, sha256
    reading : Reading
        Of its scan, whose two affines a NIfTI mask has, too.

    Raises
    ------
    ProjectError
        If the file is missing or is not the one that was saved.
    StudyReadError
        If it is no mask.

    """
    try:
        found = _hash_file(path)
    except OSError as error:
        raise ProjectError(
            f"{path.name}: expected a mask, and it cannot be read ({error.strerror}).", hint="Restore it from a backup."
        ) from error
    if found != sha256:
        raise ProjectError(
            f"{path.name}: expected the mask that was saved (sha256 {sha256[:12]}), found another ({found[:12]}).",
            hint="The file was changed or damaged; restore it, or take the version before.",
        )
    affine = None if path.suffix == ".png" else reading.affine
    values = np.asarray(read_scan(path, affine=affine).pixels)
    if path.suffix == ".png" and not np.any((values != 0) & (values != 255)):
        values = values > 0
    labels: NDArray[np.uint16] = np.rint(values).astype(np.uint16)
    return labels


def read_text(path: Path) -> str:
    """Return the text of a report kept by `write_text`; "" where there is none."""
    try:
        return path.read_bytes().decode("utf-8", "surrogatepass")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError:
        return path.read_bytes().decode("latin-1")


def write_text(path: Path, text: str) -> None:
    """Write a text, complete or not at all."""
    with atomic_write(path) as stream:
        stream.write(text.encode("utf-8", "surrogatepass"))


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write JSON, complete or not at all."""
    write_text(path, json_text(values, indent=2) + "\n")


def remove(path: Path) -> None:
    """Remove a file that nothing needs any more; where that fails, it stays and harms nobody."""
    with contextlib.suppress(OSError):
        os.unlink(path)


def _hash_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
