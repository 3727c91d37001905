"""What the user chose in napari's preferences, under the plugin's name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari.settings import get_plugin_settings

from tmca_core.errors import ConfigError


@dataclass(frozen=True)
class Settings:
    """What the user chose.

    Attributes
    ----------
    device, model : str
        The model by name or folder.
    save_folder, project_folder : Path or None
        Where saving and opening a project start; ``None``: beside the scan, and wherever the system starts.
    last_project : Path or None
        The project that was open last.
    annotator : str
        "" for the name of the account.
    live : bool
    mask_opacity : float
        0..1.
    mask_filled : bool
        Filled, or an outline.
    class_colors : str
        As ``"#e69f00, #56b4e9"``, class after class; where one is missing or unreadable, the class keeps its own.
    class_names : str
        As ``"Tumour; Oedema"``, class after class; a blank one keeps its own name. A project has names of its own.
    own_windows : str
        As ``"Liver: 60, 160; Stroke: 40, 40"``: name, level, width (`tmca_core.window.parse_windows`).
    first_steps : bool
        Show the first steps where no scan is open.

    """

    device: str = "auto"
    model: str = "tmca-compact"
    save_folder: Path | None = None
    project_folder: Path | None = None
    last_project: Path | None = None
    annotator: str = ""
    live: bool = False
    mask_opacity: float = 0.9
    mask_filled: bool = False
    class_colors: str = ""
    class_names: str = ""
    own_windows: str = ""
    first_steps: bool = True


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
        last_project=Path(chosen.last_project) if chosen.last_project else None,
        annotator=str(chosen.annotator).strip(),
        live=bool(chosen.live),
        mask_opacity=float(chosen.mask_opacity),
        mask_filled=bool(chosen.mask_filled),
        class_colors=str(chosen.class_colors),
        class_names=str(chosen.class_names),
        own_windows=str(chosen.own_windows),
        first_steps=bool(chosen.first_steps),
    )


def change_settings(**changes: Any) -> None:
    """Change preferences by their names in `Settings`; napari writes them to its folder at once.

    Raises
    ------
    ConfigError
        If napari does not know the plugin.

    """
    try:
        chosen = get_plugin_settings("napari-tmca").segmentation
    except (KeyError, AttributeError) as error:
        raise ConfigError(
            "napari does not know napari-tmca, so its preferences cannot be kept.",
            hint="Install napari-tmca into napari's environment, and enable it in the list of plugins.",
        ) from error
    for name, value in changes.items():
        setattr(chosen, name, value)
