"""The mask layer: who wrote which pixel, and the tools that correct it. Every action is one step of undo."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels
from psygnal import Signal

from napari_tmca.layers import (
    MASK_NAME,
    PROVENANCE_KEY,
    SCAN_KEY,
    add_mask,
    area_in_words,
    free_name,
    present,
    write_into,
)
from tmca_core.attribution import parts_by_sentence
from tmca_core.editing import (
    fill_holes,
    gap_around,
    grow,
    interpolate_slices,
    keep_largest,
    refine,
    remove_specks,
    shrink,
    smooth,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari import Viewer
    from napari.layers import Image
    from numpy.typing import NDArray

    from tmca_core.study import Scan, Segmentation

    Mask = NDArray[np.bool_]
    Tool = Callable[[Mask], Mask]

TOOLS: dict[str, Tool] = {
    "fill holes": fill_holes,
    "smooth": smooth,
    "keep largest": keep_largest,
    "remove specks": remove_specks,
    "grow": grow,
    "shrink": shrink,
}
_REMEMBERED = 9  # masks written lately, to which undo may have returned


class MaskEditor:
    """The mask layer of a session.

    `changed` is emitted whenever the mask is another one, by whoever's hand, undo and redo included.

    Parameters
    ----------
    viewer : Viewer
        Held weakly.

    """

    changed = Signal()

    def __init__(self, viewer: Viewer) -> None:
        self.image_only = False
        self._viewer = weakref.ref(viewer)
        self._layer: weakref.ref[Labels] | None = None
        self._segmentation: Segmentation | None = None
        self._written: list[tuple[bool, float]] = []
        self._painted: Mask | None = None
        self._parts: tuple[object, dict[int, Mask]] | None = None

    @property
    def layer(self) -> Labels | None:
        """The mask, editable; ``None`` before a segmentation, or when it was removed."""
        layer = present(self._viewer(), self._layer)
        return layer if isinstance(layer, Labels) else None

    @property
    def area(self) -> str:
        """Size of the mask in words; "" without a mask."""
        layer = self.layer
        return area_in_words(np.asarray(layer.data), layer.metadata[SCAN_KEY].spacing_mm) if layer is not None else ""

    # --- the network's masks -----------------------------------------------------------------------------------------

    def show(self, segmentation: Segmentation, scan: Scan, reference: Image, *, merge: bool) -> tuple[str, ...]:
        """Write a new segmentation's mask, never over what was painted; return what the user should know.

        Where somebody painted, the mask goes into a new layer, or with ``merge`` into the pixels that nobody touched.
        """
        mask, layer = segmentation.mask, self.layer
        fits = layer is not None and layer.data.shape == mask.shape and _is_of(layer, scan)
        if layer is not None and fits and self._segmentation is not None:
            current = np.asarray(layer.data)
            edited = self.edited()
            if merge or not edited.any():
                write_into(layer, np.where(edited, current, mask.astype(current.dtype)))
                self._track(segmentation, edited)
                return ()
        new = self._add(mask, scan, reference)
        self._track(segmentation, np.zeros(mask.shape, dtype=bool))
        if layer is None or not fits:
            return ()
        return (f"Your edits in '{layer.name}' were kept; the new result is in '{new.name}'.",)

    def adopt(self, mask: NDArray[np.integer], scan: Scan, reference: Image) -> Labels:
        """Show a mask that was made earlier, in a layer of its own, and edit it from now on."""
        self._forget()
        return self._add(mask, scan, reference)

    def clear(self) -> None:
        """Remove the mask, and forget what it was made of."""
        layer, viewer = self.layer, self._viewer()
        self._layer = None
        self._forget()
        if layer is not None and viewer is not None:
            viewer.layers.remove(layer)

    def _forget(self) -> None:
        self._segmentation, self._painted, self._parts = None, None, None
        self._written, self.image_only = [], False

    def _add(self, mask: NDArray[np.integer], scan: Scan, reference: Image) -> Labels:
        viewer = self._viewer()
        if viewer is None:
            raise RuntimeError("the viewer of this session is gone")
        new = add_mask(viewer, mask, scan, reference, free_name(viewer, MASK_NAME))
        for event in (new.events.paint, new.events.set_data, new.events.labels_update):
            event.connect(self._on_changed)
        self._layer = weakref.ref(new)
        return new

    def rewrite(self, segmentation: Segmentation, *, image_only: bool) -> None:
        """Write the mask of another threshold or source, where nobody has painted."""
        layer = self.layer
        if layer is None or layer.data.shape != segmentation.logits.shape:
            return
        current = np.asarray(layer.data)
        self._painted = self.edited()
        self._segmentation, self.image_only = segmentation, image_only
        new = (_probability(segmentation, image_only) >= segmentation.threshold).astype(current.dtype)
        write_into(layer, np.where(self._painted, current, new))
        self._written = [*self._written[1 - _REMEMBERED :], (image_only, segmentation.threshold)]

    def edited(self) -> Mask:
        """Return where somebody painted: what differs from the mask that was written into the layer.

        Undo may have brought back the mask of before: of those written lately, the nearest counts.
        """
        layer, segmentation = self.layer, self._segmentation
        if layer is None or segmentation is None or self._painted is None:
            return np.zeros(() if layer is None else layer.data.shape, dtype=bool)
        current = np.asarray(layer.data)
        if current.shape != self._painted.shape:
            return np.ones(current.shape, dtype=bool)  # somebody put other data in
        probability = {source: _probability(segmentation, source) for source, _ in self._written}
        candidates = [current != (probability[source] >= threshold) for source, threshold in self._written]
        return self._painted | min(candidates, key=lambda edited: int(edited.sum()))

    def _track(self, segmentation: Segmentation, painted: Mask) -> None:
        self._segmentation, self.image_only = segmentation, False
        self._written = [(False, segmentation.threshold)]
        self._painted = painted
        if (layer := self.layer) is not None:
            layer.metadata[PROVENANCE_KEY] = segmentation.provenance

    # --- tools -------------------------------------------------------------------------------------------------------

    def undo(self) -> None:
        """Take back the last action on the mask, whoever's it was."""
        if self.layer is not None:
            self.layer.undo()

    def redo(self) -> None:
        """Do again what `undo` took back."""
        if self.layer is not None:
            self.layer.redo()

    def apply(self, tool: Tool) -> bool:
        """Let a tool change the class that is selected in the layer; other classes stay. Return whether it changed."""
        layer = self.layer
        if layer is None:
            return False
        current, label = np.asarray(layer.data), _label_of(layer)
        own = current == label
        tooled = tool(own)
        new = current.copy()
        new[own & ~tooled] = 0
        new[tooled & (current == 0)] = label
        return self._write(new)

    def refine(
        self, picture: NDArray[np.generic], include: Sequence[Sequence[int]], exclude: Sequence[Sequence[int]]
    ) -> bool:
        """Refine the slice that the strokes are in; their pixels are (y, x) or (z, y, x). Return whether it changed."""
        layer, segmentation = self.layer, self._segmentation
        pixels = [*include, *exclude]
        if layer is None or segmentation is None or not pixels or layer.data.shape != segmentation.logits.shape:
            return False
        where = tuple(pixels[0][:-2])
        probability = _probability(segmentation, self.image_only)[where]

        def tool(mask: Mask) -> Mask:
            new = mask.copy()
            strokes = [[(p[-2], p[-1]) for p in points] for points in (include, exclude)]
            new[where] = refine(mask[where], probability, picture[where], *strokes)
            return new

        return self.apply(tool)

    def copy_slice(self, source: int, target: int) -> bool:
        """Put the selected class of one slice into another in its place; return whether it changed."""

        def tool(mask: Mask) -> Mask:
            new = mask.copy()
            new[target] = mask[source]
            return new

        return self.apply(tool)

    def interpolate(self, z: int) -> tuple[int, int] | None:
        """Fill the gap around slice ``z`` from the nearest slices with a mask, and return them; ``None`` without."""
        layer = self.layer
        if layer is None or layer.data.ndim != 3:
            return None
        gap = gap_around(np.asarray(layer.data) == _label_of(layer), z)
        if gap is not None:
            self.apply(lambda mask: interpolate_slices(mask, *gap))
        return gap

    # --- sentences ---------------------------------------------------------------------------------------------------

    def accept(self, sentence: int, accepted: bool = True) -> bool:
        """Take the parts that a sentence drove out of the mask, or put the network's own back; return if it changed."""
        layer, segmentation = self.layer, self._segmentation
        if layer is None or segmentation is None:
            return False
        current = np.asarray(layer.data)
        new = current.copy()
        if accepted:
            new[self._own_parts(segmentation).get(sentence, np.zeros(current.shape, bool)) & (current == 0)] = 1
        else:
            parts = parts_by_sentence(segmentation, current == 1)
            new[parts.get(sentence, np.zeros(current.shape, bool))] = 0
        return self._write(new)

    def rejected(self) -> frozenset[int]:
        """Return the sentences of whose parts in the network's mask nothing is left. Pictures only."""
        layer, segmentation = self.layer, self._segmentation
        if layer is None or segmentation is None or layer.data.ndim != 2:
            return frozenset()
        current = np.asarray(layer.data)
        if current.shape != segmentation.logits.shape:
            return frozenset()
        parts = self._own_parts(segmentation)
        return frozenset(s for s, part in parts.items() if part.any() and not current[part].any())

    def _own_parts(self, segmentation: Segmentation) -> dict[int, Mask]:
        """Return the parts of the network's own mask per sentence, computed once per mask."""
        key = (segmentation, self.image_only)
        if self._parts is None or self._parts[0] != key:
            mask = _probability(segmentation, self.image_only) >= segmentation.threshold
            self._parts = (key, parts_by_sentence(segmentation, mask))
        return self._parts[1]

    def _write(self, new: NDArray[np.integer]) -> bool:
        layer = self.layer
        if layer is None or np.array_equal(new, layer.data):
            return False
        write_into(layer, new)
        return True

    def _on_changed(self) -> None:
        self.changed.emit()


def _label_of(layer: Labels) -> int:
    """Return the class that tools act on: the one selected, and the target where the eraser's 0 is."""
    return int(layer.selected_label) or 1


def _is_of(layer: Labels, scan: Scan) -> bool:
    return getattr(layer.metadata.get(SCAN_KEY), "pixels", None) is scan.pixels


def _probability(segmentation: Segmentation, image_only: bool) -> NDArray[np.float32]:
    return segmentation.image_only_probability if image_only else segmentation.probability
