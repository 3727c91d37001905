"""Sample data: the phantom, computed here, and three radiographs with their notes, fetched once."""

from __future__ import annotations

from typing import Any

from napari_tmca.layers import scan_to_layer_data
from tmca_core.io import read_scan
from tmca_core.phantom import make_phantom
from tmca_core.samples import SAMPLES, fetch_sample

LayerData = tuple[Any, dict[str, Any], str]
PHANTOM_SEED = 12


def phantom() -> list[LayerData]:
    """Return the phantom with its report in the layer's metadata."""
    made = make_phantom(PHANTOM_SEED)
    data, attributes, kind = scan_to_layer_data(made.scan)
    attributes["name"] = "Chest phantom"
    attributes["metadata"]["report"] = made.report_text
    return [(data, attributes, kind)]


def radiograph_unremarkable() -> list[LayerData]:
    """Return the radiograph without findings."""
    return _radiograph("unremarkable")


def radiograph_infiltrates() -> list[LayerData]:
    """Return the radiograph with infiltrates in both lungs."""
    return _radiograph("infiltrates")


def radiograph_worsening() -> list[LayerData]:
    """Return the radiograph with worsening pneumonia and an endotracheal tube."""
    return _radiograph("worsening")


def _radiograph(name: str) -> list[LayerData]:
    scan = read_scan(fetch_sample(name))
    data, attributes, kind = scan_to_layer_data(scan)
    attributes["name"] = f"Radiograph, {name}"
    attributes["metadata"]["report"] = SAMPLES[name].report
    return [(data, attributes, kind)]
