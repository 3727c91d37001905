"""What the user chose in napari's preferences, under the plugin's name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari.settings import get_plugin_settings


@dataclass(frozen=True)
class Settings:
    """Device, model (name or folder), and where saving starts (``None``: beside the scan)."""

    device: str = "auto"
    model: str = "tmca-compact"
    save_folder: Path | None = None


def read_settings() -> Settings:
    """Return the preferences; the defaults where napari does not know the plugin, as in a script without it."""
    try:
        chosen = get_plugin_settings("napari-tmca").segmentation
    except (KeyError, AttributeError):
        return Settings()
    folder = Path(chosen.save_folder) if chosen.save_folder else None
    return Settings(str(chosen.device), str(chosen.model), folder)
