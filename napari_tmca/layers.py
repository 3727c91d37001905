"""Values to layers and back; the only place that gives a layer its scale, units and metadata."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pint
from napari.layers import Image, Labels
from napari.utils.colormaps import Colormap

from napari_tmca.appearance import CLASSES, dress
from tmca_core.errors import GeometryError, StudyReadError
from tmca_core.names import displayable
from tmca_core.study import Scan
from tmca_core.window import robust_window

if TYPE_CHECKING:
    import weakref
    from collections.abc import Mapping

    from napari import Viewer
    from napari.layers import Layer
    from numpy.typing import NDArray

MASK_NAME, HEATMAP_NAME = "TMCA mask", "TMCA attention"
SCAN_KEY = "tmca_scan"
PROVENANCE_KEY = "tmca_provenance"  # of the network whose mask a Labels layer holds
_HEAT_STEPS = np.linspace(0.0, 1.0, 41)
_HEAT = np.stack(
    [
        np.interp(_HEAT_STEPS, (0.0, 0.4, 0.7, 1.0), channel)
        for channel in ((0.55, 0.85, 1.0, 1.0), (0.0, 0.15, 0.6, 1.0), (0.35, 0.2, 0.1, 0.6))
    ],
    axis=-1,
)
_HEAT_OPACITY = 0.8  # where attention is 1


def scan_to_layer_data(scan: Scan) -> tuple[NDArray[Any], dict[str, Any], str]:
    """Return an Image layer's data, attributes and type for a scan."""
    attributes: dict[str, Any] = {
        "name": displayable(scan.source.name) if scan.source else "Scan",
        "rgb": scan.is_rgb,
        "metadata": {SCAN_KEY: scan, "notes": list(scan.notes)},
        **_grid(scan),
    }
    if not scan.is_rgb:
        attributes["contrast_limits"] = _window(scan.pixels)
        attributes["colormap"] = "gray"
    return scan.pixels, attributes, "image"


def layer_to_scan(layer: Image) -> Scan:
    """Return the scan that an Image layer shows, whoever opened it.

    Raises
    ------
    StudyReadError
        If the layer has another number of axes than 2 or 3, or values that are not finite.

    """
    data = layer.data[0] if layer.multiscale else layer.data
    known = layer.metadata.get(SCAN_KEY)
    if isinstance(known, Scan) and known.pixels is data:
        return known
    if layer.ndim not in (2, 3):
        raise StudyReadError(
            f"'{layer.name}': expected an image (Y, X) or a volume (Z, Y, X), got {layer.ndim} axes.",
            hint="Take one time point or channel out of it (right click, Split Stack) and choose that layer.",
        )
    pixels = np.asarray(data)
    if np.issubdtype(pixels.dtype, np.inexact) and not np.isfinite(pixels).all():
        raise StudyReadError(
            f"'{layer.name}': expected finite values, got NaN or infinity.",
            hint="Replace them, for example with the smallest value, and try again.",
        )
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8)
    rgb = bool(layer.rgb)
    return Scan(pixels=pixels[..., :3] if rgb else pixels, is_rgb=rgb, spacing_mm=layer_spacing_mm(layer))


def scan_of_metadata(attributes: Mapping[str, Any], shape: tuple[int, ...]) -> Scan:
    """Return the scan a mask or map belongs to, from its layer's attributes; a bare grid where there is none.

    Raises
    ------
    GeometryError
        If the data no longer has the shape of its scan.

    """
    scan = attributes.get("metadata", {}).get(SCAN_KEY)
    if not isinstance(scan, Scan):
        return Scan(pixels=np.zeros(shape, dtype=np.uint8))
    if scan.shape != shape:
        raise GeometryError(
            f"Expected the shape of the scan, {scan.shape}, got {shape}.", hint="Segment the layer again, then save."
        )
    return scan


def add_mask(
    viewer: Viewer, mask: NDArray[np.integer[Any]], scan: Scan, reference: Image, name: str = MASK_NAME
) -> Labels:
    """Add an editable Labels layer on the grid of ``reference``."""
    layer = Labels(
        mask.copy(),
        name=name,
        features={"index": range(len(CLASSES) + 1), "name": ["background", *CLASSES]},
        metadata={SCAN_KEY: scan},
        **_grid_of(reference),
    )
    layer.selected_label = 1
    dress(layer)
    viewer.add_layer(layer)
    return layer


def heat_for(attention: NDArray[np.float32]) -> Colormap:
    """Return the colours for an attention map: clear up to its median, from there on the denser the higher.

    Attention is nowhere nothing, and half of the picture shown in colour hides where it is. A colour stands for the
    same value, 0..1, in every map; only from where on it is seen follows the map.
    """
    twentieths = math.ceil(20 * float(np.median(attention)) - 1e-6)
    return _heat_above(min(max(twentieths, 0), 19))


@cache  # napari remembers every colormap that it has met: these are twenty
def _heat_above(twentieths: int) -> Colormap:
    start = twentieths / 20
    opacity = _HEAT_OPACITY * np.clip((_HEAT_STEPS - start) / (1.0 - start), 0.0, 1.0)
    return Colormap(np.column_stack([_HEAT, opacity]), name=f"tmca-attention-{twentieths:02d}")


def add_heatmap(viewer: Viewer, attention: NDArray[np.float32], scan: Scan, reference: Image) -> Image:
    """Add the heatmap as an Image layer directly above ``reference``: clear up to its median, fixed range 0..1."""
    layer = Image(
        attention.copy(),  # other maps are written into it
        name=HEATMAP_NAME,
        colormap=heat_for(attention),
        contrast_limits=(0.0, 1.0),
        blending="translucent",
        metadata={SCAN_KEY: scan},
        **_grid_of(reference),
    )
    viewer.layers.insert(viewer.layers.index(reference) + 1, layer)
    return layer


def add_values(viewer: Viewer, values: NDArray[np.float32], name: str, scan: Scan, reference: Image) -> Image:
    """Add a layer of values 0..1 directly above ``reference``."""
    layer = Image(
        values.copy(),
        name=free_name(viewer, name),
        colormap="viridis",
        contrast_limits=(0.0, 1.0),
        blending="translucent",
        opacity=0.7,
        metadata={SCAN_KEY: scan},
        **_grid_of(reference),
    )
    viewer.layers.insert(viewer.layers.index(reference) + 1, layer)
    return layer


def present(viewer: Viewer | None, reference: weakref.ref[Any] | None) -> Layer | None:
    """Return the layer that a reference stands for, while it is in the viewer."""
    layer = reference() if reference is not None else None
    return layer if layer is not None and viewer is not None and layer in viewer.layers else None


def free_name(viewer: Viewer, name: str) -> str:
    """Return a name that no layer has."""
    taken = {layer.name for layer in viewer.layers}
    number, free = 2, name
    while free in taken:
        free, number = f"{name} [{number}]", number + 1
    return free


def write_into(layer: Labels, mask: NDArray[np.integer[Any]]) -> None:
    """Write a mask into a Labels layer as one step that Ctrl+Z takes back."""
    where = np.nonzero(mask != np.asarray(layer.data))
    if where[0].size:
        layer.data_setitem(where, mask[where])


def area_in_words(mask: NDArray[np.generic], spacing_mm: tuple[float, ...] | None) -> str:
    """Return the size of a mask: mm2 or ml where the spacing is known, else pixels or voxels."""
    count = int(np.count_nonzero(mask))
    share = count / max(mask.size, 1)
    if spacing_mm is None:
        unit = "pixels" if mask.ndim == 2 else "voxels"
        return f"{count:,} {unit} ({share:.1%}); spacing unknown, so no millimetres"
    size = count * float(np.prod(spacing_mm))
    return f"{size:,.0f} mm\u00b2 ({share:.1%})" if mask.ndim == 2 else f"{size / 1000:,.1f} ml ({share:.1%})"


def _grid(scan: Scan) -> dict[str, Any]:
    known = scan.spacing_mm is not None
    return {
        "scale": scan.spacing_mm if known else (1.0,) * scan.ndim,
        "units": ("mm" if known else "pixel",) * scan.ndim,
        "axis_labels": ("z", "y", "x")[-scan.ndim :],
    }


def _grid_of(reference: Image) -> dict[str, Any]:
    """Return where ``reference`` lies, for another layer to lie on it: scale, shift, rotation, units, axis names."""
    return {
        "scale": reference.scale,
        "translate": reference.translate,
        "rotate": reference.rotate,
        "shear": reference.shear,
        "affine": reference.affine,
        "units": reference.units,
        "axis_labels": reference.axis_labels,
    }


def layer_spacing_mm(layer: Image) -> tuple[float, ...] | None:
    """Return the layer's scale in millimetres, or ``None`` where its units are no lengths."""
    millimetre = pint.get_application_registry().millimeter
    try:
        return tuple(
            float((step * unit).to(millimetre).magnitude) for step, unit in zip(layer.scale, layer.units, strict=True)
        )
    except pint.DimensionalityError:
        return None


def _window(pixels: NDArray[Any]) -> tuple[float, float]:
    low, high = robust_window(pixels)
    return (low, high) if high > low else (low, low + 1.0)
