"""The case on the screen: what of the layers and the report is its own, and what of that is not saved yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_tmca.layers import SCAN_KEY
from tmca_core.errors import ProjectError
from tmca_core.project import Draft, Status, describe_segmentation
from tmca_core.report import Choices

if TYPE_CHECKING:
    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_tmca.session import Session
    from tmca_core.project import OpenCase
    from tmca_core.study import Scan


class OnScreen:
    """What is shown of one open case, or of none, against what is saved of it.

    Attributes
    ----------
    case : OpenCase or None
    scan : Scan or None
    saved_ai, saved_mask : NDArray or None
        The network's mask, and the one that counts, as they stand in the project.
    saved_report : str
    saved_choices : Choices
    recovered_ai : tuple of NDArray and dict, or None
        A network's mask that an autosave held, and what is told of it.

    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.case: OpenCase | None = None
        self.scan: Scan | None = None
        self.saved_mask: NDArray[Any] | None = None
        self.saved_ai: NDArray[Any] | None = None
        self.saved_report, self.saved_choices = "", Choices()
        self.recovered_ai: tuple[NDArray[Any], dict[str, Any]] | None = None

    def attach(
        self, case: OpenCase, scan: Scan, report: str, ai: NDArray[Any] | None, corrected: NDArray[Any] | None
    ) -> None:
        """Take a case as the one on the screen; what was saved of it is what changes are told from."""
        self.case, self.scan = case, scan
        self.saved_ai, self.saved_report, self.saved_choices = ai, report, case.record.choices
        self.saved_mask = ai if corrected is None else corrected

    def detach(self) -> None:
        """Be of no case."""
        self.case = self.scan = self.saved_mask = self.saved_ai = self.recovered_ai = None
        self.saved_report, self.saved_choices = "", Choices()

    def note_saved(self, mask: NDArray[Any] | None, ai: NDArray[Any] | None) -> None:
        """Take masks and report as they now are for saved."""
        self.saved_report, self.saved_choices = self._session.report.text, self._session.choices
        self.saved_ai = ai
        self.saved_mask = None if mask is None else mask.copy()

    @property
    def is_writable(self) -> bool:
        """Whether a case is there, and can be saved."""
        return self.case is not None and not self.case.is_read_only

    @property
    def has_changes(self) -> bool:
        """Whether mask, network's mask or report differ from what is saved."""
        if not self.is_writable:
            return False
        ai, mask = self.ai_mask()[0], self.mask()
        return (
            self.has_other_report
            or self.has_other_choices
            or (mask is not None and not equal(mask, self.saved_mask))
            or (ai is not None and not equal(ai, self.saved_ai))
        )

    @property
    def has_other_report(self) -> bool:
        """Whether the report differs from what is saved."""
        return self._session.report.text != self.saved_report

    @property
    def has_other_choices(self) -> bool:
        """Whether what was decided of the report's sentences differs from what is saved."""
        return self._session.choices != self.saved_choices

    def owns(self, layer: Layer) -> bool:
        """Return whether a layer shows the case's scan, or lies on it."""
        scan = layer.metadata.get(SCAN_KEY)
        return self.scan is not None and getattr(scan, "pixels", None) is self.scan.pixels

    def mask(self) -> NDArray[Any] | None:
        """Return the mask on the screen; ``None`` where there is none of this case."""
        layer = self._session.mask_layer
        if layer is None or not self.owns(layer):
            return None
        return np.asarray(layer.data)

    def ai_mask(self) -> tuple[NDArray[Any] | None, dict[str, Any] | None]:
        """Return the network's mask that is not saved yet, and what is told of it."""
        segmentation, layer = self._session.segmentation, self._session.mask_layer
        if segmentation is not None and layer is not None and self.owns(layer):
            image_only = self._session.mask.image_only
            mask = segmentation.image_only_mask if image_only else segmentation.mask
            return mask, describe_segmentation(segmentation, image_only=image_only)
        return self.recovered_ai or (None, None)

    def known_ai(self) -> NDArray[Any] | None:
        """Return the network's mask, saved or not."""
        ai, _ = self.ai_mask()
        return self.saved_ai if ai is None else ai

    def draft(self, status: Status | None, *, annotator: str, quality: int | None, comment: str | None) -> Draft:
        """Return what is to be saved: report and masks as they are on the screen, as far as they are others than saved.

        Parameters
        ----------
        status : Status or None
            What the annotator says of the case; follows from its masks where ``None``.
        annotator, quality, comment
            As `Draft` has them.

        Raises
        ------
        ProjectError
            If no case is there, or it is called done and has no mask.

        """
        case = self.case
        if case is None:
            raise ProjectError("No case is open.", hint="Choose one in the cases panel.")
        record, mask, (ai, network) = case.record, self.mask(), self.ai_mask()
        is_done = status in (Status.CORRECTED, Status.APPROVED)
        if is_done and mask is None:
            raise ProjectError(
                f"Case {record.id} has no mask.",
                hint="Press Segment, or 'Empty mask' where there is nothing to outline.",
            )
        is_own = mask is not None and (is_done or record.corrected is not None or not equal(mask, self.known_ai()))
        is_own = is_own and (record.corrected is None or not equal(mask, self.saved_mask))
        if status is None and (mask is not None or ai is not None) and record.status == Status.NEW:
            status = Status.SEGMENTED
        if status is None and is_own and record.status == Status.APPROVED:
            status = Status.CORRECTED  # what was approved is another mask
        return Draft(
            report=self._session.report.text,
            choices=self._session.choices,
            ai=ai if ai is not None and not equal(ai, self.saved_ai) else None,
            network=network,
            corrected=mask if is_own else None,
            status=status,
            annotator=annotator,
            quality=quality,
            comment=comment,
            rejected=self.rejected(),
            class_names=self._session.classes.given,
        )

    def rejected(self) -> tuple[str, ...] | None:
        """Return the sentences of whose parts nothing is left; ``None`` where the mask is not of this sitting."""
        segmentation = self._session.segmentation
        if segmentation is None or segmentation.report is None or self._session.mask.image_only:
            return None
        sentences = segmentation.report.sentences
        return tuple(sentences[i].text for i in sorted(self._session.mask.rejected()))

    def ai_made_of(self) -> tuple[int, float, bool] | None:
        """Return what tells one network's mask from another without computing it."""
        segmentation = self._session.segmentation
        if segmentation is None:
            return None if self.recovered_ai is None else (id(self.recovered_ai[0]), 0.0, False)
        return (id(segmentation.logits), segmentation.threshold, self._session.mask.image_only)


def equal(mask: NDArray[Any] | None, other: NDArray[Any] | None) -> bool:
    """Return whether both are there and the same."""
    return mask is not None and other is not None and np.array_equal(mask, other)
