"""The image that is segmented: its layer, its scan, and which of its slices are wanted."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from napari.layers import Image

from napari_tmca.layers import SCAN_KEY, layer_spacing_mm, layer_to_scan, present
from tmca_core.study import Scan

if TYPE_CHECKING:
    from napari import Viewer


class ChosenImage:
    """Which image layer of a viewer is segmented.

    Parameters
    ----------
    viewer : Viewer
        Held weakly.

    Attributes
    ----------
    slices : range or None
        To segment, of a volume; all of them where ``None``.

    """

    def __init__(self, viewer: Viewer) -> None:
        self.slices: range | None = None
        self._viewer = weakref.ref(viewer)
        self._layer: weakref.ref[Image] | None = None
        self._scan: Scan | None = None

    @property
    def layer(self) -> Image | None:
        """The image; ``None`` where none is chosen, or when it was removed."""
        layer = present(self._viewer(), self._layer)
        return layer if isinstance(layer, Image) else None

    @property
    def num_slices(self) -> int:
        """Slices of the image, 1 of a picture, 0 where there is none."""
        layer = self.layer
        if layer is None:
            return 0
        return int(layer.data.shape[0]) if layer.ndim == 3 else 1

    @property
    def last_scan(self) -> Scan | None:
        """The scan that was last asked for, of this image."""
        return self._scan

    def choose(self, layer: Image | None) -> None:
        """Choose another image, or none."""
        self._layer = weakref.ref(layer) if layer is not None else None
        self._scan, self.slices = None, None

    def scan_of(self, layer: Image) -> Scan:
        """Return the layer's scan, the same object for the same data, so that its features are computed once.

        Raises
        ------
        StudyReadError
            As `napari_tmca.layers.layer_to_scan`.

        """
        data = layer.data[0] if layer.multiscale else layer.data
        known = self._scan
        if known is None or known.pixels is not data or known.spacing_mm != _spacing_of(layer):
            known = self._scan = layer_to_scan(layer)
        return known

    def slices_of(self, scan: Scan) -> range | None:
        """Return the slices to segment, ``None`` where they are not some of this scan's."""
        chosen = self.slices
        is_some = chosen is not None and scan.ndim == 3 and chosen.stop <= scan.shape[0]
        return chosen if is_some else None


def _spacing_of(layer: Image) -> tuple[float, ...] | None:
    """Return the spacing that `layer_to_scan` would give: a reader's scan keeps its own."""
    scan = layer.metadata.get(SCAN_KEY)
    return scan.spacing_mm if isinstance(scan, Scan) else layer_spacing_mm(layer)
