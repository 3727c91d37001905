"""DICOM Comprehensive 3D SR by template TID 1500: what was measured on a mask, with its outlines on the source images.

Like every object of a study it copies the patient's name and number from its scan. The report's words are not in it.
highdicom is imported when it is needed, for it takes half a second.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tmca_core.io._contours import outlines
from tmca_core.io._dicom_out import (
    MANUFACTURER,
    NOTICE,
    PRODUCT,
    Maker,
    MaskOfSource,
    coded,
    made_from_source,
    mask_of_source,
    object_options,
    save_dicom,
    software_version,
)
from tmca_core.io.terms import Code, Term, names_of_labels, term_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray
    from pydicom import Dataset

    from tmca_core.io._dicom_source import SourceImages
    from tmca_core.study import Provenance, Scan

_AREA, _VOLUME = Code("42798000", "SCT", "Area"), Code("118565006", "SCT", "Volume")
_MM2, _MM3 = Code("mm2", "UCUM", "square millimeter"), Code("mm3", "UCUM", "cubic millimeter")
_PIXELS, _VOXELS = Code("{pixels}", "UCUM", "pixels"), Code("{voxels}", "UCUM", "voxels")
_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")
_CENTRE = 0.5  # SR counts from the corner of the first pixel, we from its centre


def write_dicom_sr(
    path: Path | str,
    mask: NDArray[np.generic],
    scan: Scan,
    *,
    names: Mapping[int, str] | None = None,
    provenance: Provenance | None = None,
    is_edited: bool = False,
) -> tuple[str, ...]:
    """Write the sizes of a mask as a Comprehensive 3D SR.

    Of a volume, one group per label with its volume and the outlines on all slices. Of an image, one group per
    connected area with its area. Where the spacing is unknown, sizes are in voxels or pixels, and no millimetre is made
    up.

    Parameters
    ----------
    path, mask, scan, names, provenance, is_edited
        As for `tmca_core.io.dicom_seg.write_dicom_seg`.

    Returns
    -------
    tuple of str
        What the user should know, in sentences.

    Raises
    ------
    GeometryError, StudyWriteError, ValueError
        As for `write_dicom_seg`.

    """
    path = Path(path)
    checked = mask_of_source(path, mask, scan)
    with made_from_source(path.name):
        groups = _groups(checked, scan, dict(names or {}), Maker(provenance, is_edited))
        dataset = _report(checked.source, groups)
    save_dicom(path, dataset)
    unknown = ("The spacing is unknown: sizes are in pixels.",) * (scan.spacing_mm is None)
    return checked.notes(*unknown, if_empty="the report states a size of 0.")


def _algorithm(maker: Maker) -> Any:
    """Return who made the mask, as each measurement group states it; ``None`` without a network."""
    import highdicom as hd
    from pydicom.sr.codedict import codes

    if maker.network is None:
        return None
    name, version, sha256 = maker.network
    return hd.sr.AlgorithmIdentification(
        name=name,
        version=version,
        parameters=[f"weights_sha256={sha256}", f"segmentation={maker.algorithm_type}"],
        family=codes.DCM.ArtificialIntelligence,
        manufacturer=MANUFACTURER,
    )


def _groups(mask: MaskOfSource, scan: Scan, names: dict[int, str], maker: Maker) -> list[Any]:
    import highdicom as hd

    frames = mask.source.frames_of(mask.labels, scan)
    step = 1.0 if scan.spacing_mm is None else math.prod(scan.spacing_mm)
    of_label = names_of_labels(list(mask.present), names)
    groups: list[Any] = [] if mask.present else [_nothing(scan, maker)]
    for label in mask.present:
        term = term_of(of_label[label])
        regions = list(_regions(frames == label, mask.source))
        if scan.ndim == 3:
            size = _measurement(
                _VOLUME, step * sum(n for _, n in regions), _VOXELS if scan.spacing_mm is None else _MM3
            )
            options = _group_options(term, f"{term.label} {label}", size, maker)
            make = hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations
            groups.append(make(referenced_regions=[region for region, _ in regions], **options))
            continue
        for number, (region, num_pixels) in enumerate(regions, 1):
            size = _measurement(_AREA, step * num_pixels, _PIXELS if scan.spacing_mm is None else _MM2)
            options = _group_options(term, f"{term.label} {label}.{number}", size, maker)
            make = hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations
            groups.append(make(referenced_region=region, **options))
    return groups


def _nothing(scan: Scan, maker: Maker) -> Any:
    """Return a group that states a size of nothing, for the template needs one group."""
    import highdicom as hd

    if scan.ndim == 3:
        size = _measurement(_VOLUME, 0.0, _VOXELS if scan.spacing_mm is None else _MM3)
    else:
        size = _measurement(_AREA, 0.0, _PIXELS if scan.spacing_mm is None else _MM2)
    return hd.sr.MeasurementsAndQualitativeEvaluations(**_group_options(term_of("lesion"), "Nothing", size, maker))


def _regions(frames: NDArray[np.bool_], source: SourceImages) -> Iterator[tuple[Any, int]]:
    """Yield every connected area as an outline on its source frame, with its number of pixels."""
    import highdicom as hd

    for number, frame in enumerate(frames):
        header = source.first if source.is_multi_frame else source.headers[number]
        for points, num_pixels in outlines(frame):
            closed = np.concatenate([points, points[:1]])[:, ::-1] + _CENTRE  # (column, row)
            image = hd.sr.SourceImageForRegion(
                header.SOPClassUID, header.SOPInstanceUID, [number + 1] if source.is_multi_frame else None
            )
            yield hd.sr.ImageRegion("POLYLINE", closed, image), num_pixels


def _measurement(name: Code, value: float, unit: Code) -> Any:
    import highdicom as hd

    return hd.sr.Measurement(name=coded(name), value=round(float(value), 4), unit=coded(unit))


def _group_options(term: Term, identifier: str, size: Any, maker: Maker) -> dict[str, Any]:
    import highdicom as hd

    return {
        "tracking_identifier": hd.sr.TrackingIdentifier(uid=hd.UID(), identifier=identifier),
        "finding_type": coded(term.kind),
        "finding_category": coded(term.category),
        "finding_sites": [hd.sr.FindingSite(coded(term.region))] if term.region else None,
        "algorithm_id": _algorithm(maker),
        "measurements": [size],
    }


def _report(source: SourceImages, groups: list[Any]) -> Dataset:
    import highdicom as hd
    from pydicom.sr.codedict import codes

    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=hd.UID(), name=PRODUCT, manufacturer_name=MANUFACTURER, model_name=f"{PRODUCT} {software_version()}"
    )
    content = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(
            observer_device_context=hd.sr.ObserverContext(codes.DCM.Device, device)
        ),
        procedure_reported=coded(_PROCEDURE),
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    return hd.sr.Comprehensive3DSR(
        evidence=list(source.headers),
        content=content[0],
        **object_options("SR"),
        series_description=f"Measurements. {NOTICE}",
        is_complete=True,
        is_final=False,
        is_verified=False,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
    )
