"""Keys of the plugin, in napari's own list of shortcuts, where they can be changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import napari
from napari.settings import get_settings
from napari.utils.action_manager import action_manager

from napari_tmca.actions import ACTIONS, FIXED_KEYS, action

if TYPE_CHECKING:
    from collections.abc import Callable

_registered: set[str] = set()


def register_shortcuts() -> None:
    """Enter the plugin's actions once per process; keys chosen in napari's preferences are taken over."""
    for known in ACTIONS:
        if known.shortcut in _registered:
            continue
        _registered.add(known.shortcut)
        action_manager.register_action(known.shortcut, _run(known.name), f"TMCA: {known.title}", napari.Viewer)
        for key in _keys(known.name):
            action_manager.bind_shortcut(known.shortcut, key)


def key_of(name: str) -> str:
    """Return the key of an action as the user has it now; "" for none."""
    keys = _keys(name)
    return keys[0] if keys else ""


def table_of_keys() -> list[tuple[str, str]]:
    """Return keys and what they do, as they are now: those that can be changed, then the fixed ones."""
    return [*((key_of(known.name), known.title) for known in ACTIONS), *FIXED_KEYS]


def _keys(name: str) -> list[str]:
    known = action(name)
    chosen = get_settings().shortcuts.shortcuts.get(known.shortcut, [known.key] if known.key else [])
    return [str(key) for key in chosen]


def _run(name: str) -> Callable[[napari.Viewer], None]:
    def run(viewer: napari.Viewer) -> None:
        action(name)(viewer)

    return run
