"""The formats that a predicted mask can be written in, by name, and whether a scan allows them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from tmca_core.attention import attention_on_scan
from tmca_core.errors import ConfigError
from tmca_core.io._dicom_source import source_images
from tmca_core.io.dicom_capture import write_dicom_capture
from tmca_core.io.dicom_seg import write_dicom_seg
from tmca_core.io.dicom_sr import write_dicom_sr
from tmca_core.io.rtstruct import check_positions, write_rtstruct
from tmca_core.io.terms import TERMS
from tmca_core.io.write import check_target, write_mask

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from tmca_core.study import Provenance, Report, Scan, Segmentation


class MaskFormat(StrEnum):
    """A file that a mask can become."""

    NIFTI = "nifti"
    PNG = "png"
    TIFF = "tiff"
    NRRD = "nrrd"
    SEG = "seg"
    RTSTRUCT = "rtstruct"
    SR = "sr"
    CAPTURE = "capture"


FILE_NAMES = {
    MaskFormat.NIFTI: "mask.nii.gz",
    MaskFormat.PNG: "mask.png",
    MaskFormat.TIFF: "mask.tif",
    MaskFormat.NRRD: "mask.nrrd",
    MaskFormat.SEG: "mask_seg.dcm",
    MaskFormat.RTSTRUCT: "mask_rtstruct.dcm",
    MaskFormat.SR: "measurements_sr.dcm",
    MaskFormat.CAPTURE: "heatmap_sc.dcm",
}


def parse_formats(words: Iterable[str]) -> tuple[MaskFormat, ...]:
    """Return the formats named, each word one name or several with commas between.

    Raises
    ------
    ConfigError
        If a name is none of them.

    """
    names = [name.strip().lower() for word in words for name in word.split(",") if name.strip()]
    known = [mask_format.value for mask_format in MaskFormat]
    for name in names:
        if name not in known:
            raise ConfigError(
                f"--format: expected one of {', '.join(known)}, got '{name}'.", hint="Repeat it, or use commas."
            )
    return tuple(dict.fromkeys(MaskFormat(name) for name in names))


def check_format(mask_format: MaskFormat, scan: Scan) -> None:
    """Raise `StudyWriteError` if a mask of this scan cannot be written in this format."""
    path = Path(FILE_NAMES[mask_format])
    if path.suffix != ".dcm":
        check_target(path, scan.shape, scan)
        return
    source = source_images(path.name, scan)
    if mask_format == MaskFormat.RTSTRUCT:
        check_positions(path, source)


def save_mask(
    path: Path,
    mask: NDArray[np.generic],
    scan: Scan,
    *,
    provenance: Provenance | None = None,
    is_edited: bool = False,
    names: Mapping[int, str] | None = None,
) -> tuple[str, ...]:
    """Write a mask in the format of its suffix, ``.dcm`` as a DICOM segmentation, and return what should be known.

    Parameters
    ----------
    path, mask, scan
        As for `tmca_core.io.write_mask`, and ``.dcm`` as for `tmca_core.io.dicom_seg.write_dicom_seg`.
    provenance, is_edited
        As for `write_dicom_seg`; other formats have no place for them.
    names : Mapping of int to str, optional
        What each label outlines; as for `write_dicom_seg`, and other formats have no place for them.

    Raises
    ------
    GeometryError, StudyWriteError, ValueError
        As for the two.

    """
    if path.suffix.lower() == ".dcm":
        kind = MaskFormat.SEG
        return export_mask(kind, path, mask, scan, names=names, provenance=provenance, is_edited=is_edited)
    write_mask(path, mask, scan)
    return ()


def export_mask(
    mask_format: MaskFormat,
    path: Path,
    mask: NDArray[np.generic],
    scan: Scan,
    *,
    provenance: Provenance | None = None,
    is_edited: bool = False,
    names: Mapping[int, str] | None = None,
) -> tuple[str, ...]:
    """Write a mask in a format by its name, and return what should be known.

    Parameters
    ----------
    mask_format : MaskFormat
        Any but a capture, which is a picture of a heatmap.
    path, mask, scan, provenance, is_edited, names
        As for `save_mask`.

    Raises
    ------
    GeometryError, StudyWriteError, ValueError
        As the function that writes the format.

    """
    writers = {MaskFormat.RTSTRUCT: write_rtstruct, MaskFormat.SR: write_dicom_sr, MaskFormat.SEG: write_dicom_seg}
    if mask_format in writers:
        return writers[mask_format](path, mask, scan, names=names, provenance=provenance, is_edited=is_edited)
    if mask_format == MaskFormat.CAPTURE:
        raise ValueError("a capture is a picture of a heatmap, and no mask")
    write_mask(path, mask, scan)
    return ()


def write_format(mask_format: MaskFormat, path: Path, scan: Scan, segmentation: Segmentation) -> tuple[str, ...]:
    """Write a segmentation's mask as it came from the network, and return what the user should know, in sentences."""
    mask = segmentation.mask
    if mask_format == MaskFormat.CAPTURE:
        return write_dicom_capture(path, scan, mask, attention_on_scan(segmentation, level="mean"))
    names = {1: name_of_target(segmentation.report)}
    return export_mask(mask_format, path, mask, scan, names=names, provenance=segmentation.provenance)


def name_of_target(report: Report | None) -> str:
    """Return the term for what a report affirms, "lesion" where that is nothing or several things."""
    used = () if report is None else [report.sentences[i] for i in report.used]
    kinds = {f.kind for s in used for f in s.findings if f.certainty in ("affirmed", "uncertain") and f.kind in TERMS}
    return kinds.pop() if len(kinds) == 1 else "lesion"
