"""What the network looked at, shown in one layer: for the whole report, a sentence or a word, at one level or all."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from napari.layers import Image

from napari_tmca.layers import HEATMAP_NAME, SCAN_KEY, add_heatmap, add_values, free_name, present
from tmca_core.attention import attention_on_scan, maps_on_scan

if TYPE_CHECKING:
    from napari import Viewer
    from numpy.typing import NDArray

    from tmca_core.study import Scan, Segmentation, WordAttention

Level = int | Literal["mean"]
Values = Literal["probability", "uncertainty"]


@dataclass(frozen=True)
class MapChoice:
    """Which map: of ``report.sentences[sentence]``, of its word number ``word``; ``None`` is the whole of it."""

    sentence: int | None = None
    word: int | None = None
    level: Level = "mean"


class Heatmaps:
    """The heatmap layer of a session, and what it can show of the last segmentation.

    Maps stay here and one layer shows them: a layer each would flood the layer list. `pin` makes one that stays.

    Parameters
    ----------
    viewer : Viewer
        Held weakly.

    """

    def __init__(self, viewer: Viewer) -> None:
        self.chosen = MapChoice()
        self.words: dict[int, WordAttention] = {}
        self._viewer = weakref.ref(viewer)
        self._layer: weakref.ref[Image] | None = None
        self._values: dict[Values, weakref.ref[Image]] = {}
        self._segmentation: Segmentation | None = None

    @property
    def layer(self) -> Image | None:
        """The layer that shows a map; ``None`` before a segmentation, or when it was removed."""
        layer = present(self._viewer(), self._layer)
        return layer if isinstance(layer, Image) else None

    def start(self, segmentation: Segmentation, scan: Scan, reference: Image) -> bool:
        """Show the whole report's map of a new segmentation; return whether a layer was added for it."""
        self._segmentation, self.words = segmentation, {}
        self.chosen = MapChoice(level=self.chosen.level)
        self._refresh_values()
        if not segmentation.attention:
            return False
        values = self.values(self.chosen)
        layer, viewer = self.layer, self._viewer()
        if layer is not None and layer.data.shape == values.shape and layer.metadata.get(SCAN_KEY) is scan:
            layer.data = values
            return False
        if viewer is None:
            return False
        if layer is not None:
            viewer.layers.remove(layer)
        self._layer = weakref.ref(add_heatmap(viewer, values, scan, reference))
        return True

    def values(self, choice: MapChoice) -> NDArray[np.float32]:
        """Return a map on the scan's grid.

        Raises
        ------
        ValueError
            If nothing was segmented yet, or there is no such map; a word has one once its sentence is in ``words``.

        """
        segmentation = self._segmentation
        if segmentation is None:
            raise ValueError("segment before show_map")
        if choice.word is None:
            return attention_on_scan(segmentation, level=choice.level, sentence=choice.sentence)
        known = self.words.get(choice.sentence) if choice.sentence is not None else None
        if known is None or not 0 <= choice.word < len(known.maps):
            raise ValueError(f"word {choice.word} of sentence {choice.sentence} has no attention map")
        return maps_on_scan(known.maps[choice.word], segmentation.logits.shape, choice.level)

    def show(self, choice: MapChoice, *, is_preview: bool = False) -> NDArray[np.float32]:
        """Put a map into the layer; a preview leaves ``chosen`` as it is. Raises as `values` does."""
        values = self.values(choice)
        if not is_preview:
            self.chosen = choice
        layer = self.layer
        if layer is not None and layer.data.shape == values.shape:
            layer.data = values
        return values

    def pin(self) -> Image:
        """Add a layer that keeps the map chosen.

        Raises
        ------
        ValueError
            If there is no heatmap layer.

        """
        layer, viewer = self.layer, self._viewer()
        if layer is None or viewer is None:
            raise ValueError("segment before pin_map")
        name = _pinned_name(self.chosen)
        pinned = add_heatmap(viewer, self.values(self.chosen), layer.metadata[SCAN_KEY], layer)
        pinned.name = free_name(viewer, name)
        return pinned

    def is_shown(self, kind: Values) -> bool:
        """Return whether the layer of the probability, or of the uncertainty, is there."""
        return present(self._viewer(), self._values.get(kind)) is not None

    def show_values(self, kind: Values, on: bool, scan: Scan, reference: Image) -> None:
        """Add or remove the layer of the probability, or of its uncertainty (entropy in bits, 1 where it is 50 %)."""
        viewer, segmentation = self._viewer(), self._segmentation
        if viewer is None or segmentation is None or on == self.is_shown(kind):
            return
        if on:
            layer = add_values(viewer, _values_of(segmentation, kind), kind.capitalize(), scan, reference)
            self._values[kind] = weakref.ref(layer)
        else:
            viewer.layers.remove(present(viewer, self._values.pop(kind)))

    def _refresh_values(self) -> None:
        for kind, reference in tuple(self._values.items()):
            layer, segmentation = present(self._viewer(), reference), self._segmentation
            if isinstance(layer, Image) and segmentation is not None:
                values = _values_of(segmentation, kind)
                if layer.data.shape == values.shape:
                    layer.data = values
                else:
                    del self._values[kind]


def _values_of(segmentation: Segmentation, kind: Values) -> NDArray[np.float32]:
    p = segmentation.probability
    if kind == "probability":
        return p
    q = np.clip(p.astype(np.float64), 1e-7, 1 - 1e-7)
    return (-q * np.log2(q) - (1 - q) * np.log2(1 - q)).astype(np.float32)


def _pinned_name(choice: MapChoice) -> str:
    """Return a name without words of the report: layer names go into file names."""
    text = HEATMAP_NAME if choice.sentence is None else f"{HEATMAP_NAME}, sentence {choice.sentence + 1}"
    if choice.word is not None:
        text += f", word {choice.word + 1}"
    return text if choice.level == "mean" else f"{text}, level {choice.level}"
