"""The network's answer that is on the screen, and what is read from it: threshold, mask of the image alone, remarks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from napari_tmca.canvas import index_in
from tmca_core.attribution import sentences_at
from tmca_core.consistency import check_consistency

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_tmca.editing import MaskEditor
    from tmca_core.consistency import Remark
    from tmca_core.study import Segmentation


class Answer:
    """What the network answered last, and its mask as it now is.

    Signals (psygnal): `changed` without argument, when another mask of the same answer is shown.

    Parameters
    ----------
    mask : MaskEditor

    Attributes
    ----------
    segmentation : Segmentation or None
    threshold : float or None
        Also of the next answer; the model's own where ``None``.

    """

    changed = Signal()

    def __init__(self, mask: MaskEditor) -> None:
        self.segmentation: Segmentation | None = None
        self.threshold: float | None = None
        self._mask = mask
        self._remarks: tuple[Remark, ...] | None = ()
        mask.changed.connect(self._on_mask_changed)

    def take(self, segmentation: Segmentation) -> None:
        """Be this answer from now on."""
        self.segmentation, self.threshold, self._remarks = segmentation, segmentation.threshold, None

    def clear(self) -> None:
        """Be none."""
        self.segmentation, self.threshold, self._remarks = None, None, ()

    def set_threshold(self, threshold: float) -> None:
        """Apply another threshold to the stored probability, at once, and only where nobody has painted.

        Raises
        ------
        ValueError
            If the threshold is outside 0..1.

        """
        if not 0.0 <= threshold <= 1.0:
            raise ValueError(f"threshold: expected 0..1, got {threshold}")
        self.threshold = threshold
        if self.segmentation is None:
            return
        self.segmentation = replace(self.segmentation, threshold=threshold)
        self._mask.rewrite(self.segmentation, image_only=self._mask.image_only)
        self.changed.emit()

    def show_image_only(self, on: bool) -> None:
        """Put the mask of the image alone in the place of the report's, or back; what was painted stays.

        Raises
        ------
        ValueError
            If nothing was segmented yet, or the last segmentation had no report.

        """
        if self.segmentation is None or self.segmentation.image_only_logits is None:
            raise ValueError("segment with a report before show_image_only")
        self._mask.rewrite(self.segmentation, image_only=on)
        self.changed.emit()

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """What agrees, and what does not, between the report and the mask as it now is."""
        if self._remarks is None:
            layer = self._mask.layer
            report = self.segmentation.report if self.segmentation is not None else None
            self._remarks = ()
            if layer is not None and report is not None:
                self._remarks = check_consistency(np.asarray(layer.data), report)
        return self._remarks

    def forget_remarks(self) -> None:
        """Look again at a mask that another one has replaced."""
        self._remarks = None

    def sentences_at(self, position: Sequence[float]) -> dict[int, float]:
        """Return the attention of every sentence at a world position within the mask; nothing elsewhere."""
        layer = self._mask.layer
        index = index_in(layer, position) if layer is not None else None
        if layer is None or self.segmentation is None or index is None or not layer.data[index]:
            return {}
        return sentences_at(self.segmentation, index)

    def _on_mask_changed(self) -> None:
        layer = self._mask.layer
        if layer is not None and layer.data.ndim == 2:  # counting the parts of a volume takes longer than a brush may
            self._remarks = None
