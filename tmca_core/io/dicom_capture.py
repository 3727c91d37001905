"""A heatmap as a DICOM secondary capture: a picture for an archive, with its notice burned in.

It copies the patient's name and number from its scan. highdicom is imported when it is needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tmca_core.io._dicom_out import NOTICE, PRODUCT, made_from_source, mask_of_source, object_options, save_dicom
from tmca_core.io.write import check_shape, heated_slice
from tmca_core.overlay import draw_overlay

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tmca_core.study import Scan

_BURNED_IN = f"{PRODUCT}: attention of a network. {NOTICE}"
_LEAST_WIDTH = 512  # of the picture, so that the notice can be read


def write_dicom_capture(
    path: Path | str, scan: Scan, mask: NDArray[np.generic], attention: NDArray[np.float32]
) -> tuple[str, ...]:
    """Write an RGB picture of the scan with a heatmap and the mask's outline as a DICOM secondary capture.

    Parameters
    ----------
    path : Path or str
        ``.dcm``.
    scan : Scan
        As `tmca_core.io.read_scan` read it from DICOM. Of a volume, the slice with most mask is drawn.
    mask : NDArray, shape of the scan
        Whatever is not zero is target.
    attention : NDArray[np.float32], shape of the scan
        0..1; also a probability.

    Returns
    -------
    tuple of str
        What the user should know, in sentences.

    Raises
    ------
    GeometryError
        If mask or attention have another shape than the scan.
    StudyWriteError
        If the scan's instances cannot be referred to, or the file cannot be written; an old file is then unchanged.

    """
    path = Path(path)
    target = np.asarray(mask, dtype=bool)
    source = mask_of_source(path, target, scan).source
    check_shape(path, attention.shape, scan)
    flat, flat_mask = heated_slice(scan, target, attention)
    picture, _ = draw_overlay(flat, flat_mask)
    with made_from_source(path.name):
        import highdicom as hd

        dataset = hd.sc.SCImage.from_ref_dataset(
            source.first,
            pixel_array=_with_notice(picture),
            photometric_interpretation="RGB",
            bits_allocated=8,
            coordinate_system="PATIENT",
            **object_options("SC"),
            patient_orientation=("L", "P"),
            transfer_syntax_uid="1.2.840.10008.1.2.1",
        )
        # highdicom asks for an orientation; that of slices near to axial is known, and no other is made up.
        if scan.affine_ras is None:
            dataset.PatientOrientation = ""
        if "Laterality" not in dataset:
            dataset.Laterality = ""
        dataset.BurnedInAnnotation = "YES"
        dataset.SeriesDescription = f"Heatmap. {NOTICE}"
        dataset.DerivationDescription = _BURNED_IN
    save_dicom(path, dataset)
    return source.notes


def _with_notice(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the picture, enlarged where it is small, above a black band that holds the notice."""
    factor = -(-_LEAST_WIDTH // picture.shape[1])
    picture = picture.repeat(max(factor, 1), axis=0).repeat(max(factor, 1), axis=1)
    width = picture.shape[1]
    font = ImageFont.load_default(max(12, width // 40))
    band = Image.new("RGB", (width, max(20, width // 20)))
    ImageDraw.Draw(band).text((band.height // 4, band.height // 2), _BURNED_IN, fill="white", font=font, anchor="lm")
    return np.concatenate([picture, np.asarray(band, dtype=np.uint8)])
