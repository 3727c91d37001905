"""What the network looked at, shown in one layer: for the whole report, a sentence or a word, at one level or all."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
from napari.layers import Image
from psygnal import Signal

from napari_tmca.layers import HEATMAP_NAME, SCAN_KEY, add_heatmap, add_values, free_name, heat_for, present
from napari_tmca.worker import Cancelled, GuiFuture
from tmca_core.attention import attention_on_scan, maps_on_scan

if TYPE_CHECKING:
    from collections.abc import Callable

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
    ask_words : callable
        Asks the network for the words of a sentence; `take_words` or `give_up` bring the answer.

    """

    chosen_changed = Signal()

    def __init__(self, viewer: Viewer, ask_words: Callable[[int], None]) -> None:
        self.chosen = MapChoice()
        self.words: dict[int, WordAttention] = {}
        self._ask_words = ask_words
        self._asked: dict[int, list[tuple[MapChoice, GuiFuture[NDArray[np.float32]]]]] = {}
        self._preview: MapChoice | None = None
        self._viewer = weakref.ref(viewer)
        self._layer: weakref.ref[Image] | None = None
        self._values: dict[Values, weakref.ref[Image]] = {}
        self._segmentation: Segmentation | None = None
        self._scan: Scan | None = None
        self._reference: weakref.ref[Image] | None = None

    @property
    def layer(self) -> Image | None:
        """The layer that shows a map; ``None`` before a segmentation, or when it was removed."""
        layer = present(self._viewer(), self._layer)
        return layer if isinstance(layer, Image) else None

    def start(self, segmentation: Segmentation, scan: Scan, reference: Image) -> bool:
        """Show the whole report's map of a new segmentation; return whether a layer was added for it."""
        self._segmentation, self.words, self._preview = segmentation, {}, None
        self._scan, self._reference = scan, weakref.ref(reference)
        for sentence in tuple(self._asked):
            self.give_up(sentence, Cancelled("segmented again"))
        self.chosen = MapChoice(level=self.chosen.level)
        self._refresh_values()
        if not segmentation.attention:
            return False
        values = self.values(self.chosen)
        layer, viewer = self.layer, self._viewer()
        if layer is not None and layer.data.shape == values.shape and layer.metadata.get(SCAN_KEY) is scan:
            self._put(values)
            return False
        if viewer is None:
            return False
        if layer is not None:
            viewer.layers.remove(layer)
        self._layer = weakref.ref(add_heatmap(viewer, values, scan, reference))
        return True

    def clear(self) -> None:
        """Remove the layers of the last segmentation, and forget it; pinned maps stay."""
        layers, viewer = [self.layer, *(present(self._viewer(), ref) for ref in self._values.values())], self._viewer()
        for sentence in tuple(self._asked):
            self.give_up(sentence, Cancelled("cleared"))
        self._layer, self._values, self._segmentation, self._scan = None, {}, None, None
        self.chosen, self.words, self._preview = MapChoice(level=self.chosen.level), {}, None
        for layer in layers:
            if layer is not None and viewer is not None:
                viewer.layers.remove(layer)

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

    def choose(self, choice: MapChoice) -> GuiFuture[NDArray[np.float32]]:
        """Show a map, and remember that it was chosen; the future ends when it is shown. Raises as `values` does."""
        future: GuiFuture[NDArray[np.float32]] = GuiFuture()
        if choice.word is None or choice.sentence is None or choice.sentence in self.words:
            values = self.values(choice)
            self._finish(choice, values, future)
            return future
        self.values(MapChoice(choice.sentence))  # raises where the sentence has no map
        self._ask(choice, future)
        return future

    def preview(self, sentence: int | None = None, word: int | None = None) -> None:
        """Show a map for as long as something is pointed at: `end_preview` brings the chosen one back.

        Where there is none, the chosen one is shown.
        """
        choice = MapChoice(sentence, word, self.chosen.level)
        report = self._segmentation.report if self._segmentation is not None else None
        if report is None or choice.sentence is None or choice.sentence not in report.used:
            self.end_preview()
        elif choice != self._preview:
            self._preview = choice
            if choice.word is None or choice.sentence in self.words:
                self._show_preview()
            elif choice.sentence not in self._asked:
                self._asked[choice.sentence] = []
                self._ask_words(choice.sentence)

    def end_preview(self) -> None:
        """Show the chosen map again."""
        if self._preview is not None:
            self._preview = None
            self._put(self.values(self.chosen))

    def take_words(self, answer: WordAttention) -> None:
        """Keep the maps of a sentence's words, and show what was waiting for them."""
        self.words[answer.sentence] = answer
        for choice, future in self._asked.pop(answer.sentence, []):
            try:
                values = self.values(choice)
            except ValueError as error:
                future.set_exception(error)
            else:
                self._finish(choice, values, future)
        if self._preview is not None and self._preview.sentence == answer.sentence:
            self._show_preview()

    def give_up(self, sentence: int, error: BaseException) -> None:
        """End the wait for a sentence's words."""
        for _, future in self._asked.pop(sentence, []):
            future.set_exception(error)

    def _ask(self, choice: MapChoice, future: GuiFuture[NDArray[np.float32]]) -> None:
        sentence = cast("int", choice.sentence)
        is_asked = sentence in self._asked
        self._asked.setdefault(sentence, []).append((choice, future))
        if not is_asked:
            self._ask_words(sentence)

    def _finish(self, choice: MapChoice, values: NDArray[np.float32], future: GuiFuture[NDArray[np.float32]]) -> None:
        self.chosen, self._preview = choice, None
        self._put(values)
        future.set_result(values)
        self.chosen_changed.emit()

    def _show_preview(self) -> None:
        try:
            self._put(self.values(cast("MapChoice", self._preview)))
        except ValueError:  # the word is no longer in the sentence
            self.end_preview()

    def _put(self, values: NDArray[np.float32]) -> None:
        layer = self.layer
        if layer is not None and layer.data.shape == values.shape:
            layer.colormap = heat_for(values)
            _put_into(layer, values)

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

    def show_values(self, kind: Values, on: bool = True) -> None:
        """Add or remove the layer of the probability, or of its uncertainty (entropy in bits, 1 where it is 50 %)."""
        viewer, segmentation, scan = self._viewer(), self._segmentation, self._scan
        reference = present(viewer, self._reference)
        if viewer is None or segmentation is None or scan is None or on == self.is_shown(kind):
            return
        if not isinstance(reference, Image):  # it was removed
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
                    _put_into(layer, values)
                else:
                    del self._values[kind]


def _put_into(layer: Image, values: NDArray[np.float32]) -> None:
    """Show other values of the same grid; quicker than a new array, for which napari measures all layers anew."""
    layer.data[...] = values
    layer.refresh(extent=False)


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
