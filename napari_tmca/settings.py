"""What the user chose in napari's preferences, under the plugin's name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari.settings import get_plugin_settings


@dataclass(frozen=True)
class Settings:
    """What the user chose.

    Attributes
    ----------
    device, model : str
        The model by name or folder.
    save_folder, project_folder : Path or None
        Where saving and opening a project start; ``None``: beside the scan, and wherever the system starts.
    annotator : str
        "" for the name of the account.
    live : bool
    mask_opacity : float
        0..1.

    """

    device: str = "auto"
    model: str = "tmca-compact"
    save_folder: Path | None = None
    project_folder: Path | None = None
    annotator: str = ""
    live: bool = False
    mask_opacity: float = 0.9


def read_settings() -> Settings:
    """Return the preferences; the defaults where napari does not know the plugin, as in a script without it."""
    try:
        chosen = get_plugin_settings("napari-tmca").segmentation
    except (KeyError, AttributeError):
        return Settings()
    return Settings(
        device=str(chosen.device),
        model=str(chosen.model),
        save_folder=Path(chosen.save_folder) if chosen.save_folder else None,
        project_folder=Path(chosen.project_folder) if chosen.project_folder else None,
        annotator=str(chosen.annotator).strip(),
        live=bool(chosen.live),
        mask_opacity=float(chosen.mask_opacity),
    )
