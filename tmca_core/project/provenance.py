"""Where a mask comes from: the JSON beside it. No file name, no folder, none of the report's words."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tmca_core.metrics import dice
from tmca_core.report import tellings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from tmca_core.report import Choice
    from tmca_core.study import Segmentation

FORMAT = "tmca-mask/1"


@dataclass(frozen=True)
class MaskProvenance:
    """What is told of one mask of a case.

    Attributes
    ----------
    kind : {"ai", "corrected", "imported"}
    mask_sha256, scan_sha256, report_sha256 : str
        Of the files; "" without a report.
    annotator : str
    created : str
        ISO 8601, UTC.
    revision : int
        Save of the case that it belongs to.
    num_voxels : int
        Voxels that are not background.
    num_added, num_removed, num_relabelled : int or None
        How the annotator's mask differs from the network's; ``None`` where there is none to compare with.
    dice_ai : float or None
        Dice between the two.
    active_s : float
        Seconds of work on the case so far.
    choices : tuple of Choice
        Sentences of which the reader decided otherwise than was understood, by their places in the report.
    class_names : Mapping of int to str
        What labels are called, of those that somebody named.
    network : Mapping
        For a network's mask, `describe_segmentation`; for the annotator's, that of the mask started from.

    """

    kind: Literal["ai", "corrected", "imported"]
    mask_sha256: str
    scan_sha256: str
    report_sha256: str
    annotator: str
    created: str
    revision: int
    num_voxels: int
    num_added: int | None = None
    num_removed: int | None = None
    num_relabelled: int | None = None
    dice_ai: float | None = None
    active_s: float = 0.0
    choices: tuple[Choice, ...] = ()
    class_names: Mapping[int, str] = field(default_factory=dict)
    network: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the content of the JSON file."""
        return {"format": FORMAT, **asdict(self)}


def describe_segmentation(segmentation: Segmentation, *, image_only: bool = False) -> dict[str, Any]:
    """Return what is needed to repeat a segmentation: model, versions, threshold, sentences by their offsets."""
    report, provenance = segmentation.report, segmentation.provenance
    used = () if report is None or image_only else report.used
    told = () if report is None else tellings(report)
    return {
        "model_name": provenance.model_name,
        "model_version": provenance.model_version,
        "model_sha256": provenance.model_sha256,
        "device": provenance.device,
        "versions": dict(provenance.versions),
        "network_shape": list(provenance.network_shape),
        "threshold": float(segmentation.threshold),
        "image_only": image_only or report is None,
        "agreement": segmentation.agreement,
        "sentences": [
            {
                "start": sentence.start,
                "end": sentence.end,
                "is_used": index in used,
                "telling": told[index] if index in used else "unused",
            }
            for index, sentence in enumerate(report.sentences if report is not None else ())
        ],
    }


def compare_masks(ai: NDArray[np.generic] | None, corrected: NDArray[np.generic] | None) -> dict[str, Any]:
    """Return how two masks differ, as fields of `MaskProvenance`; nothing where one is missing or of another shape."""
    if ai is None or corrected is None or ai.shape != corrected.shape:
        return {}
    before, after = ai != 0, corrected != 0
    return {
        "num_added": int(np.count_nonzero(after & ~before)),
        "num_removed": int(np.count_nonzero(before & ~after)),
        "num_relabelled": int(np.count_nonzero(before & after & (ai != corrected))),
        "dice_ai": float(dice(before, after)),
    }
